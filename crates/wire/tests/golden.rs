//! The golden matrix: `tests/golden/<client>-<upstream>/<case>/` holds a client's request, the body that the upstream gets,
//! the upstream's answer, and the bytes that the client gets, all as files that a reader can judge. A client is a format, or
//! one of its operations other than chat.
//!
//! `GOLDEN_WRITE=1 cargo test -p wire --test golden` writes what comes out; look at the difference before you keep it.
//!
//! Never here: placeholders. What is expected is expected to the byte.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, also in its helper functions"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use wire::{AnswerStream, Cell, Format, ModelRequest, Operation, Outbound, Progress, ReadLimits, Reply};

const LIMITS: ReadLimits = ReadLimits { depth: 64, messages: 64, tools: 16, images: 4, image_bytes: 4096 };
/// Folder, operation, the client's format, the upstream's.
const MATRIX: &[(&str, Operation, Format, Format)] = &[
    ("openai-ollama", Operation::Chat, Format::OpenAi, Format::Ollama),
    ("openai-openai", Operation::Chat, Format::OpenAi, Format::OpenAi),
    ("completions-ollama", Operation::Complete, Format::OpenAi, Format::Ollama),
    ("completions-openai", Operation::Complete, Format::OpenAi, Format::OpenAi),
    ("embeddings-ollama", Operation::Embed, Format::OpenAi, Format::Ollama),
    ("embeddings-openai", Operation::Embed, Format::OpenAi, Format::OpenAi),
    ("ollama-ollama", Operation::Chat, Format::Ollama, Format::Ollama),
    ("ollama-openai", Operation::Chat, Format::Ollama, Format::OpenAi),
    ("generate-ollama", Operation::Complete, Format::Ollama, Format::Ollama),
    ("generate-openai", Operation::Complete, Format::Ollama, Format::OpenAi),
    ("embed-ollama", Operation::Embed, Format::Ollama, Format::Ollama),
    ("embed-openai", Operation::Embed, Format::Ollama, Format::OpenAi),
    ("embed-one-ollama", Operation::EmbedOne, Format::Ollama, Format::Ollama),
    ("anthropic-ollama", Operation::Chat, Format::Anthropic, Format::Ollama),
    ("anthropic-openai", Operation::Chat, Format::Anthropic, Format::OpenAi),
    ("responses-ollama", Operation::Chat, Format::Responses, Format::Ollama),
    ("responses-openai", Operation::Chat, Format::Responses, Format::OpenAi),
    ("embed-one-openai", Operation::EmbedOne, Format::Ollama, Format::OpenAi),
];

fn reply(request: &ModelRequest<'_>) -> Reply {
    Reply {
        include_usage: request.include_usage(),
        manner: request.manner(),
        prompt_tokens: 9,
        created: 1_700_000_000,
        line_bytes_max: 1 << 16,
        ..Reply::new("0123456789abcdef01234567", request.model())
    }
}

#[test]
fn every_case_comes_out_as_written() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut count = 0;
    for (folder, operation, client, upstream) in MATRIX {
        let cell = wire::cell(*client, *upstream, *operation).unwrap();
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            case(&entry.unwrap().path(), cell);
            count += 1;
        }
    }
    assert!(count >= 174, "only {count} cases were found");
}

fn case(folder: &Path, cell: Cell) {
    let body = fs::read(folder.join("request.json")).unwrap();
    let client = cell.client();
    let mut sent = Vec::new();
    let read = wire::read_request(client, cell.operation(), &body, &LIMITS).and_then(|request| {
        let to = Outbound {
            thinks: Some(true),
            sampling_defaults: true,
            ..Outbound::to("registry.internal/model:1b")
        };
        let dropped = wire::write_request(cell, &request, &to, &mut sent)?;
        Ok((request, dropped))
    });
    let (request, dropped) = match read {
        Ok(read) => read,
        Err(fault) => {
            return same(folder, "refused.txt", format!("{} {:?}\n", fault.code, fault.param).as_bytes());
        }
    };
    sent.push(b'\n');
    same(folder, "upstream-request.json", &sent);
    same(folder, "dropped.txt", format!("{}\n", dropped.join("\n")).as_bytes());
    let reply = reply(&request);
    let suffix = if client == Format::Ollama { "ndjson" } else { "sse" };
    if request.stream() {
        let answer = fs::read(folder.join("answer.stream")).unwrap();
        let client_bytes = streamed(AnswerStream::new(cell, reply, None), &answer);
        same(folder, &format!("client.{suffix}"), &client_bytes);
    } else {
        let answer = fs::read(folder.join("answer.json")).unwrap();
        let mut out = Vec::new();
        let outcome = wire::read_answer(cell, &reply, None, &answer, &mut out);
        let outcome = match outcome {
            Ok(metered) => format!("{metered:?}"),
            Err(fault) => format!("failed: {:?}: {}", fault.kind, fault.message),
        };
        out.extend_from_slice(format!("\n# {outcome}\n").as_bytes());
        same(folder, "client.json", &out);
    }
}

/// The client's bytes, and as a last comment how it ended and what was metered.
fn streamed(mut stream: AnswerStream, answer: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    stream.push(answer, &mut out);
    let ended = match stream.end(&mut out) {
        Progress::Failed(fault) => format!("failed: {:?}: {}", fault.kind, fault.message),
        progress => format!("{progress:?}"),
    };
    let mut last = String::new();
    writeln!(last, "# {ended}, {:?}", stream.metered()).unwrap();
    out.extend_from_slice(last.as_bytes());
    out
}

fn same(folder: &Path, name: &str, got: &[u8]) {
    let path = folder.join(name);
    if std::env::var_os("GOLDEN_WRITE").is_some() {
        fs::write(&path, got).unwrap();
    }
    let expected = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (expected, got) =
        (String::from_utf8_lossy(&expected).into_owned(), String::from_utf8_lossy(got).into_owned());
    assert!(expected == got, "{} differs\n--- expected\n{expected}\n--- got\n{got}", path.display());
}

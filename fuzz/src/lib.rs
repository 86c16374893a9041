//! What the fuzz targets share: cutting input into pieces, what becomes of a request, and the rules that a client's stream
//! must keep.
//!
//! Never here: a rule that only holds for well-formed input.

use wire::{
    AnswerStream, Cell, Channel, ErrorBody, ErrorType, Format, ModelRequest, Operation, Outbound, Progress,
    ReadLimits, Reply, Screen, Verdict,
};

pub const LIMITS: ReadLimits = ReadLimits { depth: 16, messages: 8, tools: 4, images: 2, image_bytes: 64 };

/// Clients whose chats are told to; every upstream's stream becomes each of theirs.
const CLIENTS: [Format; 2] = [Format::OpenAi, Format::Responses];

pub fn chat(client: Format, upstream: Format) -> Cell {
    wire::cell(client, upstream, Operation::Chat).unwrap()
}

/// Writes a request for both upstreams, and hands over what is written.
pub fn write(client: Format, request: &ModelRequest<'_>, mut each: impl FnMut(Cell, &[u8])) {
    let estimate = request.prompt_tokens();
    assert!(estimate.low <= estimate.high && estimate.high <= request.prompt_bytes());
    let options = ["keep_alive", "num_ctx", "top_k", "think", "format", "options", "x"].map(str::to_owned);
    let to = Outbound {
        sampling_defaults: true,
        options: &options,
        num_ctx: Some(4096),
        keep_alive: Some("5m"),
        output_tokens_max: Some(9),
        refuse_truncation: true,
        ..Outbound::to(UPSTREAM_MODEL)
    };
    for upstream in [Format::Ollama, Format::OpenAi] {
        let cell = chat(client, upstream);
        let mut out = Vec::new();
        if wire::write_request(cell, request, &to, &mut out).is_ok() {
            assert!(wire::json::accepts(&out, 128));
            each(cell, &out);
        }
    }
}

pub const UPSTREAM_MODEL: &str = "up\"\n";

/// The first byte says how the rest is cut.
pub fn cut(input: &[u8]) -> (usize, &[u8]) {
    match input.split_first() {
        Some((size, rest)) => (usize::from(*size).max(1), rest),
        None => (1, input),
    }
}

/// Feeds a stream whole and in pieces, free, capped and screened: the client's bytes must be equal and clean.
pub fn stream(upstream: Format, input: &[u8]) {
    for client in CLIENTS {
        for (cap, screen) in [(None, false), (Some(1), false), (None, true)] {
            one_way(chat(client, upstream), input, cap, screen);
        }
    }
}

fn one_way(cell: Cell, input: &[u8], cap: Option<u64>, screen: bool) {
    let (size, bytes) = cut(input);
    let (whole, progress) = feed(cell, bytes, bytes.len().max(1), cap, screen);
    let (pieces, same) = feed(cell, bytes, size, cap, screen);
    assert_eq!(whole, pieces);
    assert_eq!(progress, same);
    let text = std::str::from_utf8(&whole).expect("UTF-8 goes to clients");
    for event in text.split_terminator("\n\n") {
        let data = data_of(cell.client(), event);
        let is_end = cell.client() == Format::OpenAi && data == "[DONE]";
        assert!(is_end || wire::json::accepts(data.as_bytes(), 128), "{data:?}");
        assert!(!data.contains(['\n', '\r', '\u{2028}', '\u{2029}']));
    }
    let last = text.trim_end().rsplit("\n\n").next().unwrap_or("");
    let ends_well = match cell.client() {
        Format::Responses => ["event: response.completed\n", "event: response.incomplete\n"]
            .iter()
            .any(|end| last.starts_with(end)),
        _ => last == "data: [DONE]",
    };
    assert_eq!(ends_well, progress == Progress::Complete);
}

/// The data of an event, under its name where the format has names.
fn data_of(client: Format, event: &str) -> &str {
    let lines = match client {
        Format::Responses => {
            let named = event.strip_prefix("event: ").and_then(|event| event.split_once('\n'));
            let (name, lines) = named.expect("every event has its name");
            assert!(lines.starts_with(&format!("data: {{\"type\":\"{name}\"")));
            lines
        }
        _ => event,
    };
    lines.strip_prefix("data: ").expect("only data lines go to clients")
}

/// Holds back the last character of each text, and stops at `!`.
#[derive(Debug, Default)]
struct Reluctant(Option<char>);

impl Screen for Reluctant {
    fn push(&mut self, _: Channel, text: &str, out: &mut String) -> Verdict {
        for character in text.chars() {
            out.extend(self.0.replace(character));
            if character == '!' {
                return Verdict::Stop;
            }
        }
        Verdict::Pass
    }

    fn finish(&mut self, _: Channel, out: &mut String) -> Verdict {
        out.extend(self.0.take());
        Verdict::Pass
    }
}

fn feed(cell: Cell, bytes: &[u8], size: usize, cap: Option<u64>, screen: bool) -> (Vec<u8>, Progress) {
    let reply = Reply {
        include_usage: true,
        reasoning_alias: true,
        line_bytes_max: 512,
        output_tokens_max: cap,
        ..Reply::new("0123456789abcdef01234567", "m")
    };
    let screen = screen.then(|| Box::new(Reluctant::default()) as Box<dyn Screen>);
    let mut stream = AnswerStream::new(cell, reply, screen);
    let mut out = Vec::new();
    for piece in bytes.chunks(size) {
        stream.push(piece, &mut out);
    }
    let progress = stream.end(&mut out);
    if matches!(progress, Progress::Failed(_)) {
        let error = ErrorBody::new(ErrorType::Server, "failed", 502);
        stream.fail(&error, &mut out);
    }
    (out, progress)
}

//! What the fuzz targets share: cutting input into pieces, and the rules that a client's stream and an upstream's body must
//! keep.
//!
//! Never here: a rule that only holds for well-formed input.

use wire::{
    AnswerStream, Cell, Channel, ErrorBody, ErrorType, Fault, Format, Lane, ModelRequest, Operation,
    Outbound, Progress, ReadLimits, Reply, Screen, Verdict,
};

pub const LIMITS: ReadLimits = ReadLimits { depth: 16, messages: 8, tools: 4, images: 2, image_bytes: 64 };

fn read(cell: Cell, body: &[u8]) -> Result<ModelRequest<'_>, Fault> {
    wire::read_request(cell.client(), cell.operation(), body, &LIMITS)
}

/// The cells of one operation of a client's.
pub fn cells_of(client: Format, operation: Operation) -> impl Iterator<Item = Cell> {
    wire::lanes::cells().filter(move |cell| (cell.client(), cell.operation()) == (client, operation))
}

/// A reader and every writer behind it.
pub fn requests(client: Format, operation: Operation, input: &[u8]) {
    cells_of(client, operation).for_each(|cell| request(cell, input));
}

/// No body makes a reader panic, and what a writer makes of an accepted one is JSON that the upstream's own reader takes.
fn request(cell: Cell, input: &[u8]) {
    let Ok(mut request) = read(cell, input) else { return };
    // A load asks no model anything, so nobody writes it.
    if request.is_load() {
        return;
    }
    let estimate = request.prompt_tokens();
    assert!(estimate.low <= estimate.high && estimate.high <= request.prompt_bytes());
    let options = ["keep_alive", "num_ctx", "top_k", "think", "format", "options", "system", "x"];
    let options = options.map(str::to_owned);
    let to = Outbound {
        sampling_defaults: true,
        options: &options,
        num_ctx: Some(4096),
        keep_alive: Some("5m"),
        output_tokens_max: Some(9),
        refuse_truncation: true,
        ..Outbound::to(UPSTREAM_MODEL)
    };
    let mut out = Vec::new();
    if wire::write_request(cell, &request, &to, &mut out).is_ok() {
        assert!(wire::json::accepts(&out, 128));
        if cell.lane() == Lane::Relay {
            // What the upstream reads is what we read, under its own name for the model.
            let again = read(cell, &out).expect("the spliced body reads as well");
            assert_eq!(again.model(), to.model);
            assert_eq!((again.stream(), again.prompt_chars()), (request.stream(), request.prompt_chars()));
            assert!(again.include_usage() || !again.stream());
            assert!(again.max_output_tokens().is_some_and(|cap| cap <= 9));
        }
    }
    if cell.lane() == Lane::Translate && cell.path() == "/v1/chat/completions" && !out.is_empty() {
        reads_again(&request, &out);
    }
    // Nor does what a screen does to it.
    let _verdict = request.screen(&mut Reluctant::default());
    out.clear();
    if wire::write_request(cell, &request, &to, &mut out).is_ok() {
        assert!(wire::json::accepts(&out, 128));
    }
}

/// What is written for a compatible server is what its dialect's own reader takes.
fn reads_again(request: &ModelRequest<'_>, written: &[u8]) {
    // A picture is labelled by its first bytes, whatever its sender called it.
    if String::from_utf8_lossy(written).contains("data:image/gif") {
        return;
    }
    // Instructions are a message more, a thought may be one.
    let limits = ReadLimits { depth: 128, messages: 17, ..LIMITS };
    let again = wire::read_request(Format::OpenAi, Operation::Chat, written, &limits);
    let again = again.expect("what is written reads in its own dialect");
    assert_eq!((again.model(), again.stream()), (UPSTREAM_MODEL, request.stream()));
    // One that stands in a part of another kind is counted, and goes nowhere.
    assert!(again.images() <= request.images());
}

const UPSTREAM_MODEL: &str = "up\"\n";

/// A whole answer becomes JSON or nothing.
pub fn answers(upstream: Format, input: &[u8]) {
    wire::lanes::cells().filter(|cell| cell.upstream() == upstream).for_each(|cell| answer(cell, input));
}

fn answer(cell: Cell, input: &[u8]) {
    let mut out = Vec::new();
    let reply = Reply::new("0123456789abcdef01234567", "m");
    match wire::read_answer(cell, &reply, None, input, &mut out) {
        Ok(_) => assert!(wire::json::accepts(&out, 128)),
        Err(_) => assert!(out.is_empty()),
    }
}

/// The first byte says how the rest is cut.
pub fn cut(input: &[u8]) -> (usize, &[u8]) {
    match input.split_first() {
        Some((size, rest)) => (usize::from(*size).max(1), rest),
        None => (1, input),
    }
}

/// Feeds an upstream's stream to every client that is served from it: whole and in pieces, free, capped and screened; the
/// client's bytes must be equal and clean.
pub fn streams(upstream: Format, input: &[u8]) {
    let streamed = |cell: &Cell| matches!(cell.operation(), Operation::Chat | Operation::Complete);
    wire::lanes::cells().filter(streamed).filter(|cell| cell.upstream() == upstream).for_each(|cell| stream(cell, input));
}

fn stream(cell: Cell, input: &[u8]) {
    for (cap, screen) in [(None, false), (Some(1), false), (None, true)] {
        one_way(cell, input, cap, screen);
    }
}

fn one_way(cell: Cell, input: &[u8], cap: Option<u64>, screen: bool) {
    let (size, bytes) = cut(input);
    let (whole, progress) = feed(cell, bytes, bytes.len().max(1), cap, screen);
    let (pieces, same) = feed(cell, bytes, size, cap, screen);
    assert_eq!(whole, pieces);
    assert_eq!(progress, same);
    let text = std::str::from_utf8(&whole).expect("UTF-8 goes to clients");
    let after = if cell.client() == Format::Ollama { "\n" } else { "\n\n" };
    for event in text.split_terminator(after) {
        let data = data_of(cell.client(), event);
        let is_end = cell.client() == Format::OpenAi && data == "[DONE]";
        assert!(is_end || wire::json::accepts(data.as_bytes(), 128), "{data:?}");
        assert!(!data.contains(['\n', '\r', '\u{2028}', '\u{2029}']));
    }
    assert_eq!(ends_well(cell.client(), text), progress == Progress::Complete);
}

/// The data of an event, under its name where the format has names.
fn data_of(client: Format, event: &str) -> &str {
    match client {
        Format::Ollama => event,
        Format::OpenAi => event.strip_prefix("data: ").expect("only data lines go to clients"),
        Format::Anthropic | Format::Responses => {
            let named = event.strip_prefix("event: ").and_then(|event| event.split_once('\n'));
            let (name, lines) = named.expect("every event has its name");
            assert!(lines.starts_with(&format!("data: {{\"type\":\"{name}\"")));
            lines.strip_prefix("data: ").expect("only data lines go to clients")
        }
    }
}

fn ends_well(client: Format, text: &str) -> bool {
    let last = text.trim_end().rsplit("\n\n").next().unwrap_or("");
    match client {
        Format::OpenAi => last == "data: [DONE]",
        Format::Anthropic => last.starts_with("event: message_stop\n"),
        Format::Responses => {
            ["completed", "incomplete"].iter().any(|end| last.starts_with(&format!("event: response.{end}\n")))
        }
        Format::Ollama => text.lines().next_back().is_some_and(|line| line.contains(",\"done\":true,")),
    }
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

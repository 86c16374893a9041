//! What the fuzz targets share: cutting input into pieces, and the rules that a client's stream and an upstream's body must
//! keep.
//!
//! Never here: a rule that only holds for well-formed input.

use wire::{
    AnswerStream, Cell, Channel, ErrorBody, ErrorType, Fault, Format, Lane, ModelRequest, Operation,
    Outbound, Progress, ReadLimits, Reply, Screen, Verdict,
};

/// Cells of the table that have code behind them.
pub fn cells() -> impl Iterator<Item = Cell> {
    let served = |cell: &Cell| match (cell.client(), cell.operation()) {
        (Format::OpenAi, Operation::Chat) => true,
        (Format::Ollama, Operation::Embed | Operation::EmbedOne) => cell.upstream() == Format::Ollama,
        (Format::Ollama, _) => true,
        _ => false,
    };
    wire::lanes::cells().filter(served)
}

pub const LIMITS: ReadLimits = ReadLimits { depth: 16, messages: 8, tools: 4, images: 2, image_bytes: 64 };

fn read(cell: Cell, body: &[u8]) -> Result<ModelRequest<'_>, Fault> {
    wire::read_request(cell.client(), cell.operation(), body, &LIMITS)
}

/// No body makes a reader panic, and what a writer makes of an accepted one is JSON.
pub fn request(cell: Cell, input: &[u8]) {
    let Ok(mut request) = read(cell, input) else { return };
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
        ..Outbound::to("up\"\n")
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
    // Nor does what a screen does to it.
    let _verdict = request.screen(&mut Reluctant::default());
    out.clear();
    if wire::write_request(cell, &request, &to, &mut out).is_ok() {
        assert!(wire::json::accepts(&out, 128));
    }
}

/// A whole answer becomes JSON or nothing.
pub fn answer(cell: Cell, input: &[u8]) {
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
    cells().filter(streamed).filter(|cell| cell.upstream() == upstream).for_each(|cell| stream(cell, input));
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
    let lines = cell.client() == Format::Ollama;
    let (before, after) = if lines { ("", "\n") } else { ("data: ", "\n\n") };
    for event in text.split_terminator(after) {
        let data = event.strip_prefix(before).expect("only data goes to clients");
        assert!(!lines && data == "[DONE]" || wire::json::accepts(data.as_bytes(), 128), "{data:?}");
        assert!(!data.contains(['\n', '\r', '\u{2028}', '\u{2029}']));
    }
    let last = text.lines().next_back().unwrap_or("");
    let ends = if lines { last.contains(",\"done\":true,") } else { text.ends_with("data: [DONE]\n\n") };
    assert_eq!(ends, progress == Progress::Complete);
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

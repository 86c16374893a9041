//! What the fuzz targets share: cutting input into pieces, and the rules that a client's stream must keep.
//!
//! Never here: a rule that only holds for well-formed input.

use wire::{
    AnswerStream, Channel, ErrorBody, ErrorType, Format, Operation, Progress, Reply, Screen, Verdict,
};

/// The cell of a chat that came in OpenAI's format.
fn chat(upstream: Format) -> wire::Cell {
    wire::cell(Format::OpenAi, upstream, Operation::Chat).unwrap()
}

/// The first byte says how the rest is cut.
pub fn cut(input: &[u8]) -> (usize, &[u8]) {
    match input.split_first() {
        Some((size, rest)) => (usize::from(*size).max(1), rest),
        None => (1, input),
    }
}

/// Feeds a stream whole and in pieces, free, capped and screened: the client's bytes must be equal and clean.
pub fn stream(upstream: Format, input: &[u8]) {
    for (cap, screen) in [(None, false), (Some(1), false), (None, true)] {
        one_way(upstream, input, cap, screen);
    }
}

fn one_way(upstream: Format, input: &[u8], cap: Option<u64>, screen: bool) {
    let (size, bytes) = cut(input);
    let (whole, progress) = feed(upstream, bytes, bytes.len().max(1), cap, screen);
    let (pieces, same) = feed(upstream, bytes, size, cap, screen);
    assert_eq!(whole, pieces);
    assert_eq!(progress, same);
    let text = std::str::from_utf8(&whole).expect("UTF-8 goes to clients");
    for event in text.split_terminator("\n\n") {
        let data = event.strip_prefix("data: ").expect("only data lines go to clients");
        assert!(data == "[DONE]" || wire::json::accepts(data.as_bytes(), 128), "{data:?}");
        assert!(!data.contains(['\n', '\r', '\u{2028}', '\u{2029}']));
    }
    assert_eq!(text.ends_with("data: [DONE]\n\n"), progress == Progress::Complete);
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

fn feed(
    upstream: Format,
    bytes: &[u8],
    size: usize,
    cap: Option<u64>,
    screen: bool,
) -> (Vec<u8>, Progress) {
    let reply = Reply {
        include_usage: true,
        reasoning_alias: true,
        line_bytes_max: 512,
        output_tokens_max: cap,
        ..Reply::new("0123456789abcdef01234567", "m")
    };
    let screen = screen.then(|| Box::new(Reluctant::default()) as Box<dyn Screen>);
    let mut stream = AnswerStream::new(chat(upstream), reply, screen);
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

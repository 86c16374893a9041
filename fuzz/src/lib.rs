//! What the fuzz targets share: cutting input into pieces, and the rules that a client's stream must keep.
//!
//! Never here: a rule that only holds for well-formed input.

use wire::{ChatStream, ErrorBody, ErrorType, Format, Lane, Progress, Reply, Strip};

/// The first byte says how the rest is cut.
pub fn cut(input: &[u8]) -> (usize, &[u8]) {
    match input.split_first() {
        Some((size, rest)) => (usize::from(*size).max(1), rest),
        None => (1, input),
    }
}

/// Feeds a stream whole and in pieces: the client's bytes must be equal and clean.
pub fn stream(lane: Lane, upstream: Format, input: &[u8]) {
    let (size, bytes) = cut(input);
    let (whole, progress) = feed(lane, upstream, bytes, bytes.len().max(1));
    let (pieces, same) = feed(lane, upstream, bytes, size);
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

fn feed(lane: Lane, upstream: Format, bytes: &[u8], size: usize) -> (Vec<u8>, Progress) {
    let reply = Reply {
        id: "0123456789abcdef01234567".into(),
        model: "m".into(),
        include_usage: true,
        strip: Strip::default(),
        created: 0,
        reasoning_alias: true,
        line_bytes_max: 512,
        output_tokens_max: None,
        output_bytes_max: None,
    };
    let mut stream = ChatStream::new(lane, Format::OpenAi, upstream, reply, None);
    let mut out = Vec::new();
    for piece in bytes.chunks(size) {
        stream.push(piece, &mut out);
    }
    let progress = stream.end(&mut out);
    if matches!(progress, Progress::Failed(_)) {
        let error = ErrorBody { kind: ErrorType::Server, message: "failed", param: None, code: None };
        stream.fail(&error, &mut out);
    }
    (out, progress)
}

//! The gateway's stream, read: bytes in, signals out.
//!
//! Why here: what counts as a proper end is decided once. A stream that merely stops is cut, however much text it gave.
//!
//! Never here: sockets, storage, clocks.

use std::borrow::Cow;

use serde::Deserialize;
use store::PieceKind;
use wire::frame::sse::{Decoder, Item};

use super::api::Failure;
use super::refusal::Refusal;
use super::{bounds, failure};

/// One thing that the stream said.
#[derive(Debug, PartialEq)]
pub(super) enum Signal {
    Piece(PieceKind, String),
    Queued { position: u64 },
    Loading { elapsed_s: u64 },
    Reading,
}

/// Where the stream stands.
#[derive(Debug, PartialEq)]
pub(super) enum Standing {
    Open,
    /// Properly ended; nothing after it counts.
    Ended {
        cut: bool,
    },
    Failed(Failure),
}

/// Token counts as the gateway gave them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Counts {
    #[serde(default)]
    pub prompt_tokens: u64,
    #[serde(default)]
    pub completion_tokens: u64,
}

pub(super) struct Reader {
    decoder: Decoder,
    /// The finish reason, once one came: `true` for a length limit.
    finish: Option<bool>,
    pub counts: Option<Counts>,
    ended: bool,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(default)]
    usage: Option<Counts>,
    #[serde(borrow, default)]
    error: Option<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    content: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reasoning: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reasoning_content: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Progress<'a> {
    #[serde(borrow)]
    state: Cow<'a, str>,
    #[serde(default)]
    position: u64,
    #[serde(default)]
    elapsed_s: u64,
}

impl Reader {
    pub fn new() -> Self {
        Self { decoder: Decoder::new(bounds::GATEWAY_EVENT_BYTES), finish: None, counts: None, ended: false }
    }

    /// Takes bytes as they came; appends what they say.
    pub fn push(&mut self, mut bytes: &[u8], signals: &mut Vec<Signal>) -> Standing {
        let Self { decoder, finish, counts, ended } = self;
        while let Some(item) = decoder.next(&mut bytes) {
            match item {
                Err(_) => return Standing::Failed(Refusal::default().failure()),
                Ok(Item::Comment(text)) => signals.extend(progress(text)),
                Ok(Item::Data { data, .. }) if data == b"[DONE]" => {
                    *ended = true;
                    break;
                }
                Ok(Item::Data { data, .. }) => {
                    if let Err(failure) = read_chunk(data, finish, counts, signals) {
                        return Standing::Failed(failure);
                    }
                }
            }
        }
        if *ended { Standing::Ended { cut: finish.unwrap_or(false) } } else { Standing::Open }
    }

    /// The gateway closed.
    pub fn close(&mut self, signals: &mut Vec<Signal>) -> Standing {
        let Self { decoder, finish, counts, .. } = self;
        if let Some(Item::Data { data, .. }) = decoder.end()
            && data != b"[DONE]"
            && let Err(failure) = read_chunk(data, finish, counts, signals)
        {
            return Standing::Failed(failure);
        }
        match self.finish {
            Some(cut) => Standing::Ended { cut },
            None => Standing::Failed(failure::stream_cut()),
        }
    }
}

fn read_chunk(
    data: &[u8],
    finish: &mut Option<bool>,
    counts: &mut Option<Counts>,
    signals: &mut Vec<Signal>,
) -> Result<(), Failure> {
    let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(data) else {
        return Err(Refusal::default().failure());
    };
    if chunk.error.is_some() {
        return Err(Refusal::read(None, data).failure());
    }
    if chunk.usage.is_some() {
        *counts = chunk.usage;
    }
    for choice in chunk.choices.unwrap_or_default() {
        if let Some(delta) = choice.delta {
            let mut piece = |kind, text: Option<Cow<'_, str>>| {
                let text = text.filter(|t| !t.is_empty());
                signals.extend(text.map(|t| Signal::Piece(kind, t.into_owned())));
            };
            // Servers that send both names send the same text twice.
            piece(PieceKind::Thinking, delta.reasoning.or(delta.reasoning_content));
            piece(PieceKind::Text, delta.content);
        }
        if let Some(reason) = choice.finish_reason {
            *finish = Some(reason == "length");
        }
    }
    Ok(())
}

/// `progress {...}`; any other comment only says that the connection lives.
fn progress(comment: &[u8]) -> Option<Signal> {
    let json = comment.strip_prefix(b"progress ")?;
    let progress: Progress<'_> = serde_json::from_slice(json).ok()?;
    match progress.state.as_ref() {
        "queued" => Some(Signal::Queued { position: progress.position }),
        "loading" => Some(Signal::Loading { elapsed_s: progress.elapsed_s }),
        "reading" => Some(Signal::Reading),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = concat!(
        ": progress {\"state\":\"queued\",\"position\":2}\n\n",
        ": keepalive\n\n",
        ": progress {\"state\":\"loading\",\"elapsed_s\":4}\n\n",
        ": progress {\"state\":\"reading\"}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"reasoning\":\"hm\",\"reasoning_content\":\"hm\"}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"\\u4f60好\"}}]}\r\n\r\n",
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}}\n\n",
        "data: [DONE]\n\n",
    );

    #[test]
    fn any_cut_gives_the_same_signals() {
        for cut in 0..=STREAM.len() {
            let (mut reader, mut signals) = (Reader::new(), Vec::new());
            let (a, b) = STREAM.as_bytes().split_at(cut);
            let first = reader.push(a, &mut signals);
            let last = if first == Standing::Open { reader.push(b, &mut signals) } else { first };
            assert_eq!(last, Standing::Ended { cut: true }, "cut at {cut}");
            assert_eq!(reader.counts, Some(Counts { prompt_tokens: 3, completion_tokens: 2 }));
            assert_eq!(
                signals,
                [
                    Signal::Queued { position: 2 },
                    Signal::Loading { elapsed_s: 4 },
                    Signal::Reading,
                    Signal::Piece(PieceKind::Thinking, "hm".into()),
                    Signal::Piece(PieceKind::Text, "你好".into()),
                ],
                "cut at {cut}"
            );
        }
    }

    #[track_caller]
    fn ends(stream: &str, code: Option<&str>) {
        let (mut reader, mut signals) = (Reader::new(), Vec::new());
        let standing = match reader.push(stream.as_bytes(), &mut signals) {
            Standing::Open => reader.close(&mut signals),
            other => other,
        };
        match (standing, code) {
            (Standing::Failed(f), Some(code)) => assert_eq!(f.code, code, "{stream}"),
            (Standing::Ended { .. }, None) => {}
            (other, _) => panic!("{stream}: {other:?}"),
        }
    }

    #[test]
    fn a_stream_that_merely_stops_is_cut() {
        let text = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
        let finish = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
        ends("", Some("stream_cut"));
        ends(text, Some("stream_cut"));
        ends(&format!("{text}{finish}"), None);
        ends(&format!("{text}data: [DONE]\n\n"), None);
        ends(
            &format!("{text}data: {{\"error\":{{\"message\":\"x\",\"type\":\"server_error\"}}}}\n\n"),
            Some("gateway_failed"),
        );
        ends("data: {\"error\":\"prompt too long, max 32768 chars\"}\n\n", Some("prompt_too_long"));
        ends("data: not json\n\n", Some("gateway_failed"));
        ends("data: {\"choices\":null}\n\ndata: [DONE]\n\n", None);
    }
}

//! Generated answers as bytes, built once and sent many times.
//!
//! Why here: at hundreds of streams without gaps, formatting a frame per token would make the player the bottleneck.
//!
//! Never here: sockets, clocks. The time in a frame is a constant: no reader may depend on it.

use std::fmt::Write as _;

const CREATED_AT: &str = "2026-01-02T03:04:05.678901Z";
const CREATED: u64 = 1_767_323_045;

/// What a stream looks like on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    OllamaChat,
    OllamaGenerate,
    OpenAi,
    /// The older `/v1/completions`.
    OpenAiText,
}

impl Dialect {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OllamaChat | Self::OllamaGenerate => "application/x-ndjson",
            Self::OpenAi | Self::OpenAiText => "text/event-stream",
        }
    }
}

/// A whole stream: one chunk a frame, and where each ends.
#[derive(Debug)]
pub struct Stream {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Stream {
    pub fn build(dialect: Dialect, model: &str, tokens: usize, usage: bool) -> Self {
        let mut built =
            Self { bytes: Vec::with_capacity(tokens * 160), ends: Vec::with_capacity(tokens + 1) };
        for at in 0..tokens {
            built.push(&token(dialect, model, at));
        }
        built.push(&last(dialect, model, tokens, usage));
        built.bytes.extend_from_slice(b"0\r\n\r\n");
        if let Some(end) = built.ends.last_mut() {
            *end = built.bytes.len();
        }
        built
    }

    fn push(&mut self, frame: &str) {
        self.bytes.extend_from_slice(format!("{:x}\r\n{frame}\r\n", frame.len()).as_bytes());
        self.ends.push(self.bytes.len());
    }

    pub fn frames(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of frames `from..to`.
    pub fn slice(&self, from: usize, to: usize) -> &[u8] {
        let end_of = |n: usize| n.checked_sub(1).and_then(|n| self.ends.get(n)).copied().unwrap_or(0);
        self.bytes.get(end_of(from)..end_of(to.min(self.ends.len()))).unwrap_or_default()
    }
}

/// The text of token number `at`: numbered, so that a reader can prove that none was lost, doubled or swapped.
pub fn text(at: usize) -> String {
    format!(" w{at}")
}

fn token(dialect: Dialect, model: &str, at: usize) -> String {
    let text = text(at);
    match dialect {
        Dialect::OllamaChat => format!(
            "{{\"model\":\"{model}\",\"created_at\":\"{CREATED_AT}\",\"message\":{{\"role\":\"assistant\",\"content\":\"{text}\"}},\"done\":false}}\n"
        ),
        Dialect::OllamaGenerate => format!(
            "{{\"model\":\"{model}\",\"created_at\":\"{CREATED_AT}\",\"response\":\"{text}\",\"done\":false}}\n"
        ),
        Dialect::OpenAi => format!(
            "data: {{\"id\":\"chatcmpl-up\",\"object\":\"chat.completion.chunk\",\"created\":{CREATED},\"model\":\"{model}\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":null}}]}}\n\n"
        ),
        Dialect::OpenAiText => format!(
            "data: {{{},\"choices\":[{{\"index\":0,\"text\":\"{text}\",\"logprobs\":null,\"finish_reason\":null}}]}}\n\n",
            openai_head(dialect, model)
        ),
    }
}

fn last(dialect: Dialect, model: &str, tokens: usize, usage: bool) -> String {
    match dialect {
        Dialect::OllamaChat => format!("{}\n", whole_ollama(model, "", tokens, "message")),
        Dialect::OllamaGenerate => format!("{}\n", whole_ollama(model, "", tokens, "response")),
        Dialect::OpenAi | Dialect::OpenAiText => {
            let head = openai_head(dialect, model);
            let end = if dialect == Dialect::OpenAi { "\"delta\":{}" } else { "\"text\":\"\"" };
            let mut text = format!(
                "data: {{{head},\"choices\":[{{\"index\":0,{end},\"finish_reason\":\"stop\"}}]}}\n\n"
            );
            if usage {
                // Writing to a String cannot fail.
                let _ = write!(text, "data: {{{head},\"choices\":[],\"usage\":{}}}\n\n", usage_json(tokens));
            }
            text + "data: [DONE]\n\n"
        }
    }
}

fn openai_head(dialect: Dialect, model: &str) -> String {
    let (id, object) = match dialect {
        Dialect::OpenAiText => ("cmpl-up", "text_completion"),
        _ => ("chatcmpl-up", "chat.completion.chunk"),
    };
    format!("\"id\":\"{id}\",\"object\":\"{object}\",\"created\":{CREATED},\"model\":\"{model}\"")
}

fn usage_json(tokens: usize) -> String {
    format!("{{\"prompt_tokens\":11,\"completion_tokens\":{tokens},\"total_tokens\":{}}}", tokens + 11)
}

fn whole_ollama(model: &str, content: &str, tokens: usize, field: &str) -> String {
    let body = match field {
        "message" => format!("\"message\":{{\"role\":\"assistant\",\"content\":\"{content}\"}}"),
        _ => format!("\"response\":\"{content}\""),
    };
    format!(
        "{{\"model\":\"{model}\",\"created_at\":\"{CREATED_AT}\",{body},\"done\":true,\"done_reason\":\"stop\",\"total_duration\":174560334,\"load_duration\":101397084,\"prompt_eval_count\":11,\"prompt_eval_duration\":13074791,\"eval_count\":{tokens},\"eval_duration\":52479709}}"
    )
}

/// The answer to a request that did not ask for a stream.
pub fn whole(dialect: Dialect, model: &str, tokens: usize) -> String {
    let content: String = (0..tokens).map(text).collect();
    match dialect {
        Dialect::OllamaChat => whole_ollama(model, &content, tokens, "message"),
        Dialect::OllamaGenerate => whole_ollama(model, &content, tokens, "response"),
        Dialect::OpenAi => format!(
            "{{\"id\":\"chatcmpl-up\",\"object\":\"chat.completion\",\"created\":{CREATED},\"model\":\"{model}\",\"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\"{content}\"}},\"logprobs\":null,\"finish_reason\":\"stop\"}}],\"usage\":{}}}",
            usage_json(tokens)
        ),
        Dialect::OpenAiText => format!(
            "{{{},\"choices\":[{{\"index\":0,\"text\":\"{content}\",\"logprobs\":null,\"finish_reason\":\"stop\"}}],\"usage\":{}}}",
            openai_head(dialect, model),
            usage_json(tokens)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cover_the_stream_exactly_once() {
        let stream = Stream::build(Dialect::OllamaChat, "m", 5, false);
        assert_eq!(stream.frames(), 6);
        let mut joined = Vec::new();
        for at in 0..3 {
            joined.extend_from_slice(stream.slice(at * 2, at * 2 + 2));
        }
        assert_eq!(joined, stream.bytes);
        assert!(joined.ends_with(b"\r\n0\r\n\r\n"));
    }

    #[test]
    fn every_frame_is_json() {
        for dialect in [Dialect::OllamaChat, Dialect::OllamaGenerate] {
            for frame in [token(dialect, "m", 3), last(dialect, "m", 4, true), whole(dialect, "m", 2)] {
                serde_json::from_str::<serde_json::Value>(&frame).unwrap();
            }
        }
        for dialect in [Dialect::OpenAi, Dialect::OpenAiText] {
            serde_json::from_str::<serde_json::Value>(&whole(dialect, "m", 2)).unwrap();
            let events = last(dialect, "m", 4, true) + &token(dialect, "m", 0);
            let mut seen = 0;
            for data in
                events.split("\n\n").filter_map(|e| e.strip_prefix("data: ")).filter(|d| *d != "[DONE]")
            {
                serde_json::from_str::<serde_json::Value>(data).unwrap();
                seen += 1;
            }
            assert_eq!(seen, 3);
        }
    }
}

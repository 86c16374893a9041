//! What a model says, as either upstream writes it.
//!
//! Never here: what a client gets.

use proptest::prelude::*;
use wire::Format;

/// One thing that a model says.
#[derive(Clone, Debug)]
pub enum Said {
    Thinking(String),
    Content(String),
    /// Whole on one lane, in pieces of two letters on the other.
    Call(String),
}

fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

pub fn spoken(upstream: Format, said: &[Said]) -> String {
    if upstream == Format::Ollama { lines(said) } else { events(said) }
}

pub fn lines(said: &[Said]) -> String {
    let mut text = String::new();
    for one in said {
        let message = match one {
            Said::Thinking(text) => format!(r#""thinking":{}"#, json(text)),
            Said::Content(text) => format!(r#""content":{}"#, json(text)),
            Said::Call(text) => {
                let arguments = format!(r#"{{"q":{}}}"#, json(text));
                format!(r#""tool_calls":[{{"function":{{"name":"f","arguments":{arguments}}}}}]"#)
            }
        };
        let logprobs = r#"[{"token":"secret","logprob":-1}]"#;
        text += &format!("{{\"message\":{{{message}}},\"logprobs\":{logprobs},\"done\":false}}\n");
    }
    text + "{\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":3,\"eval_count\":99}\n"
}

fn events(said: &[Said]) -> String {
    let mut text = String::new();
    let mut event = |delta: String, finish: &str| {
        let logprobs = r#"{"content":[{"token":"secret","logprob":-1}]}"#;
        text += &format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{{{delta}}},\"logprobs\":{logprobs},\"finish_reason\":{finish}}}]}}\n\n"
        );
    };
    event(r#""role":"assistant","content":"""#.to_owned(), "null");
    let mut calls = 0;
    for one in said {
        match one {
            Said::Thinking(text) => event(format!(r#""reasoning_content":{}"#, json(text)), "null"),
            Said::Content(text) => event(format!(r#""content":{}"#, json(text)), "null"),
            Said::Call(text) => {
                let head = r#""type":"function","function":{"name":"f","arguments":""}"#;
                event(format!(r#""tool_calls":[{{"index":{calls},"id":"c{calls}",{head}}}]"#), "null");
                let arguments: Vec<char> = format!(r#"{{"q":{}}}"#, json(text)).chars().collect();
                for piece in arguments.chunks(2) {
                    let piece = json(&piece.iter().collect::<String>());
                    let fragment = format!(r#"{{"index":{calls},"function":{{"arguments":{piece}}}}}"#);
                    event(format!(r#""tool_calls":[{fragment}]"#), "null");
                }
                calls += 1;
            }
        }
    }
    event(String::new(), "\"stop\"");
    text + "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":99}}\n\ndata: [DONE]\n\n"
}

pub fn words(words: &[&str]) -> Vec<Said> {
    words.iter().map(|word| Said::Content((*word).to_owned())).collect()
}

pub fn said() -> impl Strategy<Value = Vec<Said>> {
    let piece = prop::sample::select(vec![
        "s", "se", "secret", "cret", "et s", "ecre", " ", "bo", "mb", "fuse", "é", "\"\n", "x",
    ]);
    let one = (0..5u8, piece).prop_map(|(kind, piece)| match kind {
        0 => Said::Thinking(piece.to_owned()),
        1 => Said::Call(piece.to_owned()),
        _ => Said::Content(piece.to_owned()),
    });
    prop::collection::vec(one, 0..12)
}

//! What is asked of whom: the request's bytes, and how its answer's tokens look.
//!
//! Why here: through nginx and directly the dialect is Ollama's; through the gateway it is OpenAI's. Nothing else differs.
//!
//! Never here: sockets.

use std::net::SocketAddr;

/// The dialect of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// NDJSON from `/api/chat`.
    Ollama,
    /// Server-sent events from `/v1/chat/completions`.
    OpenAi,
}

#[derive(Clone, Debug)]
pub struct Target {
    pub name: &'static str,
    pub address: SocketAddr,
    pub asks: Asks,
    pub key: Option<String>,
}

impl Target {
    /// A chat request with a prompt of about this many bytes, capped at so many tokens.
    pub fn request(&self, model: &str, prompt_bytes: usize, tokens: usize, stream: bool) -> Vec<u8> {
        let prompt: String =
            "The quick brown fox jumps over the lazy dog. ".chars().cycle().take(prompt_bytes).collect();
        self.asking(model, &prompt, tokens, stream)
    }

    /// A chat request with this prompt, which must need no escaping.
    pub fn asking(&self, model: &str, prompt: &str, tokens: usize, stream: bool) -> Vec<u8> {
        let messages = format!("\"messages\":[{{\"role\":\"user\",\"content\":\"{prompt}\"}}]");
        let (path, body) = match self.asks {
            Asks::Ollama => (
                "/api/chat",
                format!(
                    "{{\"model\":\"{model}\",{messages},\"stream\":{stream},\"options\":{{\"num_predict\":{tokens}}}}}"
                ),
            ),
            Asks::OpenAi => (
                "/v1/chat/completions",
                format!("{{\"model\":\"{model}\",{messages},\"stream\":{stream},\"max_tokens\":{tokens}}}"),
            ),
        };
        let key = self.key.as_ref().map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n{key}content-length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        (head + &body).into_bytes()
    }
}

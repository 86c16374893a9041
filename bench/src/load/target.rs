//! What is asked of whom: the request's bytes, and how its answer's tokens look in each dialect.
//!
//! Why here: through nginx and directly the dialect is the player's; through the gateway it is whatever clients speak.
//!
//! Never here: sockets.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_rustls::rustls::ClientConfig;

/// The dialect of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// NDJSON from `/api/chat`.
    Ollama,
    /// NDJSON from `/api/generate`.
    Generate,
    /// Server-sent events from `/v1/chat/completions`.
    OpenAi,
    /// Server-sent events from `/v1/completions`.
    Completions,
    /// Server-sent events from `/v1/responses`.
    Responses,
    /// Server-sent events from `/v1/messages`.
    Anthropic,
}

impl Asks {
    /// What stands before a token's text in a line of a stream.
    pub fn token(self) -> &'static [u8] {
        match self {
            Self::Ollama | Self::OpenAi => b"\"content\":\" w",
            Self::Generate => b"\"response\":\" w",
            Self::Completions | Self::Anthropic => b"\"text\":\" w",
            Self::Responses => b"\"delta\":\" w",
        }
    }

    /// What a proper end looks like.
    pub fn end(self) -> &'static [u8] {
        match self {
            Self::Ollama | Self::Generate => b"\"done\":true",
            Self::OpenAi | Self::Completions => b"data: [DONE]",
            Self::Responses => b"event: response.completed",
            Self::Anthropic => b"event: message_stop",
        }
    }

    /// What a failure looks like.
    pub fn failure(self) -> &'static [u8] {
        match self {
            Self::Ollama | Self::Generate => b"{\"error\"",
            Self::OpenAi | Self::Completions => b"data: {\"error\"",
            Self::Responses => b"event: response.failed",
            Self::Anthropic => b"event: error",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Ollama => "/api/chat",
            Self::Generate => "/api/generate",
            Self::OpenAi => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Responses => "/v1/responses",
            Self::Anthropic => "/v1/messages",
        }
    }

    fn body(self, model: &str, prompt: &str, tokens: usize, stream: bool) -> String {
        let messages = format!("\"messages\":[{{\"role\":\"user\",\"content\":\"{prompt}\"}}]");
        let head = format!("\"model\":\"{model}\",\"stream\":{stream}");
        match self {
            Self::Ollama => format!("{{{head},{messages},\"options\":{{\"num_predict\":{tokens}}}}}"),
            Self::Generate => {
                format!("{{{head},\"prompt\":\"{prompt}\",\"options\":{{\"num_predict\":{tokens}}}}}")
            }
            Self::OpenAi | Self::Anthropic => format!("{{{head},{messages},\"max_tokens\":{tokens}}}"),
            Self::Completions => format!("{{{head},\"prompt\":\"{prompt}\",\"max_tokens\":{tokens}}}"),
            Self::Responses => format!("{{{head},\"input\":\"{prompt}\",\"max_output_tokens\":{tokens}}}"),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Target {
    pub name: &'static str,
    pub address: SocketAddr,
    pub asks: Asks,
    pub key: Option<String>,
    /// `None`: plain HTTP.
    pub tls: Option<Tls>,
}

/// What a client needs to reach a target over TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    /// In the handshake and in each request's `host`.
    pub name: &'static str,
    pub config: Arc<ClientConfig>,
}

/// The targets, beginning with another one each round.
pub fn turn<const N: usize>(targets: &[Target; N], round: usize) -> impl Iterator<Item = &Target> {
    targets.iter().cycle().skip(round % N).take(N)
}

impl Target {
    fn host(&self) -> String {
        self.tls.as_ref().map_or_else(|| self.address.to_string(), |tls| tls.name.to_owned())
    }

    /// A chat request with a prompt of about this many bytes, capped at so many tokens.
    pub fn request(&self, model: &str, prompt_bytes: usize, tokens: usize, stream: bool) -> Vec<u8> {
        let prompt: String =
            "The quick brown fox jumps over the lazy dog. ".chars().cycle().take(prompt_bytes).collect();
        self.asking(model, &prompt, tokens, stream)
    }

    /// A chat request with this prompt, which must need no escaping.
    pub fn asking(&self, model: &str, prompt: &str, tokens: usize, stream: bool) -> Vec<u8> {
        self.post(self.asks.path(), &self.asks.body(model, prompt, tokens, stream))
    }

    pub fn post(&self, path: &str, body: &str) -> Vec<u8> {
        let key = self.key.as_ref().map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n{key}content-length: {}\r\n\r\n",
            self.host(),
            body.len()
        );
        (head + body).into_bytes()
    }
}

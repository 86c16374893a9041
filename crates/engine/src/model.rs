//! What the rest of the crate asks of a model, whoever runs it.
//!
//! Why here: the schedule and the HTTP surface are the part with the races in it; behind these two traits they are tested
//! with a scripted model in milliseconds, and the native library is one implementation.
//!
//! Never here: llama.cpp, HTTP.

use http::StatusCode;

pub(crate) type Token = i32;

/// A refusal or failure as a client sees it: `{"error": text}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
}

impl Fault {
    pub(crate) fn caller(text: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, text: text.into() }
    }

    pub(crate) fn ours(text: impl Into<String>) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, text: text.into() }
    }
}

/// One turn of a conversation, as the template sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) role: String,
    pub(crate) content: String,
}

/// What is known of a loaded model; all of it is shown by `/api/show`, `/api/tags` or `/api/ps`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) family: String,
    pub(crate) parameters: u64,
    pub(crate) quantization: String,
    pub(crate) trained_context: u32,
    pub(crate) template: String,
    /// Further numbers of the file's header, under their own names.
    pub(crate) header: Vec<(String, u64)>,
}

/// How the next token is chosen. Values are checked before they come here.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sampling {
    pub(crate) temperature: f32,
    pub(crate) top_k: i32,
    pub(crate) top_p: f32,
    pub(crate) min_p: f32,
    pub(crate) repeat_penalty: f32,
    pub(crate) repeat_last_n: i32,
    pub(crate) frequency_penalty: f32,
    pub(crate) presence_penalty: f32,
    pub(crate) seed: u32,
    /// A grammar that the answer must follow, in llama.cpp's notation.
    pub(crate) grammar: Option<String>,
}

/// The side of a model that many threads may use at once.
pub(crate) trait Reader: Send + Sync + 'static {
    fn facts(&self) -> &Facts;
    /// The conversation as one prompt, ending where the model is to speak.
    fn prompt(&self, turns: &[Turn]) -> Result<String, Fault>;
    fn tokens(&self, prompt: &str) -> Vec<Token>;
    /// A grammar for answers that match `schema` (a JSON Schema as text).
    fn grammar(&self, schema: &str) -> Result<String, Fault>;
}

/// One token to be read by the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Feed {
    pub(crate) slot: usize,
    pub(crate) position: usize,
    pub(crate) token: Token,
    /// Whether the next token will be chosen after this one.
    pub(crate) choose: bool,
}

/// The side that one thread owns.
pub(crate) trait Decoder {
    type Sampler;
    fn sampler(&self, sampling: &Sampling) -> Result<Self::Sampler, Fault>;
    /// Reads all of `feed` in one step.
    fn decode(&mut self, feed: &[Feed]) -> Result<(), Fault>;
    /// The token that follows `feed[index]` of the last step.
    fn choose(&mut self, sampler: &mut Self::Sampler, index: usize) -> Result<Token, Fault>;
    /// Forgets what `slot` has read from position `keep` on. False: only all of it could be forgotten, and was.
    fn forget(&mut self, slot: usize, keep: usize) -> bool;
    fn is_end(&self, token: Token) -> bool;
    fn bytes(&self, token: Token) -> Vec<u8>;
}

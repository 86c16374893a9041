//! What the chat server and its page say to each other, as plain records.
//!
//! Why here: one file is the contract; `web/src/lib/api.ts` is generated from it (see `tests/types.rs`) and checked to be
//! fresh, so that neither side can drift alone.
//!
//! Never here: behaviour. Times are unix milliseconds, ids are opaque.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum NoticeCode {
    NoKey,
    OpenToNetwork,
}

/// Something missing or loud, said on the page.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Notice {
    pub code: NoticeCode,
    pub message: Cow<'static, str>,
}

/// Language of the page; absent: the browser decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Locale {
    En,
    Zh,
}

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Setup {
    pub title: String,
    pub description: String,
    pub locale: Option<Locale>,
    pub default_model: Option<String>,
    pub version: String,
    pub notice: Option<Notice>,
}

/// The one thing that helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum FailureAction {
    Retry,
    Wait,
    Shorten,
    Operator,
    NewChat,
}

/// Why something failed: a stable code for programs, a sentence for people, no addresses in either.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Failure {
    pub code: Cow<'static, str>,
    pub message: Cow<'static, str>,
    pub action: FailureAction,
    pub retry_after_s: Option<u64>,
    pub request_id: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ErrorBody {
    pub error: Failure,
}

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Model {
    pub id: String,
}

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Models {
    pub models: Vec<Model>,
    pub error: Option<Failure>,
}

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ChatSummary {
    pub id: String,
    pub title: String,
    pub updated_at: i64,
}

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Chats {
    pub chats: Vec<ChatSummary>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Usage {
    pub prompt_tokens: u64,
    pub output_tokens: u64,
    /// From sending the question to the end of the answer.
    pub seconds: f64,
    /// While the answer was being written.
    pub tokens_per_second: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    User,
    Assistant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum MessageStatus {
    Done,
    Running,
    Stopped,
    Cut,
    Failed,
}

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Message {
    pub id: String,
    pub parent_id: Option<String>,
    pub role: Role,
    pub model: Option<String>,
    pub text: String,
    pub thinking: String,
    /// Data URLs.
    pub images: Vec<String>,
    pub status: MessageStatus,
    pub failure: Option<Failure>,
    pub usage: Option<Usage>,
    pub created_at: i64,
    /// Messages with the same parent, this one included, oldest first.
    pub siblings: Vec<String>,
}

/// An answer in progress; `seq` belongs to the text given beside it.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Run {
    pub id: String,
    pub message_id: String,
    pub seq: u64,
}

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Chat {
    pub id: String,
    pub title: String,
    pub updated_at: i64,
    pub head_id: Option<String>,
    pub messages: Vec<Message>,
    /// There are messages above the first one given.
    pub older: bool,
    pub run: Option<Run>,
}

#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct NewChat {
    #[serde(default)]
    #[cfg_attr(test, ts(optional))]
    pub title: Option<String>,
}

/// At least one of the two.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct ChangeChat {
    #[serde(default)]
    #[cfg_attr(test, ts(optional))]
    pub title: Option<String>,
    /// Shows the branch through this message, down to its newest leaf.
    #[serde(default)]
    #[cfg_attr(test, ts(optional))]
    pub head_id: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct Send {
    /// The same send twice is one question.
    pub client_id: String,
    pub text: String,
    #[serde(default)]
    #[cfg_attr(test, ts(optional, as = "Option<Vec<String>>"))]
    pub images: Vec<String>,
    pub model: String,
    pub parent_id: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Sent {
    pub user_message_id: String,
    pub message_id: String,
    pub run_id: String,
}

#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct Regenerate {
    pub message_id: String,
    pub model: String,
}

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Regenerated {
    pub message_id: String,
    pub run_id: String,
}

/// How an answer ended when it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum DoneStatus {
    Done,
    Cut,
    Stopped,
}

/// One thing a running answer says. A closed list.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    Queued {
        seq: u64,
        position: u64,
    },
    Loading {
        seq: u64,
        model: String,
        elapsed_s: u64,
    },
    Reading {
        seq: u64,
    },
    Thinking {
        seq: u64,
        text: String,
    },
    Text {
        seq: u64,
        text: String,
    },
    /// Replaces text and thinking: the pieces in between are folded already.
    Snapshot {
        seq: u64,
        text: String,
        thinking: String,
    },
    Done {
        seq: u64,
        status: DoneStatus,
        usage: Option<Usage>,
        message_id: String,
    },
    Error {
        seq: u64,
        failure: Failure,
        message_id: String,
    },
}

impl Event {
    pub(super) fn seq(&self) -> u64 {
        match self {
            Self::Queued { seq, .. }
            | Self::Loading { seq, .. }
            | Self::Reading { seq }
            | Self::Thinking { seq, .. }
            | Self::Text { seq, .. }
            | Self::Snapshot { seq, .. }
            | Self::Done { seq, .. }
            | Self::Error { seq, .. } => *seq,
        }
    }
}

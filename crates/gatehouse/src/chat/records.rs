//! The store's records in the page's shape, and back.
//!
//! Why here: neither side knows the other. A field that is added must be placed here or the compiler asks.
//!
//! Never here: decisions.

use super::api::{self, Event, Failure};
use super::image;

pub(super) fn summary(s: store::ChatSummary) -> api::ChatSummary {
    api::ChatSummary { id: s.id, title: s.title, updated_at: s.updated_ms }
}

pub(super) fn chat(view: store::ChatView) -> api::Chat {
    let run = view.run.map(|r| api::Run { id: r.id, message_id: r.message_id, seq: r.seq });
    api::Chat {
        id: view.summary.id,
        title: view.summary.title,
        updated_at: view.summary.updated_ms,
        head_id: view.head_id,
        older: view.branch.older,
        messages: view.branch.messages.into_iter().map(message).collect(),
        run,
    }
}

fn message(m: store::Message) -> api::Message {
    api::Message {
        id: m.id,
        parent_id: m.parent_id,
        role: match m.role {
            store::Role::User => api::Role::User,
            store::Role::Assistant => api::Role::Assistant,
        },
        model: m.model,
        text: m.text,
        thinking: m.thinking,
        images: m.images.iter().map(image::data_url).collect(),
        status: match m.status {
            store::Status::Running => api::MessageStatus::Running,
            store::Status::Done => api::MessageStatus::Done,
            store::Status::Stopped => api::MessageStatus::Stopped,
            store::Status::Cut => api::MessageStatus::Cut,
            store::Status::Failed => api::MessageStatus::Failed,
        },
        failure: m.failure.as_deref().map(read_failure),
        usage: m.usage.map(usage),
        created_at: m.created_ms,
        siblings: m.siblings,
    }
}

fn usage(u: store::Usage) -> api::Usage {
    api::Usage {
        prompt_tokens: u.prompt_tokens,
        output_tokens: u.output_tokens,
        seconds: u.seconds,
        tokens_per_second: u.tokens_per_second,
    }
}

pub(super) fn usage_to_store(u: api::Usage) -> store::Usage {
    store::Usage {
        prompt_tokens: u.prompt_tokens,
        output_tokens: u.output_tokens,
        seconds: u.seconds,
        tokens_per_second: u.tokens_per_second,
    }
}

pub(super) fn piece_event(piece: store::Piece) -> Event {
    let (seq, text) = (piece.seq, piece.text);
    match piece.kind {
        store::PieceKind::Text => Event::Text { seq, text },
        store::PieceKind::Thinking => Event::Thinking { seq, text },
    }
}

/// How an ended run is told to somebody who comes later.
pub(super) fn final_event(seq: u64, message_id: String, settled: &store::Settled) -> Event {
    let done =
        |status| Event::Done { seq, status, usage: settled.usage.map(usage), message_id: message_id.clone() };
    match settled.status {
        store::Status::Done => done(api::DoneStatus::Done),
        store::Status::Cut => done(api::DoneStatus::Cut),
        store::Status::Stopped => done(api::DoneStatus::Stopped),
        store::Status::Failed | store::Status::Running => {
            let failure = settled.failure.as_deref().map_or_else(super::failure::interrupted, read_failure);
            Event::Error { seq, failure, message_id }
        }
    }
}

pub(super) fn write_failure(failure: &Failure) -> String {
    serde_json::to_string(failure).unwrap_or_default()
}

/// A failure that an older version wrote in words this one cannot read still failed.
fn read_failure(text: &str) -> Failure {
    serde_json::from_str(text).unwrap_or_else(|_| super::failure::interrupted())
}

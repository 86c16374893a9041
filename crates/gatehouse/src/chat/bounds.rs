//! Every bound of the chat server.
//!
//! Why here: what a stranger can make the server hold is read off one page.
//!
//! Never here: limits on use (requests, tokens). The gateway owns those.

use std::time::Duration;

pub(super) const CONNECTIONS: usize = 1_024;
pub(super) const HEADER_TIME: Duration = Duration::from_secs(10);
pub(super) const HEADER_BYTES: usize = 32 << 10;
pub(super) const HEADERS: usize = 64;
/// From the first byte of a request's body to its last.
pub(super) const BODY_TIME: Duration = Duration::from_secs(60);
pub(super) const BODY_BYTES: usize = 64 << 10;
/// A question with its images, as base64.
pub(crate) const QUESTION_BODY_BYTES: usize = 32 << 20;
/// Connections get this long to end after a stop signal.
pub(super) const DRAIN: Duration = Duration::from_secs(5);

pub(super) const TEXT_CHARS: usize = 200_000;
pub(super) const IMAGES: usize = 4;
pub(super) const IMAGE_BYTES: usize = 5 << 20;
pub(super) const TITLE_CHARS: usize = 200;
pub(super) const NAME_BYTES: usize = 256;

pub(super) const CHATS_LISTED: u32 = 200;
pub(super) const CHATS_PER_OWNER: u64 = 20_000;
pub(super) const MESSAGES_PER_CHAT: u64 = 4_000;
pub(super) const PAGE_MESSAGES: u32 = 200;
pub(super) const PAGE_BYTES: u64 = 24 << 20;
/// What is sent to the gateway: its own body limit, less the weight of base64.
pub(super) const HISTORY_MESSAGES: u32 = 2_000;
pub(super) const HISTORY_BYTES: u64 = 14 << 20;

pub(super) const RUNS: usize = 256;
pub(super) const RUNS_PER_OWNER: usize = 4;
/// Streams of one owner open at once: tabs and devices.
pub(super) const STREAMS_PER_OWNER: usize = 64;
pub(super) const ANSWER_BYTES: usize = 4 << 20;
/// Events a slow reader may lag behind before it is served from the store again.
pub(super) const LAG_EVENTS: usize = 64;
pub(super) const CATCH_UP_PIECES: u32 = 256;

/// Pieces of text are gathered this long; the first one is not.
pub(super) const GATHER: Duration = Duration::from_millis(120);
pub(super) const HEARTBEAT: Duration = Duration::from_secs(10);

pub(super) const CONNECT_TIME: Duration = Duration::from_secs(3);
/// Silence of the gateway. It sends comments while a request waits, so only a lost one is silent this long.
pub(super) const GATEWAY_IDLE: Duration = Duration::from_secs(660);
pub(super) const GATEWAY_TOTAL: Duration = Duration::from_secs(3_700);
pub(super) const GATEWAY_EVENT_BYTES: usize = 1 << 20;
pub(super) const REFUSAL_BYTES: usize = 64 << 10;
pub(super) const MODELS_BYTES: usize = 1 << 20;
pub(super) const MODELS_TIME: Duration = Duration::from_secs(5);

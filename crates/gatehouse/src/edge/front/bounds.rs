//! Every bound of the front.
//!
//! Why here: what a stranger can make this process hold, and for how long, is read off one page. The HTTP library's own
//! defaults bound neither heads in time nor streams in memory.
//!
//! Never here: rates per address and body sizes, which the configuration says; limits on use, which are the gateway's.

use std::time::Duration;

/// Open connections of everybody together.
pub(super) const CONNECTIONS: usize = 4_096;
/// Requests of everybody that are being served at once.
pub(super) const REQUESTS: usize = 2_048;
/// Addresses whose rates are counted one by one.
pub(super) const ADDRESSES: usize = 65_536;

/// From the accepted connection to the end of the TLS handshake.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(10);
/// From the first byte of a request's head to its last.
pub(super) const HEAD: Duration = Duration::from_secs(10);
/// A kept connection without a request.
pub(super) const KEPT: Duration = Duration::from_secs(75);
/// What is left to say when a connection has to end.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(2);

/// Header lines of a request; each crumb of a cookie is one.
pub(super) const HEADERS: usize = 64;
pub(super) const HEADER_BYTES: u32 = 16 << 10;
/// One of them, with its name.
pub(super) const LINE_BYTES: usize = 8 << 10;
pub(super) const URI_BYTES: usize = 8 << 10;

/// Requests at once on one HTTP/2 connection.
pub(super) const STREAMS: u32 = 64;
/// What a stream that nobody reads may hold here. The rest waits in the gateway, and so does the model.
pub(super) const STREAM_SEND_BYTES: usize = 16 << 10;
/// What a client may send without being asked to go on: enough for large prompts over slow lines.
pub(super) const STREAM_WINDOW_BYTES: u32 = 256 << 10;
pub(super) const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// Streams that were given up before they were looked at.
pub(super) const RESETS: usize = 20;
/// Streams that we had to reset because of what the client did.
pub(super) const ERRORS: usize = 64;
/// A client that does not answer is gone, or is in the middle of a head. It has as long as one that takes nothing: on a slow line the
/// question waits behind all that was sent before.
pub(super) const PING_EVERY: Duration = Duration::from_secs(30);

/// A client that was answered before it had sent all may go on sending for so long, into nothing. Shorter than the time for
/// the head of a next request, which begins with the same bytes.
pub(super) const LINGER: Duration = Duration::from_secs(8);
/// Without a byte meanwhile.
pub(super) const LINGER_IDLE: Duration = Duration::from_secs(1);

/// Bodies above this are sent when the part behind says that it will read them, or after the time.
pub(super) const ASKED_BYTES: u64 = 32 << 10;
pub(super) const ASKED: Duration = Duration::from_secs(2);

/// To a part of this program on this machine.
pub(super) const CONNECT: Duration = Duration::from_secs(2);
/// What is read from it ahead of the client.
pub(super) const READ_AHEAD_BYTES: usize = 16 << 10;

/// TLS sessions that may be taken up again.
pub(super) const SESSIONS: usize = 2_048;
/// Names in one certificate.
pub(crate) const NAMES: usize = 100;
/// Pause after an accept that failed for want of descriptors or memory.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

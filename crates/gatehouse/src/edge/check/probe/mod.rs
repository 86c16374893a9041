//! Asking the running site: connections, requests as bytes, HTTP/2, handshakes that no library makes.
//!
//! Why here: a check is worth what it can send and see. A usual HTTP client refuses to send an odd byte, follows redirects,
//! joins headers and hides when the pieces of an answer came.
//!
//! Never here: what an answer should be.

mod door;
pub(crate) mod hello;
mod http1;
mod http2;
mod pace;

pub(crate) use door::{Door, PATIENCE, Sni, Trouble};
pub(crate) use http1::{Answer, Conn, Request};
pub(crate) use http2::ask as ask_h2;

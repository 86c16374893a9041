//! The head of an upstream's answer, read strictly.
//!
//! Why here: an answer whose end two readers would see in two places would let the rest of it pass for the next answer, to
//! somebody else's question. Such a head is a fault and its connection is closed.
//!
//! Never here: sockets, bodies.

use http::StatusCode;
use memchr::{memchr_iter, memmem};

use super::deframe::Framing;

/// A head is this large at most; with the interim ones (1xx) before it.
pub(super) const HEAD_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 100;

/// What the gateway wants to know of a head.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub status: StatusCode,
    pub content_type: Option<String>,
    pub framing: Framing,
    /// The connection may be used again after the body.
    pub keep: bool,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("not a head of HTTP/1: {0}")]
    Syntax(String),
    #[error("a head whose message could end in two places")]
    Ambiguous,
    #[error("a change of protocol that nobody asked for")]
    Upgrade,
    #[error("a head of more than {HEAD_BYTES_MAX} bytes")]
    TooLong,
}

/// A head, and the bytes that it took.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Head(Head, usize),
    /// More bytes are needed.
    Not,
}

/// Looks for a final head at the start of `bytes`; interim ones before it are passed over.
pub(super) fn find(bytes: &[u8]) -> Result<Found, Fault> {
    let mut passed = 0;
    loop {
        let rest = bytes.get(passed..).unwrap_or_default();
        let Some(blank) = memmem::find(rest, b"\r\n\r\n") else {
            // At most one read beyond the bound is ever held.
            return if bytes.len() > HEAD_BYTES_MAX { Err(Fault::TooLong) } else { Ok(Found::Not) };
        };
        let (head, _) = rest.split_at(blank + 4);
        passed += head.len();
        if passed > HEAD_BYTES_MAX {
            return Err(Fault::TooLong);
        }
        if let Some(head) = parse(head)? {
            return Ok(Found::Head(head, passed));
        }
    }
}

/// One whole head. `None`: an interim one.
fn parse(bytes: &[u8]) -> Result<Option<Head>, Fault> {
    let bare = |at: usize| at.checked_sub(1).and_then(|at| bytes.get(at)) != Some(&b'\r');
    if memchr_iter(b'\n', bytes).any(bare) {
        return Err(Fault::Syntax("a bare line feed".to_owned()));
    }
    let mut slots = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut slots);
    let parsed = response.parse(bytes).map_err(|error| Fault::Syntax(error.to_string()))?;
    if parsed != httparse::Status::Complete(bytes.len()) {
        return Err(Fault::Syntax("a head that ends early".to_owned()));
    }
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or_else(|| Fault::Syntax("no status".to_owned()))?;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Fault::Upgrade);
    }
    if status.is_informational() {
        return Ok(None);
    }
    let http_11 = response.version == Some(1);
    let mut fields = Fields::default();
    for header in response.headers.iter() {
        fields.read(header, http_11)?;
    }
    let framing = match (status, fields.framing) {
        (StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED, _) => Framing::Length(0),
        (_, framing) => framing.unwrap_or(Framing::UntilClose),
    };
    let keep = http_11 && !fields.close && framing != Framing::UntilClose;
    Ok(Some(Head { status, content_type: fields.content_type, framing, keep }))
}

#[derive(Default)]
struct Fields {
    content_type: Option<String>,
    framing: Option<Framing>,
    close: bool,
}

impl Fields {
    fn read(&mut self, header: &httparse::Header<'_>, http_11: bool) -> Result<(), Fault> {
        let value = header.value.trim_ascii();
        let framing = if header.name.eq_ignore_ascii_case("content-length") {
            Framing::Length(length(value).ok_or(Fault::Ambiguous)?)
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if !http_11 || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Fault::Ambiguous);
            }
            Framing::Chunked
        } else {
            if header.name.eq_ignore_ascii_case("connection") {
                self.close |= value.split(|byte| *byte == b',').any(is_close);
            } else if header.name.eq_ignore_ascii_case("content-type") {
                self.content_type = std::str::from_utf8(value).ok().map(str::to_owned);
            }
            return Ok(());
        };
        // One statement, once: a second, even an equal one, is where readers begin to differ.
        match self.framing.replace(framing) {
            None => Ok(()),
            Some(_) => Err(Fault::Ambiguous),
        }
    }
}

fn is_close(word: &[u8]) -> bool {
    word.trim_ascii().eq_ignore_ascii_case(b"close")
}

/// Digits and nothing else.
fn length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(lines: &str) -> Result<Found, Fault> {
        find(format!("HTTP/1.1 200 OK\r\n{lines}\r\nBODY").as_bytes())
    }

    fn framing(lines: &str) -> (Framing, bool) {
        match head(lines) {
            Ok(Found::Head(head, _)) => (head.framing, head.keep),
            other => panic!("{lines:?} -> {other:?}"),
        }
    }

    #[test]
    fn what_the_gateway_wants_to_know() {
        let bytes = b"HTTP/1.1 404 Not Found\r\ncontent-TYPE: application/json; charset=utf-8\r\nContent-Length: 12\r\n\r\n";
        let expected = Head {
            status: StatusCode::NOT_FOUND,
            content_type: Some("application/json; charset=utf-8".to_owned()),
            framing: Framing::Length(12),
            keep: true,
        };
        assert_eq!(find(bytes), Ok(Found::Head(expected, bytes.len())));
        for at in 0..bytes.len() {
            assert_eq!(find(&bytes[..at]), Ok(Found::Not), "cut at {at}");
        }
    }

    #[test]
    fn where_the_body_ends_and_whether_the_connection_goes_on() {
        for (lines, expected) in [
            ("Content-Length: 5\r\n", (Framing::Length(5), true)),
            ("Content-Length: 0\r\n", (Framing::Length(0), true)),
            ("Transfer-Encoding: Chunked\r\n", (Framing::Chunked, true)),
            ("", (Framing::UntilClose, false)),
            ("Content-Length: 5\r\nConnection: close\r\n", (Framing::Length(5), false)),
            ("Transfer-Encoding: chunked\r\nConnection: x, CLOSE\r\n", (Framing::Chunked, false)),
            ("Content-Length: 5\r\nConnection: keep-alive\r\n", (Framing::Length(5), true)),
        ] {
            assert_eq!(framing(lines), expected, "{lines:?}");
        }
        let found = find(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n");
        assert!(matches!(found, Ok(Found::Head(Head { keep: false, .. }, _))), "{found:?}");
        let found = find(b"HTTP/1.1 204 No Content\r\n\r\n");
        assert!(matches!(found, Ok(Found::Head(Head { framing: Framing::Length(0), keep: true, .. }, _))));
    }

    #[test]
    fn interim_heads_are_passed_over() {
        let bytes = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n";
        for at in 0..bytes.len() {
            assert_eq!(find(&bytes[..at]), Ok(Found::Not), "cut at {at}");
        }
        let found = find(bytes);
        assert!(
            matches!(found, Ok(Found::Head(Head { status: StatusCode::OK, .. }, len)) if len == bytes.len())
        );
        assert_eq!(find(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), Err(Fault::Upgrade));
    }

    #[test]
    fn two_ways_to_find_the_end_are_a_fault() {
        for lines in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: -5\r\n",
            "Content-Length:\r\n",
            "Content-Length: 99999999999999999999999\r\n",
        ] {
            assert_eq!(head(lines), Err(Fault::Ambiguous), "{lines:?}");
        }
        let old = b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(find(old), Err(Fault::Ambiguous));
    }

    #[test]
    fn what_is_not_a_head_is_a_fault() {
        for lines in
            ["X: a\nContent-Length: 5\r\n", "X : a\r\n", "X: a\r\n folded\r\n", "no colon\r\n", "X: a\rb\r\n"]
        {
            assert!(matches!(head(lines), Err(Fault::Syntax(_))), "{lines:?}: {:?}", head(lines));
        }
        for bytes in [
            "SSH-2.0-x\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "\n\nHTTP/1.1 200 OK\r\n\r\n",
        ] {
            assert!(matches!(find(bytes.as_bytes()), Err(Fault::Syntax(_))), "{bytes:?}");
        }
    }

    #[test]
    fn a_head_is_bounded() {
        let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX));
        assert_eq!(find(long.as_bytes()), Err(Fault::TooLong));
        assert_eq!(find(&long.as_bytes()[..HEAD_BYTES_MAX + 1]), Err(Fault::TooLong));
        let many = "X: y\r\n".repeat(HEADERS_MAX + 1);
        assert!(matches!(head(&many), Err(Fault::Syntax(_))));
        let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(4_000);
        assert_eq!(find(interim.as_bytes()), Err(Fault::TooLong));
    }
}

//! The raw head of a request, read a second time: is there exactly one way to understand where it ends?
//!
//! Why here: the HTTP library is generous in what it accepts (both framings at once, bare line feeds) and keeps no trace of
//! it. A server behind or in front of us may be generous in another way, and two readings of one head are how a request
//! is smuggled. Only the bytes themselves can tell.
//!
//! Never here: parsing for use. A head that passes is parsed by the library; one that does not is answered 400.

use memchr::memmem;

/// Heads that are longer are refused by the library anyway.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Gathers the head of the request that is arriving.
#[derive(Debug, Default)]
pub struct HeadScan {
    head: Vec<u8>,
    /// Of a head that was seen whole: its header lines, if it is sound.
    verdict: Option<Option<usize>>,
}

impl HeadScan {
    /// A new request begins.
    pub fn restart(&mut self) {
        self.head = Vec::new();
        self.verdict = None;
    }

    /// Takes bytes as they were read; what comes after the head is not looked at.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.verdict.is_some() || self.head.len() > HEAD_BYTES_MAX {
            return;
        }
        // Usually a head comes in one piece and is judged where it lies.
        if self.head.is_empty()
            && let Some(at) = memmem::find(bytes, b"\r\n\r\n")
        {
            self.verdict = Some(bytes.get(..at + 2).and_then(sound_lines));
            return;
        }
        // The end may lie across the seam of two reads.
        let from = self.head.len().saturating_sub(3);
        self.head.extend_from_slice(bytes);
        let fresh = self.head.get(from..).unwrap_or_default();
        if let Some(at) = memmem::find(fresh, b"\r\n\r\n") {
            self.verdict = Some(self.head.get(..from + at + 2).and_then(sound_lines));
            self.head = Vec::new();
        }
    }

    /// The header lines of the head that has just come, if it was seen whole and is sound.
    pub fn passed(&self) -> Option<usize> {
        self.verdict.flatten()
    }
}

/// The number of header lines of a sound head. `head` ends with the CRLF of its last line.
fn sound_lines(head: &[u8]) -> Option<usize> {
    let (mut lengths, mut encodings, mut first) = (0, 0, true);
    let (mut http_10, mut headers) = (false, 0);
    for line in head.split(|b| *b == b'\n') {
        if line.is_empty() {
            break;
        }
        // Every line feed has its carriage return, and no carriage return stands elsewhere.
        let line = line.strip_suffix(b"\r")?;
        if line.contains(&b'\r') || line.first().is_some_and(|b| matches!(b, b' ' | b'\t')) {
            return None;
        }
        if std::mem::take(&mut first) {
            // The library skips blank lines before a request: the head that it parses would not be this one.
            if line.is_empty() {
                return None;
            }
            // The library takes a fragment off in silence; no client may send one.
            if line.contains(&b'#') {
                return None;
            }
            http_10 = line.ends_with(b"HTTP/1.0");
            continue;
        }
        headers += 1;
        let mut parts = line.splitn(2, |b| *b == b':');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default().trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            lengths += 1;
            if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
                return None;
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            encodings += 1;
            if http_10 || !value.eq_ignore_ascii_case(b"chunked") {
                return None;
            }
        }
    }
    (lengths + encodings <= 1).then_some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(text: &str) -> bool {
        let whole = {
            let mut scan = HeadScan::default();
            scan.feed(text.as_bytes());
            scan.passed().is_some()
        };
        // However the bytes were cut, the verdict is the same.
        let mut scan = HeadScan::default();
        text.bytes().for_each(|b| scan.feed(&[b]));
        assert_eq!(scan.passed().is_some(), whole, "{text:?}");
        whole
    }

    #[test]
    fn heads_with_one_meaning_pass() {
        for head in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60\r\n\r\n\nContent-Length: 1\nTransfer-Encoding: x\n\r\n\r\n",
        ] {
            assert!(passes(head), "{head:?}");
        }
    }

    #[test]
    fn heads_with_two_meanings_do_not() {
        for head in [
            "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\n\n",
            "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n",
        ] {
            assert!(!passes(head), "{head:?}");
        }
    }

    #[test]
    fn each_request_of_a_connection_is_judged_anew() {
        let mut scan = HeadScan::default();
        scan.feed(b"GET / HTTP/1.1\nHost: a\n\n");
        assert!(scan.passed().is_none());
        scan.restart();
        assert!(scan.passed().is_none());
        scan.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(scan.passed().is_some());
    }
}

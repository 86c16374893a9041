//! HTTP/1.1 as bytes: what is sent is what was written, what came is what is shown, with the moment of each piece.
//!
//! Why here: see [`super`].
//!
//! Never here: retries, redirects, joined headers, connection pools.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use super::door::{Door, Open, PATIENCE, Trouble, Wire};

const HEAD_BYTES_MAX: usize = 128 << 10;
const BODY_BYTES_MAX: usize = 4 << 20;

/// A request in the making. Nothing is added that is not asked for but Host.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: &'static str,
    target: String,
    host: Option<String>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    pub(crate) fn get(target: impl Into<String>) -> Self {
        Self { method: "GET", target: target.into(), host: None, headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn post(target: impl Into<String>, json: impl Into<Vec<u8>>) -> Self {
        let body = json.into();
        let mut request = Self { method: "POST", body, ..Self::get(target) };
        request = request.with("content-type", "application/json");
        let length = request.body.len().to_string();
        request.with("content-length", length)
    }

    pub(crate) fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    /// Another host than the site's own.
    pub(crate) fn host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    pub(crate) fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn bytes(&self, authority: &str) -> Vec<u8> {
        let host = self.host.as_deref().unwrap_or(authority);
        let mut text = format!("{} {} HTTP/1.1\r\nHost: {host}\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    pub(crate) fn parts(&self) -> (&'static str, &str, &[(String, String)], &[u8]) {
        (self.method, &self.target, &self.headers, &self.body)
    }
}

/// An answer as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Since the request had been sent: when the head was there, and each piece of the body with its length.
    pub pieces: Vec<(Duration, usize)>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn count(&self, name: &str) -> usize {
        self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).count()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Option<serde_json::Value> {
        let json = self.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
        json.then(|| serde_json::from_slice(&self.body).ok()).flatten()
    }
}

/// A connection that can be asked several times.
pub(crate) struct Conn<'d> {
    open: Open<'d, Box<dyn Wire>>,
    /// Whose pace its requests keep; `None`: nobody counts them, or that is what is asked.
    paced_by: Option<&'d Door>,
    authority: String,
    /// Bytes beyond the last answer.
    rest: Vec<u8>,
}

impl<'d> Conn<'d> {
    pub(crate) async fn new(door: &'d Door, from: Option<std::net::IpAddr>) -> Result<Self, Trouble> {
        let open = door.usual(from).await?;
        Ok(Self { open, paced_by: Some(door), authority: door.authority.clone(), rest: Vec::new() })
    }

    /// On plain HTTP, also where the site has HTTPS.
    pub(crate) async fn plain(door: &'d Door) -> Result<Self, Trouble> {
        Self::plain_at(door, door.http).await
    }

    /// The same at one of the other listeners.
    pub(crate) async fn plain_at(door: &'d Door, at: SocketAddr) -> Result<Self, Trouble> {
        let open = door.tcp(at, None).await?;
        let open = Open::boxed(open);
        Ok(Self { open, paced_by: None, authority: door.name.clone(), rest: Vec::new() })
    }

    /// On any connection, without a place in the pace.
    pub(crate) fn over(wire: Box<dyn Wire>, authority: &str) -> Self {
        let open = Open::unpaced(wire);
        Self { open, paced_by: None, authority: authority.to_owned(), rest: Vec::new() }
    }

    /// As fast as it goes.
    pub(crate) fn unpaced(mut self) -> Self {
        self.paced_by = None;
        self
    }

    pub(crate) fn local(&self) -> SocketAddr {
        self.open.local
    }

    pub(crate) async fn ask(&mut self, request: &Request) -> Result<Answer, Trouble> {
        self.ask_within(request, PATIENCE).await
    }

    pub(crate) async fn ask_within(
        &mut self,
        request: &Request,
        patience: Duration,
    ) -> Result<Answer, Trouble> {
        if let Some(door) = self.paced_by {
            door.time().await;
        }
        let bytes = request.bytes(&self.authority);
        self.send(&bytes).await?;
        self.answer(request.method == "HEAD", patience).await
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        let late = Instant::now() + PATIENCE;
        timeout_at(late, async {
            self.open.wire.write_all(bytes).await?;
            self.open.wire.flush().await
        })
        .await
        .map_err(|_| Trouble::Late)??;
        Ok(())
    }

    /// The next answer; what comes before the final one (100, 103) is one of its own.
    pub(crate) async fn answer(&mut self, headless: bool, patience: Duration) -> Result<Answer, Trouble> {
        let began = Instant::now();
        let late = began + patience;
        let end = loop {
            if let Some(at) = find(&self.rest, b"\r\n\r\n") {
                break at + 4;
            }
            if self.rest.len() > HEAD_BYTES_MAX {
                return Err(Trouble::NotHttp("a head without an end"));
            }
            if !self.more(late).await? {
                return Err(Trouble::Closed);
            }
        };
        let body = self.rest.split_off(end);
        let head = std::mem::replace(&mut self.rest, body);
        let mut answer = head_of(&head)?;
        answer.pieces.push((began.elapsed(), 0));
        if !headless && answer.status >= 200 && ![204, 304].contains(&answer.status) {
            self.body(&mut answer, began, late).await?;
        }
        Ok(answer)
    }

    async fn body(&mut self, answer: &mut Answer, began: Instant, late: Instant) -> Result<(), Trouble> {
        let chunked =
            answer.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        let length = answer.header("content-length").and_then(|value| value.parse::<usize>().ok());
        let mut chunks = Chunks::default();
        loop {
            let before = answer.body.len();
            let ended = match (chunked, length) {
                (true, _) => chunks.take(&mut self.rest, &mut answer.body)?,
                (false, Some(length)) => {
                    let want = length.saturating_sub(answer.body.len()).min(self.rest.len());
                    answer.body.extend(self.rest.drain(..want));
                    answer.body.len() >= length
                }
                (false, None) => {
                    answer.body.append(&mut self.rest);
                    false
                }
            };
            if answer.body.len() > before {
                answer.pieces.push((began.elapsed(), answer.body.len() - before));
            }
            if ended {
                return Ok(());
            }
            if answer.body.len() > BODY_BYTES_MAX {
                return Err(Trouble::NotHttp("a body without an end"));
            }
            if !self.more(late).await? {
                let whole = !chunked && length.is_none();
                return if whole { Ok(()) } else { Err(Trouble::Closed) };
            }
        }
    }

    /// Reads on; false at the end.
    async fn more(&mut self, late: Instant) -> Result<bool, Trouble> {
        let mut bytes = [0; 16 << 10];
        let read = timeout_at(late, self.open.wire.read(&mut bytes)).await.map_err(|_| Trouble::Late)?;
        let read = match read {
            // A peer that ends TLS without saying so has ended nevertheless.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => 0,
            read => read?,
        };
        self.rest.extend_from_slice(bytes.get(..read).unwrap_or_default());
        Ok(read > 0)
    }

    /// Whether the peer ends the connection within the time.
    pub(crate) async fn ends_within(&mut self, patience: Duration) -> bool {
        let late = Instant::now() + patience;
        loop {
            match self.more(late).await {
                Ok(true) if self.rest.len() < BODY_BYTES_MAX => {}
                Ok(true) | Err(Trouble::Late) => return false,
                Ok(false) | Err(_) => return true,
            }
        }
    }
}

impl Door {
    /// One request on a connection of its own. A refusal because of too many requests is asked again once.
    pub(crate) async fn ask(&self, request: &Request) -> Result<Answer, Trouble> {
        let mut answer = Conn::new(self, None).await?.ask(request).await?;
        if answer.status == 429 {
            let wait = answer.header("retry-after").and_then(|value| value.parse().ok()).unwrap_or(1_u64);
            tokio::time::sleep(Duration::from_secs(wait.min(3))).await;
            answer = Conn::new(self, None).await?.ask(request).await?;
        }
        Ok(answer)
    }

    /// The same on plain HTTP.
    pub(crate) async fn ask_plain(&self, request: &Request) -> Result<Answer, Trouble> {
        Conn::plain(self).await?.ask(request).await
    }
}

fn head_of(bytes: &[u8]) -> Result<Answer, Trouble> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status =
        first.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|code| code.parse().ok());
    let status = status.ok_or(Trouble::NotHttp("no status line"))?;
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
    Ok(Answer { status, headers, ..Answer::default() })
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Reads chunks as they come.
#[derive(Default)]
struct Chunks {
    /// Bytes of the open chunk that are still to come, its line end included.
    open: usize,
}

impl Chunks {
    /// Moves what is whole; true at the last chunk.
    fn take(&mut self, rest: &mut Vec<u8>, body: &mut Vec<u8>) -> Result<bool, Trouble> {
        loop {
            if self.open > 0 {
                let now = self.open.min(rest.len());
                let data = now.min(self.open.saturating_sub(2));
                body.extend(rest.drain(..data));
                rest.drain(..now - data);
                self.open -= now;
                if self.open > 0 {
                    return Ok(false);
                }
            }
            let Some(end) = find(rest, b"\r\n") else { return Ok(false) };
            let line = String::from_utf8_lossy(rest.get(..end).unwrap_or_default()).into_owned();
            let size = line.split(';').next().unwrap_or_default().trim();
            let size =
                usize::from_str_radix(size, 16).map_err(|_| Trouble::NotHttp("a chunk without a size"))?;
            if size > BODY_BYTES_MAX {
                return Err(Trouble::NotHttp("a chunk without bound"));
            }
            if size == 0 {
                // Trailers are nobody's business here; the answer ends with an empty line.
                let Some(last) = find(rest, b"\r\n\r\n") else { return Ok(false) };
                rest.drain(..last + 4);
                return Ok(true);
            }
            rest.drain(..end + 2);
            self.open = size + 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_keep_what_came() {
        let head = b"HTTP/1.1 404 Not Found\r\nX-A: 1\r\nx-a:  2 \r\nContent-Type: application/json\r\n\r\n";
        let mut answer = head_of(head).unwrap();
        assert_eq!((answer.status, answer.header("x-a"), answer.count("X-A")), (404, Some("1"), 2));
        assert_eq!(answer.json(), None);
        answer.body = b"{}".to_vec();
        assert!(answer.json().is_some());
        for wrong in ["", "HTTP/2 200\r\n\r\n", "SSH-2.0\r\n\r\n"] {
            assert!(head_of(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn chunks_may_be_cut_anywhere() {
        let whole = b"5;x=y\r\nhello\r\n1\r\n!\r\n0\r\n\r\n";
        for cut in 0..whole.len() {
            let (mut chunks, mut rest, mut body) = (Chunks::default(), whole[..cut].to_vec(), Vec::new());
            assert!(!chunks.take(&mut rest, &mut body).unwrap(), "{cut}");
            rest.extend_from_slice(&whole[cut..]);
            assert!(chunks.take(&mut rest, &mut body).unwrap(), "{cut}");
            assert_eq!((body.as_slice(), rest.len()), (b"hello!".as_slice(), 0), "{cut}");
        }
        assert!(Chunks::default().take(&mut b"zz\r\n".to_vec(), &mut Vec::new()).is_err());
    }

    #[test]
    fn requests_are_sent_as_written() {
        let request = Request::post("/v1//x?y", "{}").with("X-Odd", "a\tb").method("PUT").host("h");
        let text = String::from_utf8(request.bytes("ai.example.com")).unwrap();
        assert_eq!(
            text,
            "PUT /v1//x?y HTTP/1.1\r\nHost: h\r\ncontent-type: application/json\r\ncontent-length: 2\r\nX-Odd: a\tb\r\n\r\n{}"
        );
    }
}

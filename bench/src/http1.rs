//! Just enough HTTP/1.1 for both ends of the benchmark: heads, lengths and chunks out of a byte stream.
//!
//! Why here: the player and the load generator read the same framing, one as a server and one as a client, and neither
//! may spend more on it than the proxies between them.
//!
//! Never here: TLS, HTTP/2, tolerance. A peer that frames wrongly is an error that fails the run.

use std::io;

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// A head larger than this is an attack or a bug, in either direction.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// The tests send whole images and 100,000-character prompts; nothing legitimate is larger.
const BODY_BYTES_MAX: usize = 64 << 20;
const HEADERS_MAX: usize = 128;
const READ_BYTES: usize = 16 << 10;

/// Bytes of one connection that were read and not used yet.
#[derive(Debug, Default)]
pub struct Inbound {
    pub buffer: BytesMut,
}

/// How the body after a head is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(usize),
    Chunked,
    /// Until the peer closes (answers only).
    Close,
}

#[derive(Clone, Debug)]
pub struct RequestHead {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub framing: Framing,
}

#[derive(Clone, Copy, Debug)]
pub struct AnswerHead {
    pub status: u16,
    pub framing: Framing,
    pub close: bool,
}

impl Inbound {
    /// Reads once; 0 means that the peer closed.
    pub async fn more<R: AsyncRead + Unpin>(&mut self, from: &mut R) -> io::Result<usize> {
        self.buffer.reserve(READ_BYTES);
        from.read_buf(&mut self.buffer).await
    }

    /// The next head with its blank line, or `None` when the peer closed between messages.
    async fn head_bytes<R: AsyncRead + Unpin>(&mut self, from: &mut R) -> Result<Option<BytesMut>> {
        let mut seen = 0;
        loop {
            if let Some(at) = memchr::memmem::find(self.buffer.get(seen..).unwrap_or_default(), b"\r\n\r\n") {
                return Ok(Some(self.buffer.split_to(seen + at + 4)));
            }
            seen = self.buffer.len().saturating_sub(3);
            ensure!(self.buffer.len() <= HEAD_BYTES_MAX, "a head of more than {HEAD_BYTES_MAX} bytes");
            if self.more(from).await? == 0 {
                ensure!(self.buffer.is_empty(), "the peer closed inside a head");
                return Ok(None);
            }
        }
    }

    pub async fn request<R: AsyncRead + Unpin>(&mut self, from: &mut R) -> Result<Option<RequestHead>> {
        let Some(bytes) = self.head_bytes(from).await? else { return Ok(None) };
        let mut slots = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Request::new(&mut slots);
        ensure!(parsed.parse(&bytes)?.is_complete(), "an incomplete request head");
        let framing = framing(parsed.headers)?.unwrap_or(Framing::None);
        let headers = parsed
            .headers
            .iter()
            .map(|h| (h.name.to_ascii_lowercase(), String::from_utf8_lossy(h.value).into_owned()))
            .collect();
        let method = parsed.method.unwrap_or_default().to_owned();
        let path = parsed.path.unwrap_or_default().to_owned();
        Ok(Some(RequestHead { method, path, headers, framing }))
    }

    pub async fn answer<R: AsyncRead + Unpin>(&mut self, from: &mut R) -> Result<AnswerHead> {
        let bytes = self.head_bytes(from).await?.context("the peer closed instead of answering")?;
        let mut slots = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Response::new(&mut slots);
        ensure!(parsed.parse(&bytes)?.is_complete(), "an incomplete answer head");
        let close = parsed
            .headers
            .iter()
            .any(|h| h.name.eq_ignore_ascii_case("connection") && h.value.eq_ignore_ascii_case(b"close"));
        let framing = framing(parsed.headers)?.unwrap_or(Framing::Close);
        Ok(AnswerHead { status: parsed.code.unwrap_or_default(), framing, close })
    }

    /// A whole body, unchunked.
    pub async fn body<R: AsyncRead + Unpin>(&mut self, from: &mut R, framing: Framing) -> Result<Vec<u8>> {
        let mut whole = Vec::new();
        let mut reader = BodyReader::new(framing);
        loop {
            let done = reader.take(&mut self.buffer, |bytes| whole.extend_from_slice(bytes))?;
            ensure!(whole.len() <= BODY_BYTES_MAX, "a body of more than {BODY_BYTES_MAX} bytes");
            if done {
                return Ok(whole);
            }
            if self.more(from).await? == 0 {
                ensure!(framing == Framing::Close, "the peer closed inside a body");
                return Ok(whole);
            }
        }
    }
}

fn framing(headers: &[httparse::Header<'_>]) -> Result<Option<Framing>> {
    for header in headers {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Ok(Some(Framing::Chunked));
        }
    }
    for header in headers {
        if header.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(header.value)?;
            return Ok(Some(Framing::Length(text.trim().parse().context("content-length")?)));
        }
    }
    Ok(None)
}

/// Takes a body out of a buffer piece by piece, as bytes arrive.
#[derive(Debug)]
pub struct BodyReader {
    state: BodyState,
}

#[derive(Debug)]
enum BodyState {
    Plain { left: usize },
    UntilClose,
    ChunkSize,
    ChunkData { left: usize },
    ChunkEnd,
    Trailer,
    Done,
}

impl BodyReader {
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => BodyState::Done,
            Framing::Length(left) => BodyState::Plain { left },
            Framing::Chunked => BodyState::ChunkSize,
            Framing::Close => BodyState::UntilClose,
        };
        Self { state }
    }

    /// Hands over what is there; true when the body is complete. Bytes after it stay in the buffer.
    pub fn take(&mut self, buffer: &mut BytesMut, mut sink: impl FnMut(&[u8])) -> Result<bool> {
        loop {
            match &mut self.state {
                BodyState::Done => return Ok(true),
                BodyState::UntilClose => {
                    sink(buffer);
                    buffer.clear();
                    return Ok(false);
                }
                BodyState::Plain { left } | BodyState::ChunkData { left } => {
                    let some = (*left).min(buffer.len());
                    sink(buffer.get(..some).unwrap_or_default());
                    buffer.advance(some);
                    *left -= some;
                    if *left > 0 {
                        return Ok(false);
                    }
                    self.state = match self.state {
                        BodyState::Plain { .. } => BodyState::Done,
                        _ => BodyState::ChunkEnd,
                    };
                }
                BodyState::ChunkSize => {
                    let Some(line) = line(buffer) else { return Ok(false) };
                    let size = chunk_size(&line)?;
                    self.state =
                        if size == 0 { BodyState::Trailer } else { BodyState::ChunkData { left: size } };
                }
                BodyState::ChunkEnd => {
                    let Some(line) = line(buffer) else { return Ok(false) };
                    ensure!(line.is_empty(), "bytes after a chunk");
                    self.state = BodyState::ChunkSize;
                }
                BodyState::Trailer => {
                    let Some(line) = line(buffer) else { return Ok(false) };
                    if line.is_empty() {
                        self.state = BodyState::Done;
                    }
                }
            }
        }
    }
}

/// The next line without its CRLF.
fn line(buffer: &mut BytesMut) -> Option<BytesMut> {
    let at = memchr::memchr(b'\n', buffer)?;
    let mut line = buffer.split_to(at + 1);
    let keep = line.strip_suffix(b"\r\n").map_or(at, <[u8]>::len);
    line.truncate(keep);
    Some(line)
}

fn chunk_size(line: &[u8]) -> Result<usize> {
    let digits = line.split(|b| *b == b';').next().unwrap_or_default();
    let Ok(size) = usize::from_str_radix(std::str::from_utf8(digits)?.trim(), 16) else {
        bail!("not a chunk size: {:?}", String::from_utf8_lossy(line));
    };
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unchunk(cuts: &[&[u8]]) -> Result<(Vec<u8>, bool, usize)> {
        let mut reader = BodyReader::new(Framing::Chunked);
        let mut buffer = BytesMut::new();
        let mut whole = Vec::new();
        let mut done = false;
        for cut in cuts {
            buffer.extend_from_slice(cut);
            done = reader.take(&mut buffer, |bytes| whole.extend_from_slice(bytes))?;
        }
        Ok((whole, done, buffer.len()))
    }

    #[test]
    fn chunks_may_be_cut_anywhere() {
        let wire = b"5;x=y\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nt: v\r\n\r\nNEXT";
        for at in 0..wire.len() {
            let (whole, done, left) = unchunk(&[&wire[..at], &wire[at..]]).unwrap();
            assert_eq!(whole, b"hello world", "cut at {at}");
            assert!(done);
            assert_eq!(left, 4, "the next message stays in the buffer");
        }
    }

    #[test]
    fn a_wrong_chunk_is_an_error() {
        assert!(unchunk(&[b"5\r\nhello!\r\n"]).is_err());
        assert!(unchunk(&[b"x\r\n"]).is_err());
    }
}

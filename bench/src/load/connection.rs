//! One client connection: sends a request, reads the answer, and proves that every token came once and in order.
//!
//! Why here: the check is part of reading; a figure without it would be worthless.
//!
//! Never here: how many connections there are.

use anyhow::{Context, Result, bail, ensure};
use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::figures::StreamTimes;
use super::line::Line;
use super::target::{Asks, Target};
use crate::http1::{BodyReader, Inbound};
use crate::play::frames;

#[derive(Debug)]
pub struct Connection {
    line: Line,
    inbound: Inbound,
    asks: Asks,
}

impl Connection {
    pub async fn open(target: &Target) -> Result<Self> {
        let stream =
            TcpStream::connect(target.address).await.with_context(|| format!("to {}", target.name))?;
        stream.set_nodelay(true)?;
        let line = match &target.tls {
            None => Line::Plain(stream),
            Some(tls) => Line::secure(stream, tls).await.with_context(|| format!("to {}", target.name))?,
        };
        Ok(Self { line, inbound: Inbound::default(), asks: target.asks })
    }

    /// Says that nothing more comes, as clients do, and leaves.
    pub async fn close(mut self) -> Result<()> {
        Ok(self.line.shutdown().await?)
    }

    async fn send(&mut self, request: &[u8]) -> Result<()> {
        self.line.write_all(request).await?;
        // TLS may have kept a record that the socket did not take; reading would not send it.
        Ok(self.line.flush().await?)
    }

    /// A whole answer. It must be a 200 that holds exactly this text.
    pub async fn whole(&mut self, request: &[u8], text: &[u8]) -> Result<()> {
        self.send(request).await?;
        let head = self.inbound.answer(&mut self.line).await?;
        let body = self.inbound.body(&mut self.line, head.framing).await?;
        ensure!(head.status == 200, "status {}: {}", head.status, String::from_utf8_lossy(&body));
        ensure!(!head.close, "the server closed a connection that should stay open");
        ensure!(
            memchr::memmem::find(&body, text).is_some(),
            "not the answer: {}",
            String::from_utf8_lossy(&body)
        );
        Ok(())
    }

    /// A stream to its end, every token checked.
    pub async fn streamed(&mut self, request: &[u8], tokens: usize, times: &mut StreamTimes) -> Result<()> {
        let sent = Instant::now();
        self.send(request).await?;
        let head = self.inbound.answer(&mut self.line).await?;
        let mut reader = BodyReader::new(head.framing);
        let mut tape = Tape::new(self.asks);
        let mut last: Option<Instant> = None;
        loop {
            let now = Instant::now();
            let before = tape.tokens;
            let done = reader.take(&mut self.inbound.buffer, |bytes| tape.lines.extend_from_slice(bytes))?;
            ensure!(head.status == 200, "status {}: {}", head.status, String::from_utf8_lossy(&tape.lines));
            tape.read()?;
            if tape.tokens > before {
                match last {
                    None => times.first(now - sent),
                    Some(last) => times.gap(now - last, tape.tokens - before),
                }
                last = Some(now);
            }
            if done {
                break;
            }
            ensure!(self.inbound.more(&mut self.line).await? > 0, "cut after {} tokens", tape.tokens);
        }
        ensure!(tape.ended, "no proper end after {} tokens", tape.tokens);
        ensure!(tape.tokens == tokens, "{} tokens instead of {tokens}", tape.tokens);
        Ok(())
    }
}

/// The lines of a stream, read one by one.
#[derive(Debug)]
struct Tape {
    asks: Asks,
    lines: BytesMut,
    tokens: usize,
    ended: bool,
}

impl Tape {
    fn new(asks: Asks) -> Self {
        Self { asks, lines: BytesMut::new(), tokens: 0, ended: false }
    }

    fn read(&mut self) -> Result<()> {
        while let Some(at) = memchr::memchr(b'\n', &self.lines) {
            let line = self.lines.split_to(at + 1);
            self.line(&line)?;
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<()> {
        let token = self.asks.token();
        if let Some(at) = memchr::memmem::find(line, token) {
            // " wN" closes with a quote: a longer number must not pass for a shorter one.
            let wanted = format!("{}\"", frames::text(self.tokens));
            let rest = line.get(at + token.len() - 2..).unwrap_or_default();
            ensure!(
                rest.starts_with(wanted.as_bytes()),
                "token {}: {}",
                self.tokens,
                String::from_utf8_lossy(line)
            );
            self.tokens += 1;
        } else if memchr::memmem::find(line, self.asks.end()).is_some() {
            self.ended = true;
        } else if memchr::memmem::find(line, self.asks.failure()).is_some() {
            bail!("an error in the stream: {}", String::from_utf8_lossy(line));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tape(text: &str) -> Result<Tape> {
        let mut tape = Tape::new(Asks::Ollama);
        tape.lines.extend_from_slice(text.as_bytes());
        tape.read()?;
        Ok(tape)
    }

    #[test]
    fn a_lost_a_doubled_and_a_foreign_token_are_errors() {
        let token = |n: usize| format!("{{\"message\":{{\"content\":\" w{n}\"}}}}\n");
        assert_eq!(tape(&(token(0) + &token(1))).unwrap().tokens, 2);
        assert!(tape(&(token(0) + &token(2))).is_err());
        assert!(tape(&(token(0) + &token(0))).is_err());
        assert!(tape(&token(10)).is_err());
        assert!(tape("{\"error\":\"x\"}\n").is_err());
        assert!(!tape(&token(0)).unwrap().ended);
    }
}

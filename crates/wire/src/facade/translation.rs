//! A stream on the translate lane: the upstream's bytes through its framing and decoder, events into the outlet.
//!
//! Never here: a dialect's rules.

use super::encoder::Encoder;
use super::outlet::{Outlet, Push};
use crate::ending::Reached;
use crate::error::{ErrorBody, UpstreamFault};
use crate::format::Format;
use crate::frame::{Oversize, ndjson, sse};
use crate::lanes::Cell;
use crate::reply::{Metered, Reply};
use crate::screen::Screen;
use crate::{ollama, openai};

#[derive(Debug)]
pub(super) struct Translation {
    source: Source,
    outlet: Outlet,
}

/// The upstream's side.
#[derive(Debug)]
enum Source {
    Ollama { lines: ndjson::Decoder, decoder: ollama::decode::Decoder },
    OpenAi { events: sse::Decoder, decoder: openai::decode::Decoder },
}

impl Translation {
    pub(super) fn new(cell: Cell, reply: &Reply, screen: Option<Box<dyn Screen>>) -> Self {
        let source = match cell.upstream {
            Format::OpenAi => Source::OpenAi {
                events: sse::Decoder::new(reply.line_bytes_max),
                decoder: openai::decode::Decoder::default(),
            },
            _ => Source::Ollama {
                lines: ndjson::Decoder::new(reply.line_bytes_max),
                decoder: ollama::decode::Decoder::default(),
            },
        };
        Self { source, outlet: Outlet::new(Encoder::new(cell.client, cell.operation), reply, screen) }
    }

    /// `None`: the upstream closed.
    pub(super) fn feed(
        &mut self,
        bytes: Option<&[u8]>,
        reply: &Reply,
        metered: &mut Metered,
        out: &mut Vec<u8>,
    ) -> Result<Reached, UpstreamFault> {
        let Self { source, outlet } = self;
        let mut push = Push { reply, metered, out };
        match source {
            Source::Ollama { lines, decoder } => {
                let Some(mut bytes) = bytes else {
                    return lines
                        .end()
                        .map_or(Ok(Reached::More), |line| outlet.record(decoder, line, &mut push));
                };
                while let Some(line) = lines.next(&mut bytes) {
                    let reached = outlet.record(decoder, line?, &mut push)?;
                    if reached != Reached::More {
                        return Ok(reached);
                    }
                }
            }
            Source::OpenAi { events, decoder } => {
                let Some(mut bytes) = bytes else {
                    return match events.end() {
                        Some(sse::Item::Data { data, .. }) => outlet.record(decoder, data, &mut push),
                        _ => Ok(Reached::More),
                    };
                };
                while let Some(item) = events.next(&mut bytes) {
                    let sse::Item::Data { data, .. } = item? else { continue };
                    let reached = outlet.record(decoder, data, &mut push)?;
                    if reached != Reached::More {
                        return Ok(reached);
                    }
                }
            }
        }
        Ok(Reached::More)
    }

    pub(super) fn heartbeat(&mut self, reply: &Reply, out: &mut Vec<u8>) {
        self.outlet.encoder().heartbeat(reply, out);
    }

    pub(super) fn fail(&mut self, error: &ErrorBody<'_>, reply: &Reply, out: &mut Vec<u8>) {
        self.outlet.encoder().fail(error, reply, out);
    }

    /// What the client's side remembers of the answer so far.
    pub(super) fn held_bytes(&self) -> usize {
        self.outlet.held_bytes()
    }
}

impl From<Oversize> for UpstreamFault {
    fn from(oversize: Oversize) -> Self {
        Self::protocol(&oversize.to_string())
    }
}

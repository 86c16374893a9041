//! A streamed answer, from an upstream's bytes to a client's.
//!
//! A stream that did not end properly is never given a proper ending: only `Complete` wrote one.
//!
//! Never here: a dialect's rules, sockets, clocks.

use super::error::write_error_event;
use crate::error::{ErrorBody, UpstreamFault, UpstreamFaultKind};
use crate::event::{Block, Event};
use crate::format::Format;
use crate::frame::{Oversize, ndjson};
use crate::lanes::Lane;
use crate::reply::{Metered, Progress, Reply};
use crate::{ollama, openai};

/// One answer's stream: upstream bytes in, client bytes out. Plain state, no I/O.
#[derive(Debug)]
pub struct ChatStream {
    reply: Reply,
    client: Format,
    work: Work,
    metered: Metered,
    progress: Progress,
}

/// The cells of the lane table that have code.
#[derive(Debug)]
enum Work {
    OllamaToOpenAi {
        lines: ndjson::Decoder,
        decoder: ollama::decode::Decoder,
        encoder: openai::encode::Encoder,
    },
    RelayOpenAi(openai::relay::Relay),
    /// An empty cell; the gateway asks the table first.
    Unserved,
}

impl ChatStream {
    pub fn new(lane: Lane, client: Format, upstream: Format, reply: Reply) -> Self {
        let work = match (lane, client, upstream) {
            (Lane::Translate, Format::OpenAi, Format::Ollama) => Work::OllamaToOpenAi {
                lines: ndjson::Decoder::new(reply.line_bytes_max),
                decoder: ollama::decode::Decoder::default(),
                encoder: openai::encode::Encoder::default(),
            },
            (Lane::Relay, Format::OpenAi, Format::OpenAi) => {
                Work::RelayOpenAi(openai::relay::Relay::new(reply.line_bytes_max))
            }
            _ => Work::Unserved,
        };
        Self { reply, client, work, metered: Metered::default(), progress: Progress::Waiting }
    }

    /// Feeds bytes as they came, however they were cut; appends what the client gets.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Progress {
        self.feed(Some(bytes), out)
    }

    /// The upstream closed. Reads a last line without LF; anything but a proper end is `Failed`.
    pub fn end(&mut self, out: &mut Vec<u8>) -> Progress {
        self.feed(None, out)
    }

    /// Ends the client's stream with an error event (and nothing that looks like a proper end). After a proper end it
    /// writes nothing.
    pub fn fail(&mut self, error: &ErrorBody<'_>, out: &mut Vec<u8>) {
        if self.progress == Progress::Complete {
            return;
        }
        write_error_event(self.client, error, out);
        if !matches!(self.progress, Progress::Failed(_)) {
            self.progress = Progress::Failed(UpstreamFault::broken("ended by the gateway"));
        }
    }

    pub fn metered(&self) -> Metered {
        self.metered
    }

    fn feed(&mut self, bytes: Option<&[u8]>, out: &mut Vec<u8>) -> Progress {
        if matches!(self.progress, Progress::Complete | Progress::Failed(_)) {
            return self.progress.clone();
        }
        let before = out.len();
        let done = match &mut self.work {
            Work::OllamaToOpenAi { lines, decoder, encoder } => {
                let mut translation =
                    Translation { decoder, encoder, reply: &self.reply, metered: &mut self.metered };
                translation.feed(lines, bytes, out)
            }
            Work::RelayOpenAi(relay) => relay.feed(bytes, &self.reply, &mut self.metered, out),
            Work::Unserved => Err(UpstreamFault::protocol("no translation between these formats")),
        };
        self.progress = match done {
            Ok(true) => Progress::Complete,
            Ok(false) if bytes.is_none() => {
                Progress::Failed(UpstreamFault::broken("the stream ended before the answer did"))
            }
            Ok(false) if out.len() > before => Progress::Flowing,
            Ok(false) => return self.progress.clone(),
            // Nonsense at the very end is a record that was cut.
            Err(fault) if bytes.is_none() && fault.kind == UpstreamFaultKind::Protocol => {
                Progress::Failed(UpstreamFault::broken(&fault.detail))
            }
            Err(fault) => Progress::Failed(fault),
        };
        self.progress.clone()
    }
}

impl From<Oversize> for UpstreamFault {
    fn from(oversize: Oversize) -> Self {
        Self::protocol(&oversize.to_string())
    }
}

/// One push through decoder and encoder.
struct Translation<'s> {
    decoder: &'s mut ollama::decode::Decoder,
    encoder: &'s mut openai::encode::Encoder,
    reply: &'s Reply,
    metered: &'s mut Metered,
}

impl Translation<'_> {
    /// Whether the proper end was reached.
    fn feed(
        &mut self,
        lines: &mut ndjson::Decoder,
        bytes: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Result<bool, UpstreamFault> {
        let Some(mut bytes) = bytes else {
            return lines.end().map_or(Ok(false), |line| self.line(line, out));
        };
        while let Some(line) = lines.next(&mut bytes) {
            if self.line(line?, out)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<bool, UpstreamFault> {
        let mark = out.len();
        let Self { decoder, encoder, reply, metered } = self;
        let read = decoder.line(line, &mut |event| {
            meter(event, metered);
            encoder.event(event, reply, out);
        });
        match read {
            Ok(read) => Ok(read == ollama::decode::Read::Done),
            Err(fault) => {
                // Half a line's events are taken back: a failure writes nothing.
                out.truncate(mark);
                Err(fault)
            }
        }
    }
}

fn meter(event: Event<'_>, metered: &mut Metered) {
    match event {
        Event::Delta(delta) if !delta.text.is_empty() => metered.deltas += 1,
        Event::BlockStart(Block::Tool(_)) => metered.deltas += 1,
        Event::Usage(usage) => metered.usage = Some(usage),
        Event::Stop(reason) => metered.stop = Some(reason),
        _ => {}
    }
}

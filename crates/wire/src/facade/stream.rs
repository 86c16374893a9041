//! A streamed answer, from an upstream's bytes to a client's.
//!
//! A stream that did not end properly is never given a proper ending: only `Complete` wrote one.
//!
//! Never here: a dialect's rules, sockets, clocks.

use super::translation::Translation;
use crate::ending::Reached;
use crate::error::{ErrorBody, UpstreamFault, UpstreamFaultKind};
use crate::lanes::{Cell, Lane};
use crate::reply::{Metered, Progress, Reply};
use crate::screen::Screen;
use crate::{ollama, openai};

/// One answer's stream: upstream bytes in, client bytes out. Plain state, no I/O.
#[derive(Debug)]
pub struct AnswerStream {
    reply: Reply,
    work: Work,
    metered: Metered,
    progress: Progress,
    upstream_done: bool,
}

/// One for each lane.
#[derive(Debug)]
enum Work {
    Translate(Translation),
    RelayOpenAi(openai::relay::Relay),
    /// No answer of a model: how work on a runtime's models goes.
    Manage(ollama::progress::ManageStream),
}

impl AnswerStream {
    /// With a screen, all text passes through it, logprobs (which spell the text) are left out, and one choice only is
    /// carried: a screen knows one text of each kind.
    pub fn new(cell: Cell, reply: Reply, screen: Option<Box<dyn Screen>>) -> Self {
        let work = match cell.lane {
            Lane::Translate => Work::Translate(Translation::new(cell, &reply, screen)),
            Lane::Relay => Work::RelayOpenAi(openai::relay::Relay::new(cell.operation, &reply, screen)),
        };
        let progress = Progress::Waiting;
        Self { reply, work, metered: Metered::default(), progress, upstream_done: false }
    }

    /// How a pull, a push or a creation goes, in Ollama's own lines.
    pub fn of_work(reply: Reply) -> Self {
        let work = Work::Manage(ollama::progress::ManageStream::new(reply.line_bytes_max));
        let progress = Progress::Waiting;
        Self { reply, work, metered: Metered::default(), progress, upstream_done: false }
    }

    /// Feeds bytes as they came, however they were cut; appends what the client gets.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Progress {
        self.metered.upstream_bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
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
        match &mut self.work {
            Work::Translate(translation) => translation.fail(error, &self.reply, out),
            Work::RelayOpenAi(relay) => relay.fail(error, out),
            Work::Manage(work) => work.fail(error, out),
        }
        if !matches!(self.progress, Progress::Failed(_)) {
            self.progress = Progress::Failed(UpstreamFault::broken("ended by the gateway"));
        }
    }

    /// Keeps proxies and clients from giving up a stream that is silent: bytes that say nothing to a client's program.
    pub fn heartbeat(&mut self, out: &mut Vec<u8>) {
        if matches!(self.progress, Progress::Complete | Progress::Failed(_)) {
            return;
        }
        match &mut self.work {
            Work::Translate(translation) => translation.heartbeat(&self.reply, out),
            Work::RelayOpenAi(relay) => relay.heartbeat(out),
            Work::Manage(_) => ollama::progress::ManageStream::heartbeat(out),
        }
    }

    /// What is remembered of the answer so far: some dialects tell all of it once more at its end.
    pub fn held_bytes(&self) -> usize {
        match &self.work {
            Work::Translate(translation) => translation.held_bytes(),
            Work::RelayOpenAi(_) | Work::Manage(_) => 0,
        }
    }

    pub fn metered(&self) -> Metered {
        self.metered
    }

    /// The upstream itself has ended its answer. Not so when a cap or a screen ended ours: the upstream still talks, and
    /// must be dropped, not drained.
    pub fn upstream_done(&self) -> bool {
        self.upstream_done
    }

    fn feed(&mut self, bytes: Option<&[u8]>, out: &mut Vec<u8>) -> Progress {
        if matches!(self.progress, Progress::Complete | Progress::Failed(_)) {
            return self.progress.clone();
        }
        let before = out.len();
        let done = match &mut self.work {
            Work::Translate(translation) => translation.feed(bytes, &self.reply, &mut self.metered, out),
            Work::RelayOpenAi(relay) => relay.feed(bytes, &self.reply, &mut self.metered, out),
            Work::Manage(work) => work.feed(bytes, out),
        };
        self.upstream_done = matches!(done, Ok(Reached::End));
        self.progress = match done {
            Ok(Reached::End | Reached::Cut) => Progress::Complete,
            Ok(Reached::More) if bytes.is_none() => {
                Progress::Failed(UpstreamFault::broken("the stream ended before the answer did"))
            }
            Ok(Reached::More) if out.len() > before => Progress::Flowing,
            Ok(Reached::More) => return self.progress.clone(),
            // Nonsense at the very end is a record that was cut.
            Err(fault) if bytes.is_none() && fault.kind == UpstreamFaultKind::Protocol => {
                Progress::Failed(UpstreamFault::broken(&fault.detail))
            }
            Err(fault) => Progress::Failed(fault),
        };
        self.progress.clone()
    }
}

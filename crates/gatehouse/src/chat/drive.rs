//! A run: asks the gateway, stores what comes, tells the readers, ends once.
//!
//! Why here: the order "persist, then publish" and the one place where a run ends. Every way out of the exchange meets in
//! [`drive`]; the store, the readers and the hub hear of it in that order.
//!
//! Never here: HTTP of the page. A closed tab is not seen here at all.

use std::sync::Arc;
use std::time::Duration;

use store::{Ending, Piece, PieceKind, Status, StoreError};
use tokio::time::{Instant, sleep_until, timeout};

use super::api::{self, DoneStatus, Event, Failure};
use super::clock::now_ms;
use super::hub::{LiveRun, Registered, Stop};
use super::reply::{Counts, Reader, Signal, Standing};
use super::upstream::{Answer, Line, Question};
use super::{Site, bounds, failure, records};

/// How the exchange with the gateway went.
enum Outcome {
    Ended { cut: bool },
    Stopped(Stop),
    Failed(Failure),
}

/// Runs one answer to its end. `registered` is given back last, when everything is stored and said.
pub(super) async fn drive(site: Arc<Site>, registered: Registered, model: String) {
    let run = Arc::clone(&registered.run);
    let mut writer = Writer::new(&site, &run);
    let mut speed = Speed::new();
    let mut line = Line::default();
    let mut outcome = exchange(&site, &run, &model, &mut line, &mut writer, &mut speed).await;
    line.close().await;
    if let Err(error) = writer.flush().await {
        outcome = Outcome::Failed(failure::of_store(&error));
    }
    end(&site, &run, writer.seq, outcome, speed.usage()).await;
    drop(registered);
}

async fn exchange(
    site: &Site,
    run: &LiveRun,
    model: &str,
    line: &mut Line,
    writer: &mut Writer<'_>,
    speed: &mut Speed,
) -> Outcome {
    let mut stopping = run.stopping();
    let answer = tokio::select! {
        biased;
        why = asked_to_stop(&mut stopping) => return Outcome::Stopped(why),
        answer = begin(site, run, model, line) => answer,
    };
    match answer {
        Err(failure) => Outcome::Failed(failure),
        Ok(mut answer) => {
            let outcome = read(&mut answer, writer, speed, &mut stopping, model).await;
            with_request_id(outcome, answer.request_id)
        }
    }
}

fn with_request_id(outcome: Outcome, request_id: Option<String>) -> Outcome {
    match outcome {
        Outcome::Failed(f) => Outcome::Failed(Failure { request_id: f.request_id.or(request_id), ..f }),
        other => other,
    }
}

async fn asked_to_stop(stopping: &mut tokio::sync::watch::Receiver<Option<Stop>>) -> Stop {
    match stopping.wait_for(Option::is_some).await {
        Ok(why) => why.unwrap_or(Stop::ServerStops),
        // The sender lives as long as the run itself.
        Err(_) => Stop::ServerStops,
    }
}

/// Reads the branch and opens the exchange.
async fn begin(site: &Site, run: &LiveRun, model: &str, line: &mut Line) -> Result<Answer, Failure> {
    let all = store::Page {
        before: None,
        messages_max: bounds::HISTORY_MESSAGES,
        bytes_max: bounds::HISTORY_BYTES,
    };
    let turns = site.store.history(&run.owner, &run.chat_id, &run.message_id, all).await;
    let turns = turns.map_err(|error| failure::ApiError::from(error).failure)?;
    let question = Question { owner: &run.owner, request_id: &run.id, model, turns: &turns };
    site.upstream.ask(&question, line).await
}

/// Reads the stream until it ends, breaks, or is not wanted any more.
async fn read(
    answer: &mut Answer,
    writer: &mut Writer<'_>,
    speed: &mut Speed,
    stopping: &mut tokio::sync::watch::Receiver<Option<Stop>>,
    model: &str,
) -> Outcome {
    let mut reader = Reader::new();
    let mut signals = Vec::new();
    let deadline = Instant::now() + bounds::GATEWAY_TOTAL;
    let outcome = loop {
        let due = writer.due;
        let standing = tokio::select! {
            biased;
            why = asked_to_stop(stopping) => break Outcome::Stopped(why),
            () = sleep_until(deadline) => break Outcome::Failed(failure::silent()),
            () = sleep_until(due.unwrap_or(deadline)), if due.is_some() => match writer.flush().await {
                Ok(()) => continue,
                Err(error) => break Outcome::Failed(failure::of_store(&error)),
            },
            chunk = timeout(bounds::GATEWAY_IDLE, answer.chunk()) => match chunk {
                Err(_) => Standing::Failed(failure::silent()),
                Ok(Err(failure)) => Standing::Failed(failure),
                Ok(Ok(Some(bytes))) => reader.push(&bytes, &mut signals),
                Ok(Ok(None)) => reader.close(&mut signals),
            },
        };
        if let Err(failure) = writer.take(&mut signals, speed, model).await {
            break Outcome::Failed(failure);
        }
        match standing {
            Standing::Open => {}
            Standing::Ended { cut } => break Outcome::Ended { cut },
            Standing::Failed(failure) => break Outcome::Failed(failure),
        }
    };
    speed.counts = reader.counts;
    outcome
}

/// Stores and tells how the run ended.
async fn end(site: &Site, run: &LiveRun, seq: u64, outcome: Outcome, usage: Option<api::Usage>) {
    let (status, said, failure) = match outcome {
        Outcome::Ended { cut: false } => (Status::Done, DoneStatus::Done, None),
        Outcome::Ended { cut: true } => (Status::Cut, DoneStatus::Cut, None),
        Outcome::Stopped(Stop::Asked) => (Status::Stopped, DoneStatus::Stopped, None),
        Outcome::Stopped(Stop::ServerStops) => {
            (Status::Failed, DoneStatus::Stopped, Some(failure::server_stopped()))
        }
        Outcome::Failed(failure) => (Status::Failed, DoneStatus::Stopped, Some(failure)),
    };
    let text = failure.as_ref().map(records::write_failure);
    let ending = Ending {
        status,
        failure: text.as_deref(),
        usage: usage.map(records::usage_to_store),
        now_ms: now_ms(),
    };
    let (seq, failure) = match site.store.finish(&run.owner, &run.id, &ending).await {
        Ok(seq) => (seq, failure),
        // The row stays open; it is closed when somebody looks at it or at the next start.
        Err(error) => (seq + 1, Some(failure.unwrap_or_else(|| failure::of_store(&error)))),
    };
    let message_id = run.message_id.clone();
    run.publish(&match failure {
        Some(failure) => Event::Error { seq, failure, message_id },
        None => Event::Done { seq, status: said, usage, message_id },
    });
}

/// Gathers pieces, numbers them, stores them, and only then tells the readers.
struct Writer<'a> {
    site: &'a Site,
    run: &'a LiveRun,
    seq: u64,
    kind: PieceKind,
    pending: String,
    /// When the pending text goes out.
    due: Option<Instant>,
    bytes: usize,
}

impl<'a> Writer<'a> {
    fn new(site: &'a Site, run: &'a LiveRun) -> Self {
        Self { site, run, seq: 0, kind: PieceKind::Text, pending: String::new(), due: None, bytes: 0 }
    }

    async fn take(
        &mut self,
        signals: &mut Vec<Signal>,
        speed: &mut Speed,
        model: &str,
    ) -> Result<(), Failure> {
        for signal in signals.drain(..) {
            let seq = self.seq;
            match signal {
                Signal::Queued { position } => self.run.publish(&Event::Queued { seq, position }),
                Signal::Loading { elapsed_s } => {
                    self.run.publish(&Event::Loading { seq, model: model.to_owned(), elapsed_s });
                }
                Signal::Reading => self.run.publish(&Event::Reading { seq }),
                Signal::Piece(kind, text) => {
                    speed.piece();
                    self.bytes += text.len();
                    if self.bytes > bounds::ANSWER_BYTES {
                        return Err(failure::answer_too_long());
                    }
                    self.add(kind, &text).await.map_err(|error| failure::of_store(&error))?;
                }
            }
        }
        Ok(())
    }

    async fn add(&mut self, kind: PieceKind, text: &str) -> Result<(), StoreError> {
        if kind != self.kind {
            self.flush().await?;
            self.kind = kind;
        }
        self.pending.push_str(text);
        // The first words are what somebody waits for; later ones may travel together.
        if self.seq == 0 {
            return self.flush().await;
        }
        self.due.get_or_insert_with(|| Instant::now() + bounds::GATHER);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        self.due = None;
        if self.pending.is_empty() {
            return Ok(());
        }
        let piece = Piece { seq: self.seq + 1, kind: self.kind, text: std::mem::take(&mut self.pending) };
        self.site.store.append(&self.run.owner, &self.run.id, &piece).await?;
        self.seq = piece.seq;
        self.run.publish(&records::piece_event(piece));
        Ok(())
    }
}

/// Times and counts of one answer.
struct Speed {
    asked: Instant,
    first: Option<Instant>,
    last: Option<Instant>,
    counts: Option<Counts>,
}

impl Speed {
    fn new() -> Self {
        Self { asked: Instant::now(), first: None, last: None, counts: None }
    }

    fn piece(&mut self) {
        let now = Instant::now();
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    fn usage(&self) -> Option<api::Usage> {
        let counts = self.counts?;
        let end = self.last.unwrap_or(self.asked);
        let writing = self.first.map_or(Duration::ZERO, |first| end - first).as_secs_f64();
        // The first token marks the beginning of the span, so it is not counted in it.
        let in_span = counts.completion_tokens.saturating_sub(1);
        let in_span = f64::from(u32::try_from(in_span).unwrap_or(u32::MAX));
        Some(api::Usage {
            prompt_tokens: counts.prompt_tokens,
            output_tokens: counts.completion_tokens,
            seconds: (end - self.asked).as_secs_f64(),
            tokens_per_second: if writing > 0.0 { in_span / writing } else { 0.0 },
        })
    }
}

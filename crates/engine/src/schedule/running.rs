//! One answer in the making: its sampler, its text, its count and when to stop.
//!
//! Why here: everything that belongs to one answer is dropped together when it ends or its caller leaves.
//! Never here: other answers.

use std::time::Instant;

use super::queue::{Event, Job, Outcome, Reason};
use crate::model::{Decoder, Fault, Token};
use crate::text::TextCutter;

pub(super) struct Running<S> {
    pub(super) job: Job,
    /// Chosen, but not yet read by the model. None while the prompt is being read.
    pub(super) next: Option<Token>,
    sampler: S,
    text: TextCutter,
    tokens: usize,
    started: Instant,
    first_token: Option<Instant>,
}

impl<S> Running<S> {
    pub(super) fn new(mut job: Job, sampler: S, reused_tokens: usize) -> Self {
        tracing::debug!(prompt_tokens = job.prompt.len(), reused_tokens, "an answer begins");
        let text = TextCutter::new(std::mem::take(&mut job.stops));
        Self { job, next: None, sampler, text, tokens: 0, started: Instant::now(), first_token: None }
    }

    /// Takes one more token; `read` is how much of the context is used. `Some`: the answer is complete.
    pub(super) fn advance<D: Decoder<Sampler = S>>(
        &mut self,
        decoder: &mut D,
        index: usize,
        read: usize,
    ) -> Result<Option<Reason>, Fault> {
        let token = decoder.choose(&mut self.sampler, index)?;
        self.first_token.get_or_insert_with(Instant::now);
        self.tokens += 1;
        if decoder.is_end(token) {
            return Ok(Some(Reason::Stop));
        }
        let cut = self.text.push(&decoder.bytes(token));
        self.send(cut.text);
        if cut.stopped {
            return Ok(Some(Reason::Stop));
        }
        self.next = Some(token);
        let full = read >= self.job.context || self.job.max_tokens.is_some_and(|max| self.tokens >= max);
        Ok(full.then_some(Reason::Length))
    }

    pub(super) fn finish(mut self, reason: Reason, now: Instant) {
        let rest = self.text.finish();
        self.send(rest);
        let first = self.first_token.unwrap_or(now);
        let outcome = Outcome {
            reason,
            prompt_tokens: self.job.prompt.len(),
            tokens: self.tokens,
            waited: self.started.duration_since(self.job.arrived),
            reading: first.duration_since(self.started),
            writing: now.duration_since(first),
        };
        self.job.end(Event::Done(outcome));
    }

    fn send(&self, text: String) {
        if !text.is_empty() {
            self.job.send(Event::Text(text));
        }
    }
}

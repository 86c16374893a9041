//! The client's side of a relayed stream: what was sent so far, and how it ends.
//!
//! Never here: what an event holds.

use std::collections::BTreeMap;

use super::choice::{self, Choice};
use super::chunk::{DONE, Form, Frame};
use crate::ending::Allowance;
use crate::error::UpstreamFault;
use crate::event::Counts;
use crate::reply::{Metered, Reply, StopReason};

#[derive(Debug)]
pub(super) struct Outlet {
    pub(super) frame: Frame,
    /// One bit a choice: its role was sent.
    roles: u128,
    /// One bit a choice: it had a delta and has no finish reason yet.
    unfinished: u128,
    pub(super) usage: Option<Counts>,
    pub(super) allowance: Allowance,
    /// Of a completion's choices: characters of their tokens so far.
    offsets: BTreeMap<u64, u64>,
}

/// What a push brings along.
pub(super) struct Push<'p> {
    pub(super) reply: &'p Reply,
    pub(super) metered: &'p mut Metered,
    pub(super) out: &'p mut Vec<u8>,
}

impl Outlet {
    pub(super) fn new(form: Form, reply: &Reply) -> Self {
        Self {
            frame: Frame::new(form),
            roles: 0,
            unfinished: 0,
            usage: None,
            allowance: Allowance::of(reply),
            offsets: BTreeMap::new(),
        }
    }

    pub(super) fn done(&mut self, push: &mut Push<'_>) -> Result<(), UpstreamFault> {
        if self.roles == 0 || self.unfinished != 0 {
            return Err(UpstreamFault::broken("[DONE] came before a finish reason"));
        }
        if let Some(counts) = self.usage.filter(|_| push.reply.include_usage) {
            counts.chunk(&self.frame, push.out);
        }
        push.out.extend_from_slice(DONE);
        Ok(())
    }

    /// A proper end that is not the upstream's: for every choice that has none, with what is known of the usage.
    pub(super) fn cut(&mut self, reason: StopReason, push: &mut Push<'_>) {
        for index in (0..u128::BITS).filter(|index| self.unfinished & (1 << index) != 0) {
            self.frame.open(push.out);
            let choice = Choice { index: index.into(), stop: Some(reason), ..Choice::default() };
            choice::write_end(&choice, self.frame.form(), push.reply, push.out);
            Frame::close(push.out);
        }
        push.metered.stop = Some(reason);
        if push.reply.include_usage {
            let counted = Counts { output: push.metered.deltas, ..Counts::default() };
            self.usage.unwrap_or(counted).chunk(&self.frame, push.out);
        }
        push.out.extend_from_slice(DONE);
    }

    /// The choice's end was read and is not to be written.
    pub(super) fn reopen(&mut self, choice: &Choice<'_>) {
        self.unfinished |= u32::try_from(choice.index).ok().and_then(|i| 1u128.checked_shl(i)).unwrap_or(0);
    }

    /// Characters of a tracked choice's tokens so far.
    pub(super) fn offset(&mut self, choice: &Choice<'_>) -> &mut u64 {
        self.offsets.entry(choice.index).or_default()
    }

    /// Whether this is the choice's first delta, which carries the role.
    pub(super) fn track(&mut self, choice: &Choice<'_>) -> Result<bool, UpstreamFault> {
        let bit = u32::try_from(choice.index).ok().and_then(|index| 1u128.checked_shl(index));
        let bit = bit.ok_or_else(|| UpstreamFault::protocol("a choice's index is out of bounds"))?;
        let opens = self.roles & bit == 0;
        self.roles |= bit;
        if choice.stop.is_some() {
            self.unfinished &= !bit;
        } else if opens {
            self.unfinished |= bit;
        }
        Ok(opens)
    }
}

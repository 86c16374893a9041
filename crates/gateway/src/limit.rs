//! How often a key, and each user it speaks for, may ask: a sliding window that is exact.
//!
//! Why here: a limit is a limit only when everything that a request is charged for is checked and then charged under one
//! lock. The window is a log of the admitted instants, so there is no boundary at which twice the limit passes, and a
//! refused request leaves no trace. What a key may spend beside requests (tokens, places) joins the same two steps.
//!
//! The table is bounded. A subject is forgotten only when its window is empty, when forgetting and remembering are the
//! same thing; a table full of busy users refuses further users instead of forgetting somebody's charges. Keys always
//! have a place: their number is the configuration's, so users can never crowd them out.
//!
//! Never here: wall time (a clock that is set back must not refill a window), a background task, or a reload: the state
//! outlives the configuration, and a changed rule applies from the next request on.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::auth::Principal;
use crate::config::{Rate, RateRule, RetryAfter};
use crate::standing::{Reason, Refusal, Standing};

/// Users remembered at once, over all keys.
const USERS_MAX: usize = 100_000;
/// Emptied subjects looked for per request; more than one, so that the table shrinks faster than it grows.
const SWEEP_STEPS: usize = 4;
/// The same when a new user needs a place.
const SWEEP_STEPS_FULL: usize = 64;
/// SDKs ignore or refuse to wait longer.
const RETRY_AFTER_MAX_S: u64 = 60;
/// A subject is looked at again after this at the latest; keeps instants far from overflow whatever the window.
const LOOK_AGAIN: Duration = Duration::from_secs(24 * 3_600);

/// The windows of all subjects.
#[derive(Debug)]
pub struct Limiter {
    table: Mutex<Table>,
}

/// Proof that a request was counted; kept as long as the request lives.
#[derive(Clone, Debug)]
#[must_use = "a request that is not served must not be charged"]
pub struct Charge {
    standing: Option<Standing>,
}

impl Charge {
    /// The tightest of the rules that the request was charged for; `None` where none applies.
    pub fn standing(&self) -> Option<Standing> {
        self.standing
    }
}

impl Default for Limiter {
    fn default() -> Self {
        Self::new()
    }
}

impl Limiter {
    pub fn new() -> Self {
        Self::with_users_max(USERS_MAX)
    }

    fn with_users_max(users_max: usize) -> Self {
        let table =
            Table { windows: HashMap::new(), due: BinaryHeap::new(), users: 0, users_max, latest: None };
        Self { table: Mutex::new(table) }
    }

    /// Counts one request of this principal, or says why not. `general` is the rule of whoever has no own one.
    pub fn charge(
        &self,
        principal: &Principal,
        general: Option<&Rate>,
        now: Instant,
    ) -> Result<Charge, Refusal> {
        let key_rate = match &principal.rate {
            RateRule::General => general.copied(),
            RateRule::Own(rate) => Some(*rate),
            RateRule::None => None,
        };
        let key = key_rate.map(|rate| Rule { subject: Subject::key(principal), rate });
        let user = general.and_then(|rate| Some(Rule { subject: Subject::user(principal)?, rate: *rate }));
        // A panic elsewhere cannot have left the table half-charged: nothing between check and charge can panic.
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.charge([key, user], now)
    }
}

/// Who is charged.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Subject {
    key: Arc<str>,
    user: Option<Arc<str>>,
}

impl Subject {
    fn key(principal: &Principal) -> Self {
        Self { key: Arc::clone(&principal.key_id), user: None }
    }

    fn user(principal: &Principal) -> Option<Self> {
        let user = principal.user.as_ref()?;
        Some(Self { key: Arc::clone(&principal.key_id), user: Some(Arc::clone(user)) })
    }
}

/// One rule applied to one subject.
struct Rule {
    subject: Subject,
    rate: Rate,
}

#[derive(Debug)]
struct Table {
    windows: HashMap<Subject, Window>,
    /// When each subject might be empty, the soonest first; exactly one entry a subject. Early, never late.
    due: BinaryHeap<Reverse<(Instant, Subject)>>,
    users: usize,
    users_max: usize,
    /// Callers take their instant before the lock, so instants arrive a little out of order.
    latest: Option<Instant>,
}

impl Table {
    fn charge(&mut self, rules: [Option<Rule>; 2], now: Instant) -> Result<Charge, Refusal> {
        let now = self.latest.map_or(now, |latest| latest.max(now));
        self.latest = Some(now);
        self.sweep(now, SWEEP_STEPS);

        let refusals = rules.iter().flatten().filter_map(|rule| self.refuses(rule, now));
        // The longest wait is the one after which a repetition can pass.
        if let Some(refusal) = refusals.max_by_key(|refusal| refusal.retry_after_s) {
            return Err(refusal);
        }
        for rule in rules.iter().flatten() {
            self.make_room(rule, now)?;
        }
        let standings = rules.into_iter().flatten().map(|rule| self.commit(rule, now));
        Ok(Charge { standing: standings.min_by_key(|standing| standing.remaining) })
    }

    /// Whether a rule has no place left.
    fn refuses(&mut self, rule: &Rule, now: Instant) -> Option<Refusal> {
        let rate = &rule.rate;
        let (wait, reset) = match self.windows.get_mut(&rule.subject) {
            Some(window) => (window.wait(rate, now)?, window.reset(rate.window, now)),
            None if rate.requests_max == 0 => (rate.window, rate.window),
            None => return None,
        };
        let reason = match rule.subject.user {
            Some(_) => Reason::UserRequests,
            None => Reason::KeyRequests,
        };
        Some(refusal(rate, reset, wait, reason))
    }

    /// A place in the table for a user that is not in it.
    fn make_room(&mut self, rule: &Rule, now: Instant) -> Result<(), Refusal> {
        let known = rule.subject.user.is_none() || self.windows.contains_key(&rule.subject);
        if known || self.users < self.users_max {
            return Ok(());
        }
        self.sweep(now, SWEEP_STEPS_FULL);
        if self.users < self.users_max {
            return Ok(());
        }
        let soonest = self.due.peek().map(|Reverse((due, _))| due.saturating_duration_since(now));
        let wait = soonest.unwrap_or(rule.rate.window);
        Err(refusal(&rule.rate, wait, wait, Reason::Users))
    }

    fn commit(&mut self, rule: Rule, now: Instant) -> Standing {
        let Rule { subject, rate } = rule;
        let window = match self.windows.entry(subject) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                self.users += usize::from(entry.key().user.is_some());
                self.due.push(Reverse((now + rate.window.min(LOOK_AGAIN), entry.key().clone())));
                entry.insert(Window::default())
            }
        };
        window.admitted.push_back(now);
        window.length = rate.window;
        Standing {
            limit: rate.requests_max,
            remaining: window.remaining(&rate),
            reset: window.reset(rate.window, now),
        }
    }

    /// Forgets subjects whose window is empty, a few at a time: at most `steps` of those that are due.
    fn sweep(&mut self, now: Instant, steps: usize) {
        for _ in 0..steps {
            let Some(Reverse((due, _))) = self.due.peek() else { return };
            if *due > now {
                return;
            }
            let Some(Reverse((_, subject))) = self.due.pop() else { return };
            let Some(window) = self.windows.get(&subject) else { continue };
            let busy_for = window.reset(window.length, now);
            if busy_for > Duration::ZERO {
                self.due.push(Reverse((now + busy_for.min(LOOK_AGAIN), subject)));
            } else {
                self.users -= usize::from(subject.user.is_some());
                self.windows.remove(&subject);
            }
        }
    }
}

/// The admitted requests of one subject, oldest first; never more than its rule allows.
#[derive(Debug, Default)]
struct Window {
    admitted: VecDeque<Instant>,
    /// Of the rule that was charged last.
    length: Duration,
}

impl Window {
    /// How long until one more request fits; `None`: now. Forgets what has left the window.
    fn wait(&mut self, rate: &Rate, now: Instant) -> Option<Duration> {
        while self.admitted.front().is_some_and(|first| left(*first, rate.window, now).is_zero()) {
            self.admitted.pop_front();
        }
        // More than one has to leave where a reload has lowered the limit.
        let surplus =
            self.admitted.len().checked_sub(usize::try_from(rate.requests_max).unwrap_or(usize::MAX))?;
        let last_to_leave = self.admitted.get(surplus);
        Some(last_to_leave.map_or(rate.window, |instant| left(*instant, rate.window, now)))
    }

    fn remaining(&self, rate: &Rate) -> u32 {
        rate.requests_max.saturating_sub(u32::try_from(self.admitted.len()).unwrap_or(u32::MAX))
    }

    /// How long until the window is empty.
    fn reset(&self, length: Duration, now: Instant) -> Duration {
        self.admitted.back().map_or(Duration::ZERO, |last| left(*last, length, now))
    }
}

/// How long a charge stays in its window.
fn left(charged: Instant, window: Duration, now: Instant) -> Duration {
    window.saturating_sub(now.saturating_duration_since(charged))
}

fn refusal(rate: &Rate, reset: Duration, wait: Duration, reason: Reason) -> Refusal {
    let retry_after_s = match rate.retry_after {
        RetryAfter::Exact => ceil_s(wait).clamp(1, RETRY_AFTER_MAX_S),
        RetryAfter::Window => ceil_s(rate.window).max(1),
    };
    Refusal { limit: rate.requests_max, remaining: 0, reset, retry_after_s, reason }
}

fn ceil_s(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests;

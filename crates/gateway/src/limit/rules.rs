//! Which limits a request meets, and under which counter each of them counts it.
//!
//! Why here: choosing reads the configuration and the request alone, so it happens before the lock is taken. A counter is
//! known by a keyed hash of what it counts (rule, unit, key, user, model): nothing a caller names is ever stored, and a
//! rule keeps its counters through a reload that changes its limit, its window or whom it selects.
//!
//! Never here: counters.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use super::few::Few;
use super::window::Tick;
use super::{Ask, ticks};
use crate::auth::Principal;
use crate::config::{Auth, Config, Counts, Dimension, LimitRule, Rate, RateRule, RetryAfter, Selector};
use crate::model_name::canonical;
use crate::standing::{Reason, Remedy};

/// A window this long is a budget: who has used it up is not helped by waiting a little.
const BUDGET: Duration = Duration::from_secs(24 * 3_600);

/// The limits of one configuration, ready to be asked.
#[derive(Debug, Default)]
pub struct Rules {
    general: Option<Rate>,
    output_tokens_max: Option<u64>,
    limits: Vec<Limit>,
    /// Places in `limits` of those that select keys by id.
    by_key: HashMap<Box<str>, Vec<usize>>,
    /// Places of all others.
    by_anything: Vec<usize>,
    /// How long each rule remembers.
    pub(super) lengths: HashMap<RuleId, Tick>,
}

/// A rule through all reloads. Two that meet by chance are remembered as long as the longer one of them, no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct RuleId(u64);

/// One named rule.
#[derive(Debug)]
pub(super) struct Limit {
    pub name: Arc<str>,
    pub per: Per,
    id: RuleId,
    terms: Terms,
    labels: Option<HashSet<Box<str>>>,
    users: Option<HashSet<Box<str>>>,
    models: Option<HashSet<Box<str>>>,
}

/// What has a counter of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Per {
    pub key: bool,
    pub user: bool,
    pub model: bool,
}

/// What a rule says, in numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub counts: Counts,
    pub max: u64,
    pub length: Tick,
    pub retry_after: RetryAfter,
    pub reason: Reason,
    pub remedy: Remedy,
}

/// Who chose the name under which a counter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seat {
    /// The configuration: there are only so many.
    Kept,
    /// Somebody who speaks for users.
    User,
    /// Whoever names a model.
    Model,
}

/// One rule applied to one request.
#[derive(Clone, Debug)]
pub(super) struct Line<'r> {
    pub counter: u128,
    pub seat: Seat,
    pub rule: RuleId,
    pub terms: Terms,
    pub name: Option<&'r Arc<str>>,
}

/// What a counter counts.
#[derive(Hash)]
struct Subject<'a> {
    rule: RuleName<'a>,
    counts: Counts,
    per: Per,
    key: Option<&'a str>,
    user: Option<&'a str>,
    model: Option<&'a str>,
}

#[derive(Hash)]
enum RuleName<'a> {
    General,
    Named(&'a str),
}

/// Makes counters' names. Keyed anew for each process, so that nobody can choose two subjects that meet.
#[derive(Debug, Default)]
pub(super) struct Namer {
    high: RandomState,
    low: RandomState,
}

impl Namer {
    fn name(&self, subject: &Subject<'_>) -> u128 {
        u128::from(self.high.hash_one(subject)) << 64 | u128::from(self.low.hash_one(subject))
    }
}

impl RuleId {
    const GENERAL: Self = Self(0);

    fn of(name: &str, counts: Counts) -> Self {
        let mut hasher = DefaultHasher::new();
        (name, counts).hash(&mut hasher);
        Self(hasher.finish())
    }
}

impl Rules {
    pub fn new(config: &Config) -> Self {
        let output_tokens_max = config.answer.output_tokens_max;
        let mut rules = Self { general: config.rate, output_tokens_max, ..Self::default() };
        rules.remember_rates(config);
        config.limits.iter().for_each(|rule| rules.push(rule));
        rules
    }

    fn push(&mut self, rule: &LimitRule) {
        let place = self.limits.len();
        match &rule.applies_to.keys {
            Some(keys) => {
                for key in keys.iter().collect::<HashSet<_>>() {
                    self.by_key.entry(key.as_str().into()).or_default().push(place);
                }
            }
            None => self.by_anything.push(place),
        }
        let limit = Limit::new(rule);
        self.lengths.insert(limit.id, limit.terms.length);
        self.limits.push(limit);
    }

    fn remember_rates(&mut self, config: &Config) {
        let keys = match &config.auth {
            Auth::Keys { keys, .. } => keys.as_slice(),
            Auth::Open => &[],
        };
        let own = keys.iter().filter_map(|key| match &key.rate {
            RateRule::Own(rate) => Some(rate),
            RateRule::General | RateRule::None => None,
        });
        if let Some(longest) = own.chain(&config.rate).map(|rate| ticks(rate.window)).max() {
            self.lengths.insert(RuleId::GENERAL, longest);
        }
    }

    /// Longest answer that a caller may have, whatever the limits.
    pub(super) fn output_ceiling(&self, principal: &Principal) -> Option<u64> {
        principal.output_tokens_max.or(self.output_tokens_max)
    }

    /// Whether any rule counts tokens, so that it is worth estimating them well.
    pub fn count_tokens(&self) -> bool {
        let counts = |limit: &Limit| limit.terms.counts;
        self.limits.iter().map(counts).any(|counts| !matches!(counts, Counts::Requests | Counts::Concurrency))
    }

    #[cfg(test)]
    pub(super) fn of(general: Option<Rate>) -> Self {
        Self { general, ..Self::default() }
    }

    #[cfg(test)]
    pub(super) fn named(named: impl IntoIterator<Item = LimitRule>) -> Self {
        let mut rules = Self::default();
        named.into_iter().for_each(|rule| rules.push(&rule));
        rules
    }

    /// Every rule that a request meets.
    pub(super) fn lines<'r>(&'r self, namer: &Namer, ask: &Ask<'_>) -> Few<Line<'r>> {
        let mut lines = Few::default();
        self.general_lines(namer, ask.principal, &mut lines);
        if self.limits.is_empty() {
            return lines;
        }
        let model = ask.model.map(canonical);
        for limit in self.candidates(ask.principal) {
            if limit.applies_to(ask.principal, model.as_deref()) {
                lines.push(limit.line(namer, ask.principal, model.as_deref()));
            }
        }
        lines
    }

    /// The general rate: the key's own where it has one, and that of the user it speaks for.
    pub(super) fn general_lines<'r>(&self, namer: &Namer, principal: &Principal, lines: &mut Few<Line<'r>>) {
        let key_rate = match &principal.rate {
            RateRule::General => self.general,
            RateRule::Own(rate) => Some(*rate),
            RateRule::None => None,
        };
        let mut push = |rate: &Rate, user: Option<&str>| {
            let per = Per { key: true, user: user.is_some(), model: false };
            let key = Some(&*principal.key_id);
            let counts = Counts::Requests;
            lines.push(Line {
                counter: namer.name(&Subject {
                    rule: RuleName::General,
                    counts,
                    per,
                    key,
                    user,
                    model: None,
                }),
                rule: RuleId::GENERAL,
                seat: if user.is_some() { Seat::User } else { Seat::Kept },
                terms: Terms {
                    counts,
                    max: rate.requests_max.into(),
                    length: ticks(rate.window),
                    retry_after: rate.retry_after,
                    reason: per.reason(counts),
                    remedy: Remedy::Wait,
                },
                name: None,
            });
        };
        if let Some(rate) = key_rate {
            push(&rate, None);
        }
        if let (Some(rate), Some(user)) = (&self.general, &principal.user) {
            push(rate, Some(user));
        }
    }

    /// Named rules that may apply to a key.
    pub(super) fn candidates(&self, principal: &Principal) -> impl Iterator<Item = &Limit> {
        let named = self.by_key.get(&*principal.key_id).into_iter().flatten();
        named.chain(&self.by_anything).filter_map(|place| self.limits.get(*place))
    }
}

impl Limit {
    fn new(rule: &LimitRule) -> Self {
        let Selector { keys: _, labels, users, models } = &rule.applies_to;
        let set = |list: &Option<Vec<String>>| -> Option<HashSet<Box<str>>> {
            list.as_ref().map(|list| list.iter().map(|entry| entry.as_str().into()).collect())
        };
        let has = |dimension| rule.per.contains(&dimension);
        let per = Per { key: has(Dimension::Key), user: has(Dimension::User), model: has(Dimension::Model) };
        let budget = rule.window >= BUDGET && rule.counts != Counts::Concurrency;
        Self {
            name: rule.name.as_str().into(),
            id: RuleId::of(&rule.name, rule.counts),
            per,
            terms: Terms {
                counts: rule.counts,
                max: rule.max,
                length: ticks(rule.window),
                retry_after: rule.retry_after,
                reason: if budget { Reason::Budget } else { per.reason(rule.counts) },
                remedy: if budget { Remedy::Budget } else { Remedy::Wait },
            },
            labels: set(labels),
            users: set(users),
            models: models.as_ref().map(|list| list.iter().map(|name| canonical(name).into()).collect()),
        }
    }

    /// Whether a request meets it. Lists of models run nothing: they meet what counts requests, and no rule about models.
    pub(super) fn applies_to(&self, principal: &Principal, model: Option<&str>) -> bool {
        let runs = model.is_some() || (self.terms.counts == Counts::Requests && !self.per.model);
        runs && self.selects(principal)
            && self.models.as_ref().is_none_or(|models| model.is_some_and(|model| models.contains(model)))
    }

    /// Whether it is for this caller, whatever is asked for.
    pub(super) fn selects(&self, principal: &Principal) -> bool {
        let user = principal.user.as_deref();
        self.labels
            .as_ref()
            .is_none_or(|labels| principal.labels.iter().any(|label| labels.contains(label.as_str())))
            && self.users.as_ref().is_none_or(|users| user.is_some_and(|user| users.contains(user)))
    }

    pub(super) fn line(&self, namer: &Namer, principal: &Principal, model: Option<&str>) -> Line<'_> {
        let Per { key, user, model: per_model } = self.per;
        let subject = Subject {
            rule: RuleName::Named(&self.name),
            counts: self.terms.counts,
            per: self.per,
            // A user is one of a key: two keys may speak of different people by the same name.
            key: (key || user).then_some(&*principal.key_id),
            user: principal.user.as_deref().filter(|_| user),
            model: model.filter(|_| per_model),
        };
        let seat = match (subject.user, subject.model) {
            (Some(_), _) => Seat::User,
            (None, Some(_)) => Seat::Model,
            (None, None) => Seat::Kept,
        };
        Line { counter: namer.name(&subject), seat, rule: self.id, terms: self.terms, name: Some(&self.name) }
    }
}

impl Per {
    fn reason(self, counts: Counts) -> Reason {
        use Counts::{Concurrency, Requests};
        match (self, counts) {
            (Self { user: true, .. }, Requests) => Reason::UserRequests,
            (Self { user: true, .. }, Concurrency) => Reason::UserConcurrency,
            (Self { user: true, .. }, _) => Reason::UserTokens,
            (Self { key: true, .. }, Requests) => Reason::KeyRequests,
            (Self { key: true, .. }, Concurrency) => Reason::KeyConcurrency,
            (Self { key: true, .. }, _) => Reason::KeyTokens,
            (Self { model: true, .. }, Requests) => Reason::ModelRequests,
            (Self { model: true, .. }, Concurrency) => Reason::ModelConcurrency,
            (Self { model: true, .. }, _) => Reason::ModelTokens,
            (_, Requests) => Reason::SharedRequests,
            (_, Concurrency) => Reason::SharedConcurrency,
            _ => Reason::SharedTokens,
        }
    }
}

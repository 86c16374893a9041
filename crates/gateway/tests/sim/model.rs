//! What a limit is, said as plainly as possible: everything is kept for ever and added up anew each time.
//!
//! Two sums where the limiter has a choice: what is *certainly* in a window, which must never exceed its limit, and what is
//! *possibly* in it, without which nobody may be refused. They differ only where a reload lengthens a window (what had left
//! it need not come back) and where a long log merges neighbours (which may leave late by a 512th of the window).

use std::collections::HashMap;
use std::time::Duration;

use gateway::auth::Principal;
use gateway::config::{Config, Counts, Dimension, LimitRule, Rate, RateRule, Selector};

/// Entries from which on a log may merge.
const EXACT: usize = 1_000;

/// A counter, by everything that makes it one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    rule: Option<String>,
    counts: Counts,
    per: Vec<Dimension>,
    key: Option<String>,
    user: Option<String>,
    model: Option<String>,
}

/// One rule applied to one request.
#[derive(Clone, Debug)]
pub struct Line {
    pub subject: Subject,
    pub max: u64,
    pub window_ns: u64,
}

#[derive(Debug)]
struct Spent {
    request: u64,
    at_ns: u64,
    amount: u64,
    certain: bool,
}

#[derive(Debug, Default)]
pub struct Page {
    spent: Vec<Spent>,
    pub held: u64,
    window_ns: u64,
    in_force: bool,
}

#[derive(Debug, Default)]
pub struct Model {
    pages: HashMap<Subject, Page>,
    /// The newest instant that anybody told; the limiter's time never runs back either.
    pub latest_ns: u64,
}

/// How a row of usage names a line: rule, model, and whether a general rate is a user's.
pub type Row = (Option<String>, Option<String>, bool);

/// What stands in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub certain: u64,
    pub possible: u64,
}

impl Line {
    pub fn is_of(&self, rule: Option<&str>, counts: Counts) -> bool {
        self.subject.rule.as_deref() == rule && self.subject.counts == counts
    }

    pub fn told_as(&self) -> Row {
        let Subject { rule, model, user, .. } = &self.subject;
        (rule.clone(), model.clone(), rule.is_none() && user.is_some())
    }

    pub fn counts(&self) -> Counts {
        self.subject.counts
    }

    /// What a request with this cap, or with so much output given, takes of it.
    pub fn amount(&self, prompt: u64, output: u64) -> u64 {
        match self.subject.counts {
            Counts::Requests | Counts::Concurrency => 1,
            Counts::PromptTokens => prompt,
            Counts::OutputTokens => output,
            Counts::Tokens => prompt + output,
        }
    }

    pub fn is_of_output(&self) -> bool {
        matches!(self.subject.counts, Counts::OutputTokens | Counts::Tokens)
    }

    /// The least that it can be asked for.
    pub fn least(&self, prompt: u64, cap: Option<u64>, ceiling: Option<u64>) -> u64 {
        let min = 256.min(self.max / 2).min(ceiling.unwrap_or(u64::MAX)).max(1);
        self.amount(prompt, cap.unwrap_or(min))
    }

    /// What an answer without a cap is given where nothing is used.
    pub fn share(&self, ceiling: Option<u64>) -> u64 {
        (self.max / 16).clamp(4_096, 32_768).min(ceiling.unwrap_or(u64::MAX))
    }
}

/// Every rule that a request meets, from the configuration alone.
pub fn lines(config: &Config, who: &Principal, model: Option<&str>) -> Vec<Line> {
    let general = |rate: &Rate, user: Option<&str>| Line {
        subject: Subject {
            rule: None,
            counts: Counts::Requests,
            per: vec![],
            key: Some(who.key_id.to_string()),
            user: user.map(str::to_owned),
            model: None,
        },
        max: rate.requests_max.into(),
        window_ns: ns(rate.window),
    };
    let mut lines = Vec::new();
    match (&who.rate, &config.rate) {
        (RateRule::Own(rate), _) | (RateRule::General, Some(rate)) => lines.push(general(rate, None)),
        _ => {}
    }
    if let (Some(rate), Some(user)) = (&config.rate, &who.user) {
        lines.push(general(rate, Some(user)));
    }
    let met = config.limits.iter().filter(|rule| applies(rule, who, model));
    lines.extend(met.map(|rule| line(rule, who, model)));
    lines
}

fn applies(rule: &LimitRule, who: &Principal, model: Option<&str>) -> bool {
    let Selector { keys, labels, users, models } = &rule.applies_to;
    let key = keys.as_ref().is_none_or(|keys| keys.iter().any(|key| **key == *who.key_id));
    let label = labels.as_ref().is_none_or(|labels| labels.iter().any(|label| who.labels.contains(label)));
    let user = users.as_ref().is_none_or(|users| users.iter().any(|user| who.user.as_deref() == Some(user)));
    let of_model = models.as_ref().is_none_or(|models| models.iter().any(|name| model == Some(name)));
    let listing = rule.counts == Counts::Requests && !rule.per.contains(&Dimension::Model);
    key && label && user && of_model && (model.is_some() || listing)
}

fn line(rule: &LimitRule, who: &Principal, model: Option<&str>) -> Line {
    let per = |dimension| rule.per.contains(&dimension);
    let mut dimensions = rule.per.clone();
    dimensions.sort_unstable();
    let user = who.user.as_deref().filter(|_| per(Dimension::User));
    Line {
        subject: Subject {
            rule: Some(rule.name.clone()),
            counts: rule.counts,
            key: (per(Dimension::Key) || per(Dimension::User)).then(|| who.key_id.to_string()),
            user: user.map(str::to_owned),
            model: model.filter(|_| per(Dimension::Model)).map(str::to_owned),
            per: dimensions,
        },
        max: rule.max,
        window_ns: ns(rule.window),
    }
}

pub fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap()
}

impl Model {
    pub fn told(&mut self, now_ns: u64) {
        self.latest_ns = self.latest_ns.max(now_ns);
    }

    pub fn held(&self, line: &Line) -> u64 {
        self.pages.get(&line.subject).map_or(0, |page| page.held)
    }

    /// What stands in a line's window at an instant.
    pub fn sums(&self, line: &Line, at_ns: u64) -> Sums {
        self.pages.get(&line.subject).map_or(Sums::default(), |page| page.sums(line.window_ns, at_ns))
    }

    /// Whether everything in the window is remembered to the instant.
    pub fn is_exact(&self, line: &Line) -> bool {
        self.pages
            .get(&line.subject)
            .is_none_or(|page| page.spent.len() < EXACT && page.spent.iter().all(|spent| spent.certain))
    }

    /// A request passed and took so much of a line.
    pub fn charged(&mut self, line: &Line, request: u64, amount: u64) {
        let at_ns = self.latest_ns;
        let page = self.pages.entry(line.subject.clone()).or_default();
        (page.window_ns, page.in_force) = (line.window_ns, true);
        if line.subject.counts == Counts::Requests {
            page.spent.push(Spent { request, at_ns, amount, certain: true });
        } else {
            page.held += amount;
        }
    }

    /// What a request held ends as used.
    pub fn ended(&mut self, line: &Line, held: u64, used: u64) {
        let at_ns = self.latest_ns;
        let page = self.pages.get_mut(&line.subject).unwrap();
        match line.subject.counts {
            Counts::Requests => return,
            Counts::Concurrency => {}
            _ => page.spent.push(Spent { request: 0, at_ns, amount: used, certain: page.in_force }),
        }
        page.held = page.held.checked_sub(held).expect("ended twice");
    }

    /// A request never was.
    pub fn refunded(&mut self, line: &Line, request: u64, held: u64) {
        let page = self.pages.get_mut(&line.subject).unwrap();
        if line.subject.counts == Counts::Requests {
            page.spent.retain(|spent| spent.request != request);
        } else {
            page.held = page.held.checked_sub(held).expect("ended twice");
        }
    }

    /// What had left its window need not come back, and what belonged to a rule that is gone neither.
    pub fn reloaded(&mut self, config: &Config, principals: &[Principal]) {
        for (subject, page) in &mut self.pages {
            let new = window(config, principals, subject);
            for spent in &mut page.spent {
                spent.certain &= new.is_some() && spent.at_ns + page.window_ns > self.latest_ns;
            }
            page.in_force = new.is_some();
            page.window_ns = new.unwrap_or(page.window_ns);
        }
    }
}

/// The window of a counter under another configuration.
fn window(config: &Config, principals: &[Principal], subject: &Subject) -> Option<u64> {
    let rate = match &subject.rule {
        Some(name) => {
            let same = |rule: &&LimitRule| rule.name == *name && rule.counts == subject.counts;
            return config.limits.iter().find(same).map(|rule| ns(rule.window));
        }
        None if subject.user.is_some() => config.rate,
        None => principals.iter().find(|who| Some(&*who.key_id) == subject.key.as_deref()).and_then(|who| {
            match &who.rate {
                RateRule::Own(rate) => Some(*rate),
                RateRule::General => config.rate,
                RateRule::None => None,
            }
        }),
    };
    rate.map(|rate| ns(rate.window))
}

impl Page {
    fn sums(&self, window_ns: u64, at_ns: u64) -> Sums {
        let late_ns = if self.spent.len() < EXACT { 0 } else { window_ns / 512 + 1 };
        let mut sums = Sums::default();
        for spent in &self.spent {
            if spent.certain && spent.at_ns + window_ns > at_ns {
                sums.certain += spent.amount;
            }
            if spent.at_ns + window_ns + late_ns > at_ns {
                sums.possible += spent.amount;
            }
        }
        sums
    }
}

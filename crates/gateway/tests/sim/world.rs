//! One life: a configuration, callers, a clock, and what happens to them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use gateway::auth::Principal;
use gateway::config::{
    Addresses, Admission, Answer, Audit, Auth, Clocks, Config, Counts, Dimension, InputLimits, LimitRule,
    Liveness, Memory, Models, Rate, RateRule, RetryAfter, Selector,
};
use gateway::limit::{Ask, Charge, Limiter, Rules};
use gateway::standing::{Refusal, Remedy};
use tokio::time::Instant;

use crate::model::{self, Line, Model, Row};
use crate::random::Random;

const KEYS: [&str; 3] = ["a", "b", "c"];
const USERS: [&str; 4] = ["ann", "bob", "cid", "a"];
const MODELS: [&str; 3] = ["m", "n", "a"];
const LABELS: [&str; 2] = ["team-x", "team-y"];
const NAMES: [&str; 6] = ["r0", "r1", "r2", "r3", "r4", "r5"];
const WINDOWS_S: [u64; 9] = [1, 2, 5, 10, 30, 60, 60, 86_400, 30 * 86_400];
const S: u64 = 1_000_000_000;

/// How often what happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    pub admitted: u64,
    pub refused: u64,
    pub too_large: u64,
    pub settled: u64,
    pub debts: u64,
    pub refunded: u64,
    pub dropped: u64,
    pub reloads: u64,
    pub waits_proved: u64,
}

impl Outcome {
    pub fn add(&mut self, other: &Self) {
        self.admitted += other.admitted;
        self.refused += other.refused;
        self.too_large += other.too_large;
        self.settled += other.settled;
        self.debts += other.debts;
        self.refunded += other.refunded;
        self.dropped += other.dropped;
        self.reloads += other.reloads;
        self.waits_proved += other.waits_proved;
    }
}

/// A request that has passed and not ended.
struct Running {
    id: u64,
    charge: Charge,
    prompt: u64,
    output: u64,
    /// What it took of each rule it met.
    lines: Vec<(Line, u64)>,
}

struct World {
    seed: u64,
    random: Random,
    /// The instant of 0 ns: ahead of the real clock, which a dropped charge reads.
    origin: Instant,
    clock_ns: u64,
    config: Config,
    principals: Vec<Principal>,
    rules: Rules,
    limiter: Limiter,
    model: Model,
    running: Vec<Running>,
    nobody: Principal,
    others: Rules,
    asked: u64,
    outcome: Outcome,
}

/// Lives one world to its end.
pub fn live(seed: u64) -> Outcome {
    let mut world = World::new(seed);
    // Some are long and crowded enough for logs that have to merge.
    let steps = if is_crowded(seed) { 8_000 } else { 500 };
    for _ in 0..steps {
        world.step();
    }
    world.end();
    world.outcome
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let config = if is_crowded(seed) { crowd(&mut random) } else { config(&mut random, &[]) };
        Self {
            seed,
            origin: Instant::now() + Duration::from_secs(3_600),
            clock_ns: 0,
            principals: principals(&mut random),
            rules: Rules::new(&config),
            config,
            limiter: Limiter::new(),
            model: Model::default(),
            running: Vec::new(),
            nobody: Principal::plain("nobody"),
            others: Rules::new(&one_rule(Counts::Requests, 1)),
            asked: 0,
            outcome: Outcome::default(),
            random,
        }
    }

    fn step(&mut self) {
        let crowded = is_crowded(self.seed);
        self.clock_ns += match self.random.below(100) {
            _ if crowded => self.random.below(S / 25),
            0..2 => self.random.below(90_000 * S),
            2..10 => self.random.below(20 * S),
            10..60 => self.random.below(S / 2),
            60..80 => self.random.below(S / 1_000),
            _ => 0,
        };
        match self.random.below(100) {
            0..58 => self.ask(),
            58..94 => self.end_one(),
            94..96 if !crowded => self.reload(),
            _ => self.compare(),
        }
    }

    /// What a caller reads from its clock: mostly now, sometimes a while ago. The limiter is told by somebody who looks at a rule of another world,
    /// so that it and the model agree on the time also where a step has nothing to charge.
    fn now(&mut self) -> Instant {
        let jitter = if self.random.percent(10) { self.random.below(2 * S) } else { 0 };
        let told = self.clock_ns.saturating_sub(jitter);
        self.model.told(told);
        let now = self.origin + Duration::from_nanos(told);
        self.limiter.usage(&self.others, &self.nobody, &["m"], now);
        now
    }

    fn ask(&mut self) {
        let who = self.random.of(&self.principals).clone();
        let model = if self.random.percent(90) { Some(*self.random.of(&MODELS)) } else { None };
        let prompt = if model.is_some() { self.random.below(300) } else { 0 };
        let wanted = match self.random.below(10) {
            0..4 => None,
            4..9 => Some(self.random.below(400)),
            _ => Some(self.random.below(20_000)),
        };
        let wanted = wanted.filter(|_| model.is_some());
        let now = self.now();
        let ask = Ask { principal: &who, model, prompt_tokens: prompt, output_cap: wanted, choices: 1 };
        let told = self.limiter.charge(&self.rules, &ask, now);
        self.asked += 1;

        let ceiling = who.output_tokens_max.or(self.config.answer.output_tokens_max);
        let cap = wanted.map(|wanted| wanted.min(ceiling.unwrap_or(u64::MAX)));
        let lines = model::lines(&self.config, &who, model);
        match told {
            Ok(charge) => self.admitted(charge, lines, prompt, cap, ceiling),
            Err(refusal) => self.refused(&refusal, &lines, prompt, cap, ceiling),
        }
    }

    /// It passed: then it fits into every window, with all that it may use.
    fn admitted(
        &mut self,
        charge: Charge,
        lines: Vec<Line>,
        prompt: u64,
        cap: Option<u64>,
        ceiling: Option<u64>,
    ) {
        self.outcome.admitted += 1;
        let seed = self.seed;
        let output = charge.output_max();
        let given = self.given(&lines, prompt, cap, ceiling);
        match given {
            Some((least, most)) => {
                let output = output.expect("a share was promised");
                assert!((least..=most).contains(&output), "seed {seed}: {output} not in {least}..={most}");
            }
            None => assert_eq!(output, cap.or(ceiling), "seed {seed}"),
        }
        let output = output.unwrap_or(0);
        let mut took = Vec::new();
        for line in lines {
            let amount = line.amount(prompt, output);
            let used = self.model.sums(&line, self.model.latest_ns).certain + self.model.held(&line);
            // What takes nothing of a rule passes it also where a debt has used up more than there is.
            assert!(
                amount == 0 || used + amount <= line.max,
                "seed {seed}: over-admission: {used} + {amount} in {line:?}"
            );
            self.model.charged(&line, self.asked, amount);
            took.push((line, amount));
        }
        self.running.push(Running { id: self.asked, charge, prompt, output, lines: took });
    }

    /// What an answer without a cap must be given, from and to; `None`: nothing limits it.
    fn given(
        &self,
        lines: &[Line],
        prompt: u64,
        cap: Option<u64>,
        ceiling: Option<u64>,
    ) -> Option<(u64, u64)> {
        if cap.is_some() {
            return None;
        }
        let of_each = lines.iter().filter(|line| line.is_of_output()).map(|line| {
            let sums = self.model.sums(line, self.model.latest_ns);
            let taken = self.model.held(line) + line.amount(prompt, 0);
            let left = |used: u64| line.max.saturating_sub(used + taken).min(line.share(ceiling));
            (left(sums.possible), left(sums.certain))
        });
        of_each.reduce(|one, other| (one.0.min(other.0), one.1.min(other.1)))
    }

    /// It did not pass: then there is a rule into which it does not fit, and what is told of that one is true.
    fn refused(
        &mut self,
        refusal: &Refusal,
        lines: &[Line],
        prompt: u64,
        cap: Option<u64>,
        ceiling: Option<u64>,
    ) {
        self.outcome.refused += 1;
        let (seed, now) = (self.seed, self.model.latest_ns);
        let named = lines.iter().filter(|line| line.is_of(refusal.rule.as_deref(), refusal.counts));
        let blamed = named
            .filter(|line| {
                let used = self.model.sums(line, now).possible + self.model.held(line);
                used + line.least(prompt, cap, ceiling) > line.max && line.max == refusal.limit
            })
            .collect::<Vec<_>>();
        let Some(line) = blamed.first() else {
            panic!("seed {seed}: refused without a reason: {refusal:?} of {lines:?}");
        };
        let least = line.least(prompt, cap, ceiling);
        assert!(refusal.remaining < least && refusal.remaining <= line.max, "seed {seed}: {refusal:?}");
        assert!((1..=60).contains(&refusal.retry_after_s), "seed {seed}: {refusal:?}");
        let of_tokens = |line: &Line| !matches!(line.counts(), Counts::Requests | Counts::Concurrency);
        let never = lines.iter().any(|line| of_tokens(line) && line.least(prompt, cap, ceiling) > line.max);
        assert_eq!(refusal.remedy == Remedy::AskForLess, never, "seed {seed}: {refusal:?}");
        if never {
            self.outcome.too_large += 1;
            return;
        }
        // The general rates of a key and of its user may both be meant.
        if blamed.len() > 1 || line.max == 0 || self.model.held(line) > 0 || !self.model.is_exact(line) {
            return;
        }
        let then = now + model::ns(refusal.wait);
        let room_at = |at| line.max >= self.model.sums(line, at).certain + least;
        assert!(room_at(then) && !room_at(then - 1), "seed {seed}: told to wait wrongly: {refusal:?}");
        self.outcome.waits_proved += 1;
    }

    fn end_one(&mut self) {
        if self.running.is_empty() {
            return;
        }
        let place = self.random.index(self.running.len());
        let running = self.running.swap_remove(place);
        match self.random.below(10) {
            0 => {
                // Its instant is the real clock's, long past in this world: it counts as the newest that was told.
                self.now();
                drop(running.charge);
                self.outcome.dropped += 1;
                self.model_ended(&running.lines, |_, held| held);
            }
            1 => {
                let now = self.now();
                running.charge.refund_at(now);
                self.outcome.refunded += 1;
                for (line, held) in &running.lines {
                    self.model.refunded(line, running.id, *held);
                }
            }
            _ => {
                let prompt = self.used(running.prompt);
                let output = self.used(running.output);
                self.outcome.settled += 1;
                self.outcome.debts += u64::from(prompt > running.prompt || output > running.output);
                let now = self.now();
                running.charge.settle_at(prompt, output, now);
                self.model_ended(&running.lines, |line, _| line.amount(prompt, output));
            }
        }
    }

    /// What a request turns out to have used: mostly less than was reserved, sometimes all, sometimes more.
    fn used(&mut self, reserved: u64) -> u64 {
        match self.random.below(10) {
            0..7 => self.random.below(reserved + 1),
            7..9 => reserved,
            _ => reserved + self.random.below(reserved + 100),
        }
    }

    fn model_ended(&mut self, lines: &[(Line, u64)], used: impl Fn(&Line, u64) -> u64) {
        for (line, held) in lines {
            self.model.ended(line, *held, used(line, *held));
        }
    }

    /// Other limits and windows under the same names, other names, other selectors.
    fn reload(&mut self) {
        self.outcome.reloads += 1;
        self.config = config(&mut self.random, &self.config.limits);
        self.rules = Rules::new(&self.config);
        self.model.reloaded(&self.config, &self.principals);
    }

    /// What `usage` tells is what the model has.
    fn compare(&mut self) {
        let who = self.random.of(&self.principals).clone();
        let now = self.now();
        let told = self.limiter.usage(&self.rules, &who, &MODELS, now);
        let mut sums: HashMap<Row, (Line, u64)> = HashMap::new();
        for model in MODELS.map(Some).into_iter().chain([None]) {
            for line in model::lines(&self.config, &who, model) {
                sums.insert(line.told_as(), (line, 0));
            }
        }
        for row in &told {
            let is_user = row.name.is_none() && row.per.contains(&"user");
            let (line, seen) = sums
                .get_mut(&(row.name.clone(), row.model.clone(), is_user))
                .unwrap_or_else(|| panic!("seed {}: nothing is meant by {row:?}", self.seed));
            *seen += 1;
            let expected = self.model.sums(line, self.model.latest_ns);
            assert!(
                (expected.certain..=expected.possible).contains(&row.used),
                "seed {}: {row:?}, not {expected:?}",
                self.seed
            );
            assert_eq!(
                (row.reserved, row.limit),
                (self.model.held(line), line.max),
                "seed {}: {row:?}",
                self.seed
            );
        }
        assert!(sums.values().all(|(_, seen)| *seen == 1), "seed {}: {told:?}", self.seed);
    }

    /// When all has ended and left, nothing is remembered.
    fn end(&mut self) {
        while !self.running.is_empty() {
            self.end_one();
        }
        let nothing = Rules::new(&blank());
        for _ in 0..3 {
            self.clock_ns += 31 * 86_400 * S;
            for _ in 0..200 {
                let now = self.now();
                let ask = Ask {
                    principal: &self.nobody,
                    model: None,
                    prompt_tokens: 0,
                    output_cap: None,
                    choices: 1,
                };
                drop(self.limiter.charge(&nothing, &ask, now).unwrap());
            }
        }
        let size = self.limiter.size();
        assert_eq!((size.counters, size.due, size.entries), (0, 0, 0), "seed {}: {size:?}", self.seed);
    }
}

fn principals(random: &mut Random) -> Vec<Principal> {
    let mut principals = Vec::new();
    for id in KEYS {
        let rate = match random.below(3) {
            0 => RateRule::Own(rate(random)),
            1 => RateRule::General,
            _ => RateRule::None,
        };
        let labels: Arc<[String]> =
            LABELS.iter().filter(|_| random.percent(40)).map(|label| (*label).to_owned()).collect();
        let ceiling = random.percent(20).then(|| 1 + random.below(2_000));
        let plain = Principal { rate, labels, output_tokens_max: ceiling, ..Principal::plain(id) };
        let users = USERS
            .iter()
            .filter(|_| random.percent(50))
            .map(|user| Principal { user: Some((*user).into()), ..plain.clone() });
        principals.extend(users.collect::<Vec<_>>());
        principals.push(plain);
    }
    principals
}

fn rate(random: &mut Random) -> Rate {
    Rate {
        requests_max: u32::try_from(1 + random.below(40)).unwrap(),
        window: Duration::from_secs(*random.of(&WINDOWS_S)),
        retry_after: RetryAfter::Exact,
    }
}

/// A configuration; rules that were there mostly stay under their names, with other numbers.
fn config(random: &mut Random, before: &[LimitRule]) -> Config {
    let mut limits = Vec::new();
    for name in NAMES {
        if !random.percent(55) {
            continue;
        }
        let stays = random.percent(85);
        let old = before.iter().find(|rule| rule.name == name).filter(|_| stays);
        limits.push(match old {
            Some(old) => LimitRule {
                max: random.below(2 * old.max + 2),
                window: Duration::from_secs(*random.of(&WINDOWS_S)),
                applies_to: if random.percent(70) { old.applies_to.clone() } else { selector(random) },
                ..old.clone()
            },
            None => fresh(random, name),
        });
    }
    let mut config = blank();
    config.rate = random.percent(40).then(|| rate(random));
    config.answer.output_tokens_max = random.percent(10).then(|| 1 + random.below(5_000));
    config.limits = limits;
    config
}

/// A configuration with one rule for each key.
pub fn one_rule(counts: Counts, max: u64) -> Config {
    let mut config = blank();
    config.limits = vec![LimitRule {
        name: "one".to_owned(),
        applies_to: Selector::default(),
        per: vec![Dimension::Key],
        counts,
        max,
        window: Duration::from_secs(3_600),
        retry_after: RetryAfter::Exact,
    }];
    config
}

fn blank() -> Config {
    Config {
        listen: vec![],
        admin_listen: None,
        upstreams: vec![],
        models: Models::Discovered,
        auth: Auth::Open,
        addresses: Addresses { allow: None, trusted_proxies: vec![] },
        rate: None,
        limits: vec![],
        admission: Admission::default(),
        input: InputLimits::default(),
        answer: Answer::default(),
        clocks: Clocks::default(),
        liveness: Liveness::default(),
        audit: Audit::default(),
        filter: None,
        memory: Memory::default(),
        error_format: None,
    }
}

/// Everybody shares counters that hold more than a log keeps apart, and comes more often than they allow.
fn crowd(random: &mut Random) -> Config {
    let shared = |name: &str, counts, max| LimitRule {
        name: name.to_owned(),
        per: vec![],
        max,
        window: Duration::from_secs(60),
        ..one_rule(counts, max).limits.remove(0)
    };
    let mut config = blank();
    config.limits = vec![
        shared("requests", Counts::Requests, 1_050 + random.below(400)),
        shared("tokens", Counts::PromptTokens, 150_000 + random.below(50_000)),
    ];
    config
}

fn is_crowded(seed: u64) -> bool {
    seed % 32 == 31
}

fn fresh(random: &mut Random, name: &str) -> LimitRule {
    use Counts::{Concurrency, OutputTokens, PromptTokens, Requests, Tokens};
    let counts = *random.of(&[Requests, PromptTokens, OutputTokens, Tokens, Tokens, Concurrency]);
    let max = match counts {
        Requests => random.below(40),
        Concurrency => random.below(12),
        _ => *random.of(&[100, 500, 2_000, 2_000, 10_000, 100_000]) + random.below(100),
    };
    let per = [Dimension::Key, Dimension::User, Dimension::Model];
    LimitRule {
        name: name.to_owned(),
        applies_to: selector(random),
        per: per.into_iter().filter(|_| random.percent(40)).collect(),
        counts,
        max,
        window: Duration::from_secs(*random.of(&WINDOWS_S)),
        retry_after: RetryAfter::Exact,
    }
}

fn selector(random: &mut Random) -> Selector {
    let mut some = |names: &[&str]| {
        let chosen = random.percent(25);
        let list: Vec<String> =
            names.iter().filter(|_| random.percent(60)).map(|name| (*name).to_owned()).collect();
        chosen.then_some(list)
    };
    Selector { keys: some(&KEYS), labels: some(&LABELS), users: some(&USERS), models: some(&MODELS) }
}

//! Rules by selector: tokens that are reserved and settled, places, budgets, and what a caller is told of them.

use crate::config::{Counts, Dimension, LimitRule, Selector};
use crate::limit::*;
use crate::standing::{Reason, Remedy, Standing};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3_600);

fn rule(counts: Counts, max: u64) -> LimitRule {
    LimitRule {
        name: format!("{counts:?}-{max}"),
        applies_to: Selector::default(),
        per: vec![Dimension::Key],
        counts,
        max,
        window: MINUTE,
        retry_after: crate::config::RetryAfter::Exact,
    }
}

/// A limiter, its rules and a clock that the test moves.
struct Bench {
    limiter: Limiter,
    rules: Rules,
    now: Instant,
}

impl Bench {
    fn with(rules: impl IntoIterator<Item = LimitRule>) -> Self {
        Self { limiter: Limiter::new(), rules: Rules::named(rules), now: Instant::now() }
    }

    fn sleep(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn ask(
        &self,
        principal: &Principal,
        prompt_tokens: u64,
        output_cap: Option<u64>,
    ) -> Result<Charge, Refusal> {
        let ask = Ask { principal, model: Some("m"), prompt_tokens, output_cap, choices: 1 };
        self.limiter.charge(&self.rules, &ask, self.now)
    }

    /// One of key `k` that is expected to pass.
    fn passes(&self, prompt_tokens: u64, output_cap: Option<u64>) -> Charge {
        self.ask(&Principal::plain("k"), prompt_tokens, output_cap).unwrap()
    }

    /// One of key `k` that is expected to be refused.
    fn refused(&self, prompt_tokens: u64, output_cap: Option<u64>) -> Refusal {
        self.ask(&Principal::plain("k"), prompt_tokens, output_cap).unwrap_err()
    }

    /// Used, reserved and remaining of each rule for key `k`.
    fn usage(&self) -> Vec<(u64, u64, u64)> {
        let told = self.limiter.usage(&self.rules, &Principal::plain("k"), &["m"], self.now);
        told.iter().map(|rule| (rule.used, rule.reserved, rule.remaining)).collect()
    }
}

#[test]
fn prompt_and_cap_are_reserved_before_and_replaced_after() {
    for (used, expected) in [((300, 100), 600), ((400, 200), 400), ((0, 0), 1_000), ((900, 400), 0)] {
        let bench = Bench::with([rule(Counts::Tokens, 1_000)]);
        let charge = bench.passes(400, Some(200));
        assert_eq!(charge.output_max(), Some(200));
        let standing = charge.standings().tokens.unwrap();
        assert_eq!(standing, Standing { limit: 1_000, remaining: 400, reset: MINUTE });
        assert_eq!(bench.usage(), [(0, 600, 400)]);
        charge.settle_at(used.0, used.1, bench.now);
        assert_eq!(bench.usage(), [(used.0 + used.1, 0, expected)], "{used:?}");
    }
}

#[test]
fn each_unit_counts_its_own() {
    let cases = [
        (Counts::Requests, (1, 0), (1, 0)),
        (Counts::PromptTokens, (0, 300), (250, 0)),
        (Counts::OutputTokens, (0, 200), (50, 0)),
        (Counts::Tokens, (0, 500), (300, 0)),
        (Counts::Concurrency, (0, 1), (0, 0)),
    ];
    for (counts, held, settled) in cases {
        let bench = Bench::with([rule(counts, 1_000)]);
        let told = || bench.usage().iter().map(|(used, reserved, _)| (*used, *reserved)).collect::<Vec<_>>();
        let charge = bench.passes(300, Some(200));
        assert_eq!(told(), [held], "{counts:?}");
        charge.settle_at(250, 50, bench.now);
        assert_eq!(told(), [settled], "{counts:?}");
    }
}

/// What was used above the estimate is owed: it has to leave the window before anything else fits.
#[test]
fn what_was_used_above_the_estimate_is_a_debt() {
    let mut bench = Bench::with([rule(Counts::OutputTokens, 1_000)]);
    bench.passes(0, Some(600)).settle_at(0, 500, bench.now);
    bench.sleep(10);
    bench.passes(0, Some(300)).settle_at(0, 1_500, bench.now);
    assert_eq!(bench.usage(), [(2_000, 0, 0)]);
    bench.sleep(50);
    // The first has left; of the second 500 more than the limit are still inside.
    let refusal = bench.refused(0, Some(1));
    assert_eq!((refusal.remaining, refusal.requested, refusal.retry_after_s), (0, 1, 10));
    bench.sleep(10);
    assert_eq!(bench.usage(), [(0, 0, 1_000)]);
}

/// However long an answer runs, its tokens count until a window after its end.
#[test]
fn a_reservation_does_not_leave_while_it_is_held() {
    let mut bench = Bench::with([rule(Counts::Tokens, 1_000)]);
    let charge = bench.passes(100, Some(900));
    bench.sleep(600);
    assert_eq!(bench.refused(0, Some(1)).retry_after_s, 5);
    charge.settle_at(100, 800, bench.now);
    bench.sleep(59);
    assert_eq!(bench.refused(0, Some(101)).retry_after_s, 1);
    bench.passes(0, Some(100)).refund_at(bench.now);
    bench.sleep(1);
    assert_eq!(bench.usage(), [(0, 0, 1_000)]);
}

#[test]
fn whoever_names_no_cap_gets_a_share_of_what_is_left() {
    // Limit, what others hold, and what an answer without a cap may have.
    let cases = [
        (10_000, 0, Some(4_096)),
        (10_000, 7_000, Some(2_900)),
        (10_000, 9_644, Some(256)),
        (10_000, 9_645, None),
        (160_000, 0, Some(10_000)),
        (100_000_000, 0, Some(32_768)),
        (300, 0, Some(200)),
        (300, 51, None),
    ];
    for (max, others, expected) in cases {
        let bench = Bench::with([rule(Counts::Tokens, max)]);
        let _others = bench.passes(others, Some(0));
        let told = bench.ask(&Principal::plain("k"), 100, None);
        let told = told.map(|charge| charge.output_max().unwrap()).map_err(|refusal| refusal.remedy);
        assert_eq!(told, expected.ok_or(Remedy::Wait), "{others} of {max}");
    }
}

#[test]
fn the_tightest_rule_decides_how_long_an_answer_may_be() {
    let bench = Bench::with([
        rule(Counts::OutputTokens, 3_000),
        rule(Counts::Tokens, 2_000),
        rule(Counts::PromptTokens, 500),
    ]);
    let charge = bench.passes(100, None);
    assert_eq!(charge.output_max(), Some(1_900));
    assert_eq!(bench.usage(), [(0, 1_900, 1_100), (0, 2_000, 0), (0, 100, 400)]);
    assert_eq!(charge.standings().tokens.unwrap().limit, 2_000);
}

#[test]
fn a_key_s_ceiling_lowers_caps_and_reservations() {
    let bench = Bench::with([rule(Counts::Tokens, 1_000)]);
    let key = Principal { output_tokens_max: Some(50), ..Principal::plain("k") };
    for (cap, expected) in [(None, 50), (Some(20), 20), (Some(9_000), 50)] {
        let charge = bench.ask(&key, 900, cap).unwrap();
        assert_eq!(
            (charge.output_max(), bench.usage()),
            (Some(expected), vec![(0, 900 + expected, 100 - expected)])
        );
        charge.refund_at(bench.now);
    }
    // Without any rule about tokens a cap is a cap.
    let free = Bench::with([]);
    assert_eq!(free.ask(&key, 0, None).unwrap().output_max(), Some(50));
    assert_eq!(free.passes(0, Some(7)).output_max(), Some(7));
    assert_eq!(free.passes(0, None).output_max(), None);
}

#[test]
fn what_can_never_fit_is_not_told_to_wait() {
    let mut bench = Bench::with([rule(Counts::Tokens, 1_000)]);
    let refusal = bench.refused(400, Some(601));
    assert_eq!((refusal.remedy, refusal.reason), (Remedy::AskForLess, Reason::TooLarge));
    assert_eq!((refusal.limit, refusal.requested, refusal.remaining), (1_000, 1_001, 1_000));
    assert_eq!(refusal.rule.as_deref(), Some("Tokens-1000"));
    assert_eq!(bench.refused(900, None).remedy, Remedy::AskForLess);
    let _held = bench.passes(400, Some(600));
    // It never fits, whatever else would have to be waited for.
    assert_eq!(bench.refused(400, Some(601)).remedy, Remedy::AskForLess);
    assert_eq!(bench.refused(400, Some(600)).remedy, Remedy::Wait);
    bench.sleep(1);
}

#[test]
fn a_refund_leaves_nothing() {
    let all =
        [Counts::Requests, Counts::Tokens, Counts::OutputTokens, Counts::PromptTokens, Counts::Concurrency];
    let mut bench = Bench::with(all.map(|counts| rule(counts, 500)));
    let before = bench.usage();
    for _ in 0..2_000 {
        let charge = bench.passes(250, Some(250));
        assert_ne!(bench.usage(), before);
        charge.refund_at(bench.now);
        assert_eq!(bench.usage(), before);
    }
    // A refund that comes when the request has left its window takes nobody else's.
    let late = bench.passes(0, Some(0));
    bench.sleep(61);
    bench.passes(0, Some(0)).settle_at(0, 0, bench.now);
    late.refund_at(bench.now);
    assert_eq!(bench.usage()[0], (1, 0, 499));
}

/// Who forgets to settle must not open the limit, and must not keep a place for ever.
#[test]
fn a_dropped_charge_counts_as_spent_whole() {
    let bench = Bench::with([rule(Counts::Tokens, 1_000), rule(Counts::Concurrency, 1)]);
    drop(bench.passes(100, Some(500)));
    assert_eq!(bench.usage(), [(600, 0, 400), (0, 0, 1)]);
}

#[test]
fn places_are_held_until_the_end_whichever_it_is() {
    let bench = Bench::with([rule(Counts::Concurrency, 2)]);
    let ends: [fn(Charge, Instant); 3] = [
        |charge, now| charge.settle_at(1, 1, now),
        |charge, now| charge.refund_at(now),
        |charge, _| drop(charge),
    ];
    for end in ends {
        let (one, _two) = (bench.passes(0, None), bench.passes(0, None));
        let refusal = bench.refused(0, None);
        assert_eq!((refusal.reason, refusal.limit, refusal.retry_after_s), (Reason::KeyConcurrency, 2, 5));
        end(one, bench.now);
        let _three = bench.passes(0, None);
        assert_eq!(bench.refused(0, None).remedy, Remedy::Wait);
    }
    assert_eq!(bench.usage(), [(0, 0, 2)]);
}

/// All rules are checked before any is charged.
#[test]
fn a_refusal_by_one_rule_burns_nothing_of_the_others() {
    let all = [(Counts::Requests, 10), (Counts::Tokens, 10_000), (Counts::OutputTokens, 100)];
    let bench = Bench::with(all.map(|(counts, max)| rule(counts, max)));
    let _held = bench.passes(10, Some(60));
    let before = bench.usage();
    for _ in 0..50 {
        assert_eq!(bench.refused(10, Some(60)).counts, Counts::OutputTokens);
    }
    assert_eq!(bench.usage(), before);
}

#[test]
fn rules_apply_to_whom_they_select() {
    let list = |entries: &[&str]| Some(entries.iter().map(|entry| (*entry).to_owned()).collect());
    let key = |id: &str, labels: &[&str], user: Option<&str>| Principal {
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        user: user.map(Into::into),
        ..Principal::plain(id)
    };
    let selectors = [
        ("everybody", Selector::default()),
        ("keys", Selector { keys: list(&["a", "b"]), ..Selector::default() }),
        ("labels", Selector { labels: list(&["team-x", "batch"]), ..Selector::default() }),
        ("users", Selector { users: list(&["ann"]), ..Selector::default() }),
        ("models", Selector { models: list(&["m", "n"]), ..Selector::default() }),
        ("both", Selector { keys: list(&["a"]), models: list(&["m"]), ..Selector::default() }),
    ];
    let cases: [(Principal, Option<&str>, &[&str]); 7] = [
        (key("a", &[], None), Some("m"), &["both", "everybody", "keys", "models"]),
        (key("a", &[], None), Some("x"), &["everybody", "keys"]),
        (key("c", &["team-x"], None), Some("n"), &["everybody", "labels", "models"]),
        (key("c", &["team-y", "batch"], Some("ann")), Some("x"), &["everybody", "labels", "users"]),
        (key("c", &["team"], Some("bob")), Some("x"), &["everybody"]),
        // A list of models runs nothing.
        (key("a", &[], None), None, &["everybody", "keys"]),
        // Keys, labels and users are what they are; a model is the same in every spelling.
        (key("A", &["Team-X"], Some("Ann")), Some("M"), &["everybody", "models"]),
    ];
    let named = selectors.map(|(name, applies_to)| LimitRule {
        name: name.to_owned(),
        applies_to,
        ..rule(Counts::Requests, 1)
    });
    let rules = Rules::named(named);
    for (principal, model, expected) in cases {
        let ask = Ask { principal: &principal, model, prompt_tokens: 0, output_cap: None, choices: 1 };
        let lines = rules.lines(&Namer::default(), &ask);
        let mut met: Vec<&str> = lines.iter().filter_map(|line| line.name.map(|name| &**name)).collect();
        met.sort_unstable();
        assert_eq!(met, expected, "{principal:?} {model:?}");
    }
}

#[test]
fn a_list_of_models_spends_requests_only() {
    let all = [Counts::Requests, Counts::Tokens, Counts::Concurrency];
    let bench = Bench::with(all.map(|counts| rule(counts, 1)));
    let who = Principal::plain("k");
    let ask = Ask { principal: &who, model: None, prompt_tokens: 0, output_cap: None, choices: 1 };
    let _charge = bench.limiter.charge(&bench.rules, &ask, bench.now).unwrap();
    assert_eq!(bench.usage(), [(1, 0, 0), (0, 0, 1), (0, 0, 1)]);
}

/// One counter for each distinct combination of what a rule counts by, and the reason says of whom.
#[test]
fn what_a_rule_counts_by_has_counters_of_its_own() {
    use Dimension::{Key, Model, User};
    let requests: [(&str, Option<&str>, &str); 6] = [
        ("a", Some("ann"), "m"),
        ("a", Some("ann"), "n"),
        ("a", Some("bob"), "m"),
        ("b", Some("ann"), "m"),
        ("b", None, "m"),
        ("b", None, "n"),
    ];
    let cases: [(&[Dimension], [bool; 6], Reason); 6] = [
        (&[], [true, false, false, false, false, false], Reason::SharedRequests),
        (&[Key], [true, false, false, true, false, false], Reason::KeyRequests),
        (&[User], [true, false, true, true, true, false], Reason::UserRequests),
        (&[Model], [true, true, false, false, false, false], Reason::ModelRequests),
        (&[Key, Model], [true, true, false, true, false, true], Reason::KeyRequests),
        (&[Model, User, Key], [true, true, true, true, true, true], Reason::UserRequests),
    ];
    for (per, expected, reason) in cases {
        let bench = Bench::with([LimitRule { per: per.to_vec(), ..rule(Counts::Requests, 1) }]);
        let told = requests.map(|(key, user, model)| {
            let who = Principal { user: user.map(Into::into), ..Principal::plain(key) };
            let ask =
                Ask { principal: &who, model: Some(model), prompt_tokens: 0, output_cap: None, choices: 1 };
            let charged = || bench.limiter.charge(&bench.rules, &ask, bench.now).map(drop);
            let passed = charged();
            assert_eq!(charged().unwrap_err().reason, reason, "{per:?}");
            passed.is_ok()
        });
        assert_eq!(told, expected, "{per:?}");
    }
}

#[test]
fn a_day_and_more_is_a_budget() {
    for (window, counts, remedy, reason) in [
        (DAY, Counts::Tokens, Remedy::Budget, Reason::Budget),
        (30 * DAY, Counts::Requests, Remedy::Budget, Reason::Budget),
        (DAY - MINUTE, Counts::Requests, Remedy::Wait, Reason::KeyRequests),
        (DAY, Counts::Concurrency, Remedy::Wait, Reason::KeyConcurrency),
    ] {
        let mut bench = Bench::with([LimitRule { window, ..rule(counts, 1) }]);
        let charge = bench.passes(1, Some(0));
        if counts == Counts::Concurrency {
            assert_eq!(bench.refused(1, Some(0)).reason, reason);
            continue;
        }
        charge.settle_at(1, 0, bench.now);
        bench.sleep(3_600);
        let refusal = bench.refused(1, Some(0));
        assert_eq!((refusal.remedy, refusal.reason, refusal.retry_after_s), (remedy, reason, 60));
        assert_eq!(refusal.wait, window - Duration::from_secs(3_600));
        bench.sleep(window.as_secs() - 3_600);
        bench.passes(1, Some(0)).refund_at(bench.now);
    }
}

#[test]
fn of_several_refusals_the_longest_wait_is_told() {
    let short = LimitRule { window: Duration::from_secs(10), ..rule(Counts::Requests, 1) };
    let bench = Bench::with([short, rule(Counts::OutputTokens, 100)]);
    bench.passes(0, Some(100)).settle_at(0, 100, bench.now);
    let refusal = bench.refused(0, Some(100));
    assert_eq!((refusal.counts, refusal.retry_after_s), (Counts::OutputTokens, 60));
    let whole = LimitRule {
        retry_after: crate::config::RetryAfter::Window,
        window: DAY,
        ..rule(Counts::Requests, 0)
    };
    assert_eq!(Bench::with([whole]).refused(0, None).retry_after_s, 86_400);
}

/// A reload that changes numbers finds what was charged before, also for whoever has been idle across it.
#[test]
fn a_reload_keeps_counters() {
    let at = |max: u64, window_s: u64| LimitRule {
        name: "same".to_owned(),
        window: Duration::from_secs(window_s),
        per: vec![Dimension::User],
        ..rule(Counts::Tokens, max)
    };
    let mut bench = Bench::with([at(100, 60)]);
    let ann = Principal { user: Some("ann".into()), ..Principal::plain("k") };
    bench.ask(&ann, 80, Some(0)).unwrap().settle_at(80, 0, bench.now);
    let running = bench.ask(&ann, 20, Some(0)).unwrap();
    let cid = Principal { user: Some("cid".into()), ..Principal::plain("k") };
    bench.ask(&cid, 70, Some(0)).unwrap().settle_at(70, 0, bench.now);
    bench.rules = Rules::named([at(200, 3_600)]);
    // Others come and go while these counters would have been empty under the old window.
    for number in 0..100 {
        bench.sleep(10);
        let other = Principal { user: Some(number.to_string().into()), ..Principal::plain("k") };
        bench.ask(&other, 1, Some(0)).unwrap().settle_at(1, 0, bench.now);
    }
    running.settle_at(20, 0, bench.now);
    let told = bench.limiter.usage(&bench.rules, &ann, &["m"], bench.now);
    assert_eq!((told[0].used, told[0].remaining, told[0].limit), (100, 100, 200));
    assert_eq!(bench.limiter.usage(&bench.rules, &cid, &["m"], bench.now)[0].used, 70);
    bench.rules = Rules::named([at(50, 3_600)]);
    assert_eq!(bench.ask(&ann, 1, Some(0)).unwrap_err().remaining, 0);
    // Another name, or another unit, is another rule.
    bench.rules = Rules::named([LimitRule { name: "other".to_owned(), ..at(50, 3_600) }]);
    let _charge = bench.ask(&ann, 50, Some(0)).unwrap();
}

/// The place of one subject may be another's when a late settlement comes: it must not meet that one.
#[test]
fn a_late_end_meets_nobody_else() {
    let per_user = LimitRule { per: vec![Dimension::User], ..rule(Counts::Requests, 5) };
    let mut bench = Bench::with([per_user]);
    let user = |name: &str| Principal { user: Some(name.into()), ..Principal::plain("k") };
    let late = bench.ask(&user("ann"), 0, None).unwrap();
    bench.sleep(61);
    let _bob = bench.ask(&user("bob"), 0, None).unwrap();
    assert_eq!(bench.limiter.size().counters, 1);
    late.refund_at(bench.now);
    let told = bench.limiter.usage(&bench.rules, &user("bob"), &["m"], bench.now);
    assert_eq!(told[0].used, 1);
}

/// Whoever reserved nothing may still have used something: that debt finds its counter however long it took.
#[test]
fn what_was_reserved_as_nothing_is_charged_all_the_same() {
    let mut bench = Bench::with([rule(Counts::PromptTokens, 500)]);
    let charge = bench.passes(0, None);
    for key in 0..100 {
        bench.sleep(61);
        bench.ask(&Principal::plain(key.to_string()), 1, None).unwrap().settle_at(1, 0, bench.now);
    }
    charge.settle_at(70, 0, bench.now);
    assert_eq!(bench.usage(), [(70, 0, 430)]);
}

#[test]
fn strangers_crowd_out_neither_keys_nor_each_other_s_kind() {
    use Dimension::{Key, Model, User};
    let per = |name: &str, per: &[Dimension]| LimitRule {
        name: name.to_owned(),
        per: per.to_vec(),
        ..rule(Counts::Requests, 100)
    };
    let mut bench = Bench::with([per("users", &[User])]);
    bench.limiter = Limiter::with_bounds(3, ENTRIES_FINE);
    let ask = |bench: &Bench, key: &str, user: Option<&str>, model: &str| {
        let who = Principal { user: user.map(Into::into), ..Principal::plain(key) };
        let ask = Ask { principal: &who, model: Some(model), prompt_tokens: 0, output_cap: None, choices: 1 };
        bench.limiter.charge(&bench.rules, &ask, bench.now).map(drop).map_err(|refusal| refusal.reason)
    };
    let told = ["a", "b", "c", "d", "a"].map(|user| ask(&bench, "k", Some(user), "m"));
    assert_eq!(told, [Ok(()), Ok(()), Ok(()), Err(Reason::Users), Ok(())]);
    bench.rules = Rules::named([per("keys", &[Key]), per("models", &[Model])]);
    let told = ["m", "n", "o", "p"].map(|model| ask(&bench, "k", None, model));
    assert_eq!(told, [Ok(()), Ok(()), Ok(()), Err(Reason::Models)]);
    for key in 0..20 {
        assert_eq!(ask(&bench, &key.to_string(), None, "m"), Ok(()));
    }
    let size = bench.limiter.size();
    assert_eq!((size.users, size.models, size.counters), (3, 3, 3 + 3 + 21));
}

/// Two hundred busy users: their logs together stay short, and each still counts every one of its requests.
#[test]
fn many_long_logs_get_coarse_together() {
    let per_user = LimitRule { per: vec![Dimension::User], ..rule(Counts::Requests, 100) };
    let mut bench = Bench::with([per_user]);
    bench.limiter = Limiter::with_bounds(STRANGERS_MAX, 1_000);
    let users: Vec<Principal> = (0..200)
        .map(|number| Principal { user: Some(number.to_string().into()), ..Principal::plain("k") })
        .collect();
    for user in users.iter().cycle().take(100 * users.len()) {
        bench.now += Duration::from_millis(2);
        bench.ask(user, 0, None).unwrap().settle_at(0, 0, bench.now);
    }
    let size = bench.limiter.size();
    assert!(size.entries <= 1_000 + users.len() * (16 + 33), "{size:?}");
    for user in &users {
        assert_eq!(bench.ask(user, 0, None).unwrap_err().remaining, 0);
    }
    // What was merged leaves late, by no more than a part of the window.
    bench.sleep(60);
    bench.now += MINUTE / 32;
    assert!(users.iter().all(|user| bench.ask(user, 0, None).is_ok()));
}

#[test]
fn usage_tells_a_key_its_own_rules() {
    let per_model = LimitRule {
        name: "each model".to_owned(),
        per: vec![Dimension::Key, Dimension::Model],
        ..rule(Counts::Tokens, 900)
    };
    let others = LimitRule {
        applies_to: Selector { keys: Some(vec!["other".to_owned()]), ..Selector::default() },
        ..rule(Counts::Requests, 1)
    };
    let bench = Bench::with([rule(Counts::Concurrency, 4), per_model, others]);
    let _held = bench.passes(100, Some(20));
    let told = bench.limiter.usage(&bench.rules, &Principal::plain("k"), &["m", "n"], bench.now);
    let expected = serde_json::json!([
        {"name": "Concurrency-4", "counts": "concurrency", "per": ["key"], "limit": 4, "used": 0, "reserved": 1, "remaining": 3, "reset_s": 5},
        {"name": "each model", "counts": "tokens", "per": ["key", "model"], "model": "m", "limit": 900, "used": 0, "reserved": 120,
         "remaining": 780, "window_s": 60, "reset_s": 60},
        {"name": "each model", "counts": "tokens", "per": ["key", "model"], "model": "n", "limit": 900, "used": 0, "reserved": 0,
         "remaining": 900, "window_s": 60, "reset_s": 0},
    ]);
    assert_eq!(serde_json::to_value(told).unwrap(), expected);
    let rate = crate::config::Rate {
        requests_max: 30,
        window: MINUTE,
        retry_after: crate::config::RetryAfter::Exact,
    };
    let user = Principal { user: Some("ann".into()), ..Principal::plain("k") };
    let told = bench.limiter.usage(&Rules::of(Some(rate)), &user, &[], bench.now);
    let told: Vec<_> =
        told.iter().map(|rule| (rule.name.as_deref(), rule.per.clone(), rule.remaining)).collect();
    assert_eq!(told, [(None, vec!["key"], 30), (None, vec!["key", "user"], 30)]);
}

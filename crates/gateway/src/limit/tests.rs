//! The window against a clock that the tests move.

mod named;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::config::{Rate, RateRule, RetryAfter};
use crate::standing::Reason;

fn principal(key: &str, user: Option<&str>, rate: RateRule) -> Principal {
    Principal { user: user.map(Into::into), rate, ..Principal::plain(key) }
}

/// Charges a request that meets the general rate alone.
fn charge(
    limiter: &Limiter,
    who: &Principal,
    general: Option<&Rate>,
    now: Instant,
) -> Result<Charge, Refusal> {
    let ask = Ask { principal: who, model: None, prompt_tokens: 0, output_cap: None, choices: 1 };
    limiter.charge(&Rules::of(general.copied()), &ask, now)
}

fn rate(requests_max: u32, window_s: u64) -> Rate {
    Rate { requests_max, window: Duration::from_secs(window_s), retry_after: RetryAfter::Exact }
}

fn key(name: &str) -> Principal {
    principal(name, None, RateRule::General)
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// One step: when, and what the caller is told: `Ok(remaining)` or `Err(retry_after_s)`.
type Step = (u64, Result<u64, u64>);

fn check(rate: Rate, steps: &[Step]) {
    let (limiter, start) = (Limiter::new(), Instant::now());
    for (at_ms, expected) in steps {
        let told = charge(&limiter, &key("k"), Some(&rate), start + ms(*at_ms));
        let told = told
            .map(|charge| charge.standings().requests.unwrap().remaining)
            .map_err(|refusal| refusal.retry_after_s);
        assert_eq!(told, *expected, "at {at_ms} ms of {steps:?}");
    }
}

#[test]
fn the_window_slides() {
    check(
        rate(3, 10),
        &[
            (0, Ok(2)),
            (4_000, Ok(1)),
            (8_000, Ok(0)),
            (8_000, Err(2)),
            (9_001, Err(1)),
            (9_999, Err(1)),
            // A charge leaves exactly one window after it was made; the refused ones left nothing.
            (10_000, Ok(0)),
            (10_000, Err(4)),
            (13_999, Err(1)),
            (14_000, Ok(0)),
            (18_000, Ok(0)),
            (40_000, Ok(2)),
        ],
    );
}

#[test]
fn no_double_helping_at_a_boundary() {
    check(
        rate(2, 60),
        &[(59_999, Ok(1)), (59_999, Ok(0)), (60_000, Err(60)), (119_998, Err(1)), (119_999, Ok(1))],
    );
}

#[test]
fn retry_after_stays_within_what_sdks_obey() {
    check(
        rate(1, 3_600),
        &[(0, Ok(0)), (1, Err(60)), (3_570_000, Err(30)), (3_599_999, Err(1)), (3_600_000, Ok(0))],
    );
    check(rate(0, 10), &[(0, Err(10)), (60_000, Err(10))]);
}

/// The seed's table: the 31st request within 60 s is told 60, however soon a place becomes free.
#[test]
fn the_seeds_rule_always_tells_the_whole_window() {
    let (limiter, start) = (Limiter::new(), Instant::now());
    let rule = Rate { retry_after: RetryAfter::Window, ..rate(30, 60) };
    for request in 0..30 {
        let charge = charge(&limiter, &key("k"), Some(&rule), start + ms(request * 1_000)).unwrap();
        assert_eq!(charge.standings().requests.unwrap().remaining, 29 - request);
    }
    let refusal = charge(&limiter, &key("k"), Some(&rule), start + ms(59_000)).unwrap_err();
    assert_eq!((refusal.retry_after_s, refusal.limit, refusal.remaining), (60, 30, 0));
    assert_eq!(refusal.reason, Reason::KeyRequests);
    assert!(charge(&limiter, &key("k"), Some(&rule), start + ms(60_000)).is_ok());
}

#[test]
fn reset_is_when_the_window_is_empty_again() {
    let (limiter, start) = (Limiter::new(), Instant::now());
    let rule = rate(2, 10);
    let first = charge(&limiter, &key("k"), Some(&rule), start).unwrap().standings().requests.unwrap();
    assert_eq!((first.limit, first.remaining, first.reset), (2, 1, ms(10_000)));
    let _second = charge(&limiter, &key("k"), Some(&rule), start + ms(4_000)).unwrap();
    let refusal = charge(&limiter, &key("k"), Some(&rule), start + ms(5_000)).unwrap_err();
    assert_eq!((refusal.reset, refusal.retry_after_s), (ms(9_000), 5));
}

#[test]
fn keys_are_counted_apart_by_their_own_rule() {
    let (limiter, now) = (Limiter::new(), Instant::now());
    let general = rate(1, 10);
    let own = principal("own", None, RateRule::Own(rate(2, 10)));
    let free = principal("free", None, RateRule::None);
    for (who, expected) in [(key("a"), 1), (key("b"), 1), (own, 2), (free, 100)] {
        let admitted = (0..100).filter(|_| charge(&limiter, &who, Some(&general), now).is_ok()).count();
        assert_eq!(admitted, expected, "{who:?}");
    }
    let unlimited = charge(&limiter, &key("c"), None, now).unwrap();
    assert_eq!(unlimited.standings().requests, None);
}

#[test]
fn users_are_counted_per_key() {
    let (limiter, now) = (Limiter::new(), Instant::now());
    let general = rate(2, 10);
    let speaks = |key: &str, user: &str| principal(key, Some(user), RateRule::None);
    for who in [speaks("chat", "ann"), speaks("chat", "bob"), speaks("other", "ann")] {
        assert!(charge(&limiter, &who, Some(&general), now).is_ok());
        assert!(charge(&limiter, &who, Some(&general), now).is_ok());
        let refusal = charge(&limiter, &who, Some(&general), now).unwrap_err();
        assert_eq!(refusal.reason, Reason::UserRequests, "{who:?}");
    }
}

/// All rules are checked before any is charged: what a user's limit refuses costs the key nothing, and the other way round.
#[test]
fn a_refused_request_burns_nothing() {
    let (limiter, now) = (Limiter::new(), Instant::now());
    let general = rate(2, 10);
    let chat = |user: &str| principal("chat", Some(user), RateRule::Own(rate(5, 20)));
    let reason =
        |user: &str| charge(&limiter, &chat(user), Some(&general), now).map(|_| ()).map_err(|r| r.reason);
    assert_eq!([reason("ann"), reason("ann")], [Ok(()), Ok(())]);
    for _ in 0..50 {
        assert_eq!(reason("ann"), Err(Reason::UserRequests));
    }
    assert_eq!([reason("bob"), reason("bob"), reason("cid")], [Ok(()), Ok(()), Ok(())]);
    for _ in 0..50 {
        assert_eq!(reason("cid"), Err(Reason::KeyRequests));
    }
    // The refused attempts of cid were not charged to cid.
    let later = now + ms(20_000);
    assert_eq!(
        charge(&limiter, &chat("cid"), Some(&general), later)
            .unwrap()
            .standings()
            .requests
            .unwrap()
            .remaining,
        1
    );
}

#[test]
fn the_tightest_rule_is_told_and_the_longest_wait() {
    let (limiter, now) = (Limiter::new(), Instant::now());
    let chat = principal("chat", Some("ann"), RateRule::Own(rate(1, 40)));
    let standing = charge(&limiter, &chat, Some(&rate(1, 10)), now).unwrap().standings().requests.unwrap();
    assert_eq!((standing.limit, standing.remaining), (1, 0));
    let refusal = charge(&limiter, &chat, Some(&rate(1, 10)), now).unwrap_err();
    assert_eq!((refusal.reason, refusal.retry_after_s), (Reason::KeyRequests, 40));

    let wide = principal("wide", Some("ann"), RateRule::Own(rate(100, 10)));
    let standing = charge(&limiter, &wide, Some(&rate(3, 10)), now).unwrap().standings().requests.unwrap();
    assert_eq!((standing.limit, standing.remaining), (3, 2));
}

#[test]
fn a_reload_applies_to_what_was_charged_before() {
    let (limiter, now) = (Limiter::new(), Instant::now());
    for at_s in 0..4 {
        assert!(charge(&limiter, &key("k"), Some(&rate(10, 60)), now + ms(at_s * 1_000)).is_ok());
    }
    // Two of four have to leave before a limit of three has room: the one charged at 1 s leaves at 61 s.
    let refusal = charge(&limiter, &key("k"), Some(&rate(3, 60)), now + ms(31_000)).unwrap_err();
    assert_eq!(refusal.retry_after_s, 30);
    assert!(charge(&limiter, &key("k"), Some(&rate(5, 60)), now + ms(31_000)).is_ok());
}

/// Callers take their instant before the lock; a late one must not be counted in the past.
#[test]
fn instants_out_of_order_admit_nothing_extra() {
    let (limiter, start) = (Limiter::new(), Instant::now());
    let rule = rate(2, 10);
    let at = |at_ms: u64| charge(&limiter, &key("k"), Some(&rule), start + ms(at_ms)).is_ok();
    assert_eq!([at(5_000), at(1_000), at(2_000)], [true, true, false]);
    // Both count from 5 s on.
    assert_eq!([at(12_000), at(14_999), at(15_000)], [false, false, true]);
}

#[test]
fn no_window_overflows_the_clock() {
    let (limiter, now) = (Limiter::new(), Instant::now());
    let forever = Rate { requests_max: 1, window: Duration::MAX, retry_after: RetryAfter::Exact };
    assert!(charge(&limiter, &key("k"), Some(&forever), now).is_ok());
    let in_a_week = now + Duration::from_secs(7 * 24 * 3_600);
    assert_eq!(charge(&limiter, &key("k"), Some(&forever), in_a_week).unwrap_err().retry_after_s, 60);
}

/// 500 threads at one instant, on a key and on users of one key: exactly the limit passes.
#[test]
fn a_race_admits_exactly_the_limit() {
    let (limiter, now) = (Limiter::new(), Instant::now());
    let general = rate(7, 60);
    let barrier = std::sync::Barrier::new(500);
    let admitted = [const { AtomicU32::new(0) }; 4];
    std::thread::scope(|scope| {
        for thread in 0..500_usize {
            let (limiter, general, barrier, admitted) = (&limiter, &general, &barrier, &admitted);
            let spawned = std::thread::Builder::new().stack_size(64 << 10).spawn_scoped(scope, move || {
                let user = ["ann", "bob", "cid"].get(thread % 4).copied();
                let who = match user {
                    Some(user) => principal("chat", Some(user), RateRule::Own(rate(20, 60))),
                    None => key("plain"),
                };
                barrier.wait();
                for _ in 0..20 {
                    if charge(limiter, &who, Some(general), now).is_ok() {
                        admitted[thread % 4].fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
            spawned.unwrap();
        }
    });
    let [ann, bob, cid, plain] = admitted.map(|count| count.into_inner());
    assert_eq!(plain, 7);
    // Three users with 7 each would be 21: the key's own limit of 20 ends it one short.
    assert_eq!(ann + bob + cid, 20);
    assert!([ann, bob, cid].into_iter().all(|count| count == 6 || count == 7), "{ann} {bob} {cid}");
}

/// A seeded walk over keys, users, rules and jumps in time against the definition: no window ever holds more than its limit,
/// and nobody is refused while it holds less.
#[test]
fn it_agrees_with_the_definition() {
    let (limiter, start) = (Limiter::new(), Instant::now());
    let general = rate(4, 5);
    let mut admitted: HashMap<(u64, u64), Vec<u64>> = HashMap::new();
    let (mut at_ms, mut seed) = (0_u64, 0x9E37_79B9_7F4A_7C15_u64);
    for _ in 0..20_000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let draw = seed >> 33;
        at_ms += draw % 400;
        let (key, user) = (draw / 400 % 3, draw / 1_200 % 5);
        let who = principal(&format!("k{key}"), Some(&format!("u{user}")), RateRule::None);
        let log = admitted.entry((key, user)).or_default();
        let inside = log.iter().filter(|at| **at + 5_000 > at_ms).count();
        let passed = charge(&limiter, &who, Some(&general), start + ms(at_ms)).is_ok();
        assert_eq!(passed, inside < 4, "at {at_ms} ms with {inside} inside");
        if passed {
            log.push(at_ms);
        }
    }
}

#[test]
fn a_full_table_refuses_new_users_and_forgets_nobody() {
    let (limiter, start) = (Limiter::with_bounds(3, ENTRIES_FINE), Instant::now());
    let general = rate(1, 10);
    let told = |user: &str, at_ms: u64| {
        let who = principal("chat", Some(user), RateRule::None);
        charge(&limiter, &who, Some(&general), start + ms(at_ms))
            .map(|_| ())
            .map_err(|refusal| refusal.reason)
    };
    assert_eq!([told("a", 0), told("b", 1_000), told("c", 2_000)], [Ok(()), Ok(()), Ok(())]);
    assert_eq!(told("d", 3_000), Err(Reason::Users));
    let who = principal("chat", Some("d"), RateRule::None);
    assert_eq!(charge(&limiter, &who, Some(&general), start + ms(3_000)).unwrap_err().retry_after_s, 7);
    // Those inside are still held to their limit; keys are never crowded out.
    assert_eq!(told("a", 4_000), Err(Reason::UserRequests));
    assert!(charge(&limiter, &key("plain"), Some(&general), start + ms(4_000)).is_ok());
    // The first has left: one place, one user.
    assert_eq!([told("d", 10_000), told("e", 10_000)], [Ok(()), Err(Reason::Users)]);
}

/// Ten windows of strangers: what is remembered stays near the number of those that are busy.
#[test]
fn the_table_forgets_the_idle() {
    let (limiter, start) = (Limiter::new(), Instant::now());
    let general = rate(5, 1);
    for number in 0..50_000_u64 {
        let who = principal("chat", Some(&number.to_string()), RateRule::None);
        assert!(charge(&limiter, &who, Some(&general), start + ms(number)).is_ok());
    }
    let size = limiter.size();
    assert!(size.users <= 1_001, "{size:?}");
    assert_eq!((size.counters, size.due, size.entries), (size.users, size.users, size.users), "{size:?}");
}

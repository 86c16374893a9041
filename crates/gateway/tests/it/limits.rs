//! Limits at the door: exact, told in headers, and free for who is refused.

use std::time::Duration;

use gateway::config::{Counts, Dimension, LimitRule, Rate, RateRule, RetryAfter, Selector};
use http::header::HeaderMap;
use tokio::time::sleep;

use crate::rig::{
    INTERNAL, KEY, Reply, Rig, SOON, answer_text, bare_request, chat, done_line, get, hello, key, keys,
    request,
};

const MINUTE: Duration = Duration::from_secs(60);

fn rate(requests_max: u32) -> Option<Rate> {
    Some(Rate { requests_max, window: MINUTE, retry_after: RetryAfter::Exact })
}

fn number(headers: &HeaderMap, name: &str) -> u64 {
    headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap().parse().unwrap()
}

/// What the three headers say: limit, remaining, reset.
fn standing(reply: &Reply) -> (u64, u64, String) {
    (
        number(&reply.headers, "x-ratelimit-limit-requests"),
        number(&reply.headers, "x-ratelimit-remaining-requests"),
        reply.header("x-ratelimit-reset-requests").unwrap().to_owned(),
    )
}

#[tokio::test(start_paused = true)]
async fn thirty_pass_in_a_minute_and_the_thirty_first_is_told_when() {
    let rig = Rig::with(|config| config.rate = rate(30)).await;
    for count in 1..=30 {
        let reply = rig.send(get("/v1/models")).await;
        assert_eq!(reply.status, 200, "request {count}");
        assert_eq!(standing(&reply), (30, 30 - count, "1m0s".to_owned()));
    }
    sleep(Duration::from_secs(20)).await;
    let reply = rig.send(get("/v1/models")).await;
    assert_eq!(reply.header("retry-after"), Some("40"));
    assert_eq!(standing(&reply), (30, 0, "40s".to_owned()));
    assert!(reply.header("x-request-id").is_some());
    let (status, code, _) = reply.error().await;
    assert_eq!((status, code.as_str()), (429, "rate_limit_exceeded"));
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_burns_nothing() {
    let rig = Rig::with(|config| config.rate = rate(3)).await;
    for _ in 0..3 {
        assert_eq!(rig.send(get("/v1/models")).await.status, 200);
    }
    // A client that hammers all the while is served when its first three have left the window.
    for _ in 0..59 {
        sleep(Duration::from_secs(1)).await;
        assert_eq!(rig.send(get("/v1/models")).await.status, 429);
    }
    sleep(Duration::from_secs(2)).await;
    for _ in 0..3 {
        assert_eq!(rig.send(get("/v1/models")).await.status, 200);
    }
    assert_eq!(rig.send(get("/v1/models")).await.status, 429);
}

#[tokio::test(start_paused = true)]
async fn the_window_slides() {
    let rig = Rig::with(|config| config.rate = rate(2)).await;
    assert_eq!(rig.send(get("/v1/models")).await.status, 200);
    sleep(Duration::from_secs(50)).await;
    assert_eq!(rig.send(get("/v1/models")).await.status, 200);
    sleep(Duration::from_secs(11)).await;
    // The first has left; the second has not, although a new minute of the clock may have begun.
    assert_eq!(rig.send(get("/v1/models")).await.status, 200);
    let reply = rig.send(get("/v1/models")).await;
    assert_eq!((reply.status.as_u16(), reply.header("retry-after")), (429, Some("49")));
}

#[tokio::test(start_paused = true)]
async fn the_whole_window_is_told_where_that_is_configured() {
    let window = Rate { requests_max: 1, window: MINUTE, retry_after: RetryAfter::Window };
    let rig = Rig::with(|config| config.rate = Some(window)).await;
    assert_eq!(rig.send(get("/v1/models")).await.status, 200);
    sleep(Duration::from_secs(59)).await;
    assert_eq!(rig.send(get("/v1/models")).await.header("retry-after"), Some("60"));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_understood_is_not_counted() {
    let mut rig = Rig::with(|config| config.rate = rate(1)).await;
    for body in [
        serde_json::json!({"model": 7}),
        serde_json::json!({"model": "m", "messages": []}),
        serde_json::json!({"model": "m", "messages": [{"role": "user", "content": "x".repeat(40_000)}]}),
    ] {
        assert_eq!(rig.send(chat(&body)).await.status, 400, "{body}");
    }
    assert_eq!(rig.send(get("/v1/nothing")).await.status, 404);
    let wrong =
        bare_request("GET", "/v1/models").header("x-api-key", "wrong").body(Default::default()).unwrap();
    assert_eq!(rig.send(wrong).await.status, 401);
    assert!(rig.upstream.untouched());
    assert_eq!(rig.send(get("/v1/models")).await.status, 200);
    assert_eq!(rig.send(get("/v1/models")).await.status, 429);
}

#[tokio::test(start_paused = true)]
async fn keys_do_not_share_a_window() {
    let rig = Rig::with(|config| {
        config.rate = rate(1);
        keys(config).push(key("bob", "test-key-of-bob"));
        let own = Rate { requests_max: 2, ..rate(1).unwrap() };
        keys(config)
            .push(gateway::config::Key { rate: RateRule::Own(own), ..key("carol", "test-key-of-carol") });
    })
    .await;
    for (key, passing) in [(KEY, 1), ("test-key-of-bob", 1), ("test-key-of-carol", 2)] {
        for count in 0..4 {
            let asked =
                bare_request("GET", "/v1/models").header("x-api-key", key).body(Default::default()).unwrap();
            let expected = if count < passing { 200 } else { 429 };
            assert_eq!(rig.send(asked).await.status, expected, "{key} {count}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn users_of_one_key_have_windows_of_their_own() {
    let rig = Rig::with(|config| {
        config.rate = rate(2);
        keys(config)[0].speaks_for_users = true;
        keys(config)[0].rate = RateRule::None;
    })
    .await;
    let asked =
        |user: &str| request("GET", "/v1/models").header("x-user-id", user).body(Default::default()).unwrap();
    for user in ["ann", "ben", "王伟"] {
        for count in 0..3 {
            let reply = rig.send(asked(user)).await;
            assert_eq!(reply.status, if count < 2 { 200 } else { 429 }, "{user} {count}");
        }
    }
    // The key itself has no limit.
    for _ in 0..5 {
        assert_eq!(rig.send(get("/v1/models")).await.status, 200);
    }
    let records = rig.records().await;
    assert_eq!(records[0]["user_id"], "ann");
    assert_eq!(records[6]["user_id"], "王伟");
}

#[tokio::test(start_paused = true)]
async fn nobody_gets_a_new_window_by_naming_a_user() {
    let rig = Rig::with(|config| config.rate = rate(1)).await;
    for count in 0..3 {
        let asked = request("GET", "/v1/models")
            .header("x-user-id", format!("user-{count}"))
            .body(Default::default())
            .unwrap();
        assert_eq!(rig.send(asked).await.status, if count < 1 { 200 } else { 429 });
    }
    assert!(rig.records().await.iter().all(|record| record.get("user_id").is_none()));
}

#[tokio::test(start_paused = true)]
async fn of_five_hundred_at_once_exactly_thirty_pass() {
    let mut rig = Rig::with(|config| config.rate = rate(30)).await;
    let asking: Vec<_> = (0..500).map(|_| rig.ask(chat(&hello(false)))).collect();
    for _ in 0..30 {
        rig.upstream.call().await.answer(200, &done_line("hi")).await;
    }
    let mut statuses = std::collections::BTreeMap::new();
    for one in asking {
        *statuses.entry(one.await.unwrap().status.as_u16()).or_insert(0) += 1;
    }
    assert_eq!(Vec::from_iter(statuses), [(200, 30), (429, 470)]);
    assert!(rig.upstream.untouched());
}

/// One rule for each key, with a window of a minute.
fn rule(counts: Counts, max: u64) -> LimitRule {
    LimitRule {
        name: "the rule".to_owned(),
        applies_to: Selector::default(),
        per: vec![Dimension::Key],
        counts,
        max,
        window: MINUTE,
        retry_after: RetryAfter::Exact,
    }
}

fn hello_with_cap(max_tokens: u64, stream: bool) -> serde_json::Value {
    let mut body = hello(stream);
    body["max_tokens"] = max_tokens.into();
    body
}

/// What the key is told of its first rule: used, reserved, remaining.
async fn usage(rig: &Rig) -> (u64, u64, u64) {
    let told = rig.send(get("/v1/usage")).await.json().await;
    let number =
        |field: &str| told["limits"][0][field].as_u64().unwrap_or_else(|| panic!("no {field} in {told}"));
    (number("used"), number("reserved"), number("remaining"))
}

#[tokio::test(start_paused = true)]
async fn tokens_are_reserved_before_and_settled_by_the_upstream_s_counts() {
    let mut rig = Rig::with(|config| config.limits = vec![rule(Counts::Tokens, 1_000)]).await;
    let asking = rig.ask(chat(&hello_with_cap(100, false)));
    let call = rig.upstream.call().await;
    let (used, reserved, remaining) = usage(&rig).await;
    assert!(used == 0 && reserved > 100 && remaining == 1_000 - reserved, "{used} {reserved} {remaining}");
    call.answer(200, &done_line("hi")).await;
    let reply = asking.await.unwrap();
    assert_eq!(number(&reply.headers, "x-ratelimit-limit-tokens"), 1_000);
    assert_eq!(number(&reply.headers, "x-ratelimit-remaining-tokens"), remaining);
    drop(reply.json().await);
    assert_eq!(usage(&rig).await, (18, 0, 982));
    sleep(MINUTE).await;
    assert_eq!(usage(&rig).await, (0, 0, 1_000));
}

/// Each may use a hundred of a thousand: ten run, however many ask, and what they leave over is free again.
#[tokio::test(start_paused = true)]
async fn five_hundred_at_once_cannot_walk_past_a_limit_of_tokens_together() {
    let mut rig = Rig::with(|config| config.limits = vec![rule(Counts::OutputTokens, 1_000)]).await;
    let asking: Vec<_> = (0..500).map(|_| rig.ask(chat(&hello_with_cap(100, false)))).collect();
    for _ in 0..10 {
        rig.upstream.call().await.answer(200, &done_line("hi")).await;
    }
    let mut statuses = std::collections::BTreeMap::new();
    for one in asking {
        let reply = one.await.unwrap();
        if reply.status == 429 {
            assert!((1..=60).contains(&number(&reply.headers, "retry-after")));
        }
        *statuses.entry(reply.status.as_u16()).or_insert(0) += 1;
    }
    assert_eq!(Vec::from_iter(statuses), [(200, 10), (429, 490)]);
    assert!(rig.upstream.untouched());
    assert_eq!(usage(&rig).await, (70, 0, 930));
}

#[tokio::test(start_paused = true)]
async fn who_got_nothing_pays_nothing() {
    let rules = [Counts::Tokens, Counts::Requests];
    for counts in rules {
        let mut rig = Rig::with(|config| config.limits = vec![rule(counts, 1_000)]).await;
        let asking = rig.ask(chat(&hello_with_cap(100, false)));
        rig.upstream.call().await.answer(500, r#"{"error":"boom"}"#).await;
        assert!(asking.await.unwrap().status.is_server_error());
        assert_eq!(usage(&rig).await, (0, 0, 1_000), "{counts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_is_held_until_the_answer_has_ended_however_it_does() {
    let mut rig = Rig::with(|config| config.limits = vec![rule(Counts::Concurrency, 1)]).await;
    for ends_well in [true, false, true] {
        let (reply, mut answer) = rig.streaming().await;
        let refused = rig.send(chat(&hello(false))).await;
        assert!(refused.header("x-ratelimit-limit-requests").is_none());
        assert_eq!(refused.error().await.0, 429);
        // A list of models takes no place.
        assert_eq!(rig.send(get("/v1/models")).await.status, 200);
        if ends_well {
            answer.done().await;
            drop(reply.text().await);
        } else {
            reply.leave();
            answer.gone().await;
        }
        sleep(SOON).await;
        assert_eq!(usage(&rig).await, (0, 0, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_budget_is_told_as_one_and_not_repeated() {
    let day = LimitRule { window: 1_440 * MINUTE, ..rule(Counts::OutputTokens, 7) };
    let mut rig = Rig::with(|config| config.limits = vec![day]).await;
    let asking = rig.ask(chat(&hello_with_cap(7, false)));
    rig.upstream.call().await.answer(200, &done_line("hi")).await;
    assert_eq!(asking.await.unwrap().status, 200);
    let refused = rig.send(chat(&hello_with_cap(7, false))).await;
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    let (status, code, message) = refused.error().await;
    assert_eq!((status, code.as_str()), (429, "insufficient_quota"));
    assert!(message.contains("the rule"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_cap_larger_than_the_limit_is_refused_with_the_numbers() {
    let mut rig = Rig::with(|config| config.limits = vec![rule(Counts::OutputTokens, 1_000)]).await;
    let refused = rig.send(chat(&hello_with_cap(1_001, true))).await;
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    let (status, _, message) = refused.error().await;
    assert_eq!(status, 429);
    for part in ["the rule", "1000", "1001"] {
        assert!(message.contains(part), "no {part} in {message}");
    }
    assert!(rig.upstream.untouched());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_reaches_what_was_reserved_ends_properly_with_length() {
    let mut rig = Rig::with(|config| config.limits = vec![rule(Counts::OutputTokens, 4)]).await;
    let asking = rig.ask(chat(&hello(true)));
    let mut call = rig.upstream.call().await;
    let mut answer = call.stream();
    for word in ["one ", "two ", "three ", "four ", "five ", "six "] {
        answer.text(word).await;
    }
    let text = asking.await.unwrap().text().await;
    assert_eq!(answer_text(&text), "one two three four ");
    assert!(text.contains(r#""finish_reason":"length""#) && text.ends_with("data: [DONE]\n\n"), "{text}");
    answer.gone().await;
    assert_eq!(usage(&rig).await, (4, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_what_was_spent() {
    let mut rig = Rig::with(|config| config.limits = vec![rule(Counts::OutputTokens, 1_000)]).await;
    let asking = rig.ask(chat(&hello_with_cap(100, false)));
    rig.upstream.call().await.answer(200, &done_line("hi")).await;
    drop(asking.await.unwrap().json().await);
    let config = gateway::config::Config {
        limits: vec![LimitRule { window: 10 * MINUTE, ..rule(Counts::OutputTokens, 8) }],
        ..rig.config.clone()
    };
    rig.core.reload(config).unwrap();
    sleep(2 * MINUTE).await;
    assert_eq!(usage(&rig).await, (7, 0, 1));
    assert_eq!(rig.send(chat(&hello_with_cap(2, false))).await.status, 429);
}

#[tokio::test(start_paused = true)]
async fn another_spelling_of_a_model_s_name_is_no_way_around_its_limit() {
    let named = LimitRule {
        applies_to: Selector { models: Some(vec!["Qwen3:32b".to_owned()]), ..Selector::default() },
        ..rule(Counts::Requests, 1)
    };
    let each = LimitRule { per: vec![Dimension::Model], ..rule(Counts::Requests, 1) };
    for limit in [named, each] {
        let mut rig = Rig::with(|config| config.limits = vec![limit]).await;
        let asking = rig.ask(chat(&hello(false)));
        rig.upstream.call().await.answer(200, &done_line("hi")).await;
        assert_eq!(asking.await.unwrap().status, 200);
        for spelt in ["qwen3:32b", "QWEN3:32B", "library/qwen3:32b", INTERNAL] {
            let mut body = hello(false);
            body["model"] = spelt.into();
            assert_eq!(rig.send(chat(&body)).await.status, 429, "{spelt}");
        }
        assert!(rig.upstream.untouched());
    }
}

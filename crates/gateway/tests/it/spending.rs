//! Tokens: reserved before, settled by what was counted, given back where nothing came, and never more than the limit.

use std::time::Duration;

use gateway::config::{Config, Counts, Dimension, LimitRule, RetryAfter, Selector};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::rig::{Rig, SOON, answer_text, chat, done_line, events, get, hello};

fn rule(name: &str, counts: Counts, max: u64) -> LimitRule {
    LimitRule {
        name: name.into(),
        applies_to: Selector::default(),
        per: vec![Dimension::Key],
        counts,
        max,
        window: Duration::from_secs(60),
        retry_after: RetryAfter::Exact,
    }
}

async fn limited(rules: Vec<LimitRule>) -> Rig {
    Rig::with(move |config: &mut Config| config.limits = rules).await
}

fn capped(max_tokens: u64, stream: bool) -> Value {
    let mut body = hello(stream);
    body["max_tokens"] = max_tokens.into();
    body
}

fn counted(prompt: u64, output: u64) -> String {
    json!({"model": "x", "created_at": "2026-01-02T03:04:05Z", "message": {"role": "assistant", "content": "hi"},
        "done": true, "done_reason": "stop", "prompt_eval_count": prompt, "eval_count": output})
    .to_string()
}

#[tokio::test(start_paused = true)]
async fn what_is_reserved_is_settled_by_what_was_counted() {
    let mut rig = limited(vec![rule("tokens-a-minute", Counts::OutputTokens, 100)]).await;
    // 60 of 100 are held, so 60 more do not fit, whoever asks.
    let first = rig.ask(chat(&capped(60, false)));
    let call = rig.upstream.call().await;
    let refused = rig.send(chat(&capped(60, false))).await;
    assert_eq!(refused.header("x-ratelimit-limit-tokens"), Some("100"));
    assert_eq!(refused.header("x-ratelimit-remaining-tokens"), Some("40"));
    let (status, code, message) = refused.error().await;
    assert_eq!((status, code.as_str()), (429, "rate_limit_exceeded"));
    assert!(message.contains("tokens-a-minute") && message.contains("100"), "{message}");
    // Only 7 were used: the rest is there again.
    call.answer(200, &done_line("hi")).await;
    assert_eq!(first.await.unwrap().status, 200);
    sleep(SOON).await;
    let second = rig.ask(chat(&capped(93, false)));
    rig.upstream.call().await.answer(200, &done_line("hi")).await;
    assert_eq!(second.await.unwrap().status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_reaches_its_limit_ends_properly_with_length() {
    let mut rig = limited(vec![rule("tokens", Counts::OutputTokens, 20)]).await;
    let mut body = hello(true);
    body["stream_options"] = json!({"include_usage": true});
    let asking = rig.ask(chat(&body));
    let mut answer = rig.upstream.call().await.stream();
    for index in 0..40 {
        answer.text(&format!("w{index} ")).await;
    }
    let text = asking.await.unwrap().text().await;
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    assert_eq!(answer_text(&text).split_whitespace().count(), 20, "{text}");
    let chunks: Vec<Value> =
        events(&text).iter().filter_map(|data| serde_json::from_str(data).ok()).collect();
    let reasons: Vec<_> =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["finish_reason"].as_str()).collect();
    assert_eq!(reasons, ["length"]);
    assert_eq!(chunks.last().unwrap()["usage"]["completion_tokens"], 20);
    // The model stops, too.
    answer.gone().await;
    let (status, ..) = rig.send(chat(&hello(true))).await.error().await;
    assert_eq!(status, 429);
    let records = rig.records().await;
    assert_eq!((&records[0]["end"], &records[0]["output_tokens"]), (&json!("complete"), &json!(20)));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_pays_for_what_has_passed() {
    let mut rig = limited(vec![rule("tokens", Counts::OutputTokens, 100)]).await;
    let asking = rig.ask(chat(&capped(90, true)));
    let answer = rig.upstream.call().await.stream();
    for _ in 0..10 {
        answer.text("word ").await;
    }
    let mut reply = asking.await.unwrap();
    let mut heard = String::new();
    while heard.matches("word ").count() < 10 {
        heard.push_str(&reply.piece().await.unwrap());
    }
    reply.leave();
    sleep(SOON).await;
    let usage = rig.send(get("/v1/usage")).await.json().await;
    assert_eq!(usage["limits"][0]["used"], 10, "{usage}");
}

#[tokio::test(start_paused = true)]
async fn who_got_nothing_pays_nothing() {
    let mut rig = Rig::with(|config| {
        config.limits = vec![rule("requests", Counts::Requests, 2), rule("tokens", Counts::Tokens, 10_000)];
    })
    .await;
    for _ in 0..5 {
        let asking = rig.ask(chat(&hello(true)));
        rig.upstream.call().await.answer(500, r#"{"error":"out of memory"}"#).await;
        assert_eq!(asking.await.unwrap().status, 502);
    }
    assert_eq!(
        rig.send(chat(&json!({"model": "absent:cloud", "messages": [{"role": "user", "content": "x"}]})))
            .await
            .status,
        404
    );
    let usage = rig.send(get("/v1/usage")).await.json().await;
    assert_eq!((&usage["limits"][0]["used"], &usage["limits"][1]["used"]), (&json!(0), &json!(0)), "{usage}");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_lies_is_not_believed() {
    for (prompt, output) in [(u64::MAX / 4, 2), (5, u64::MAX / 4), (5, 0)] {
        let mut rig = limited(vec![rule("tokens", Counts::Tokens, 100_000)]).await;
        let asking = rig.ask(chat(&hello(false)));
        rig.upstream.call().await.answer(200, &counted(prompt, output)).await;
        drop(asking.await.unwrap().text().await);
        sleep(SOON).await;
        let usage = rig.send(get("/v1/usage")).await.json().await;
        let used = usage["limits"][0]["used"].as_u64().unwrap();
        assert!((2..200).contains(&used), "{prompt} {output}: {usage}");
    }
}

#[tokio::test(start_paused = true)]
async fn concurrency_is_free_again_when_the_body_ends() {
    let mut rig = limited(vec![rule("at-once", Counts::Concurrency, 1)]).await;
    let (reply, answer) = rig.streaming().await;
    assert_eq!(rig.send(chat(&hello(true))).await.status, 429);
    answer.done().await;
    drop(reply.text().await);
    sleep(SOON).await;
    let (reply, _answer) = rig.streaming().await;
    reply.leave();
    sleep(SOON).await;
    drop(rig.streaming().await);
}

#[tokio::test(start_paused = true)]
async fn a_budget_says_that_repeating_is_senseless() {
    let mut month = rule("month", Counts::Requests, 1);
    month.window = Duration::from_secs(30 * 24 * 3_600);
    let mut rig = limited(vec![month]).await;
    let asking = rig.ask(chat(&hello(false)));
    rig.upstream.call().await.answer(200, &done_line("hi")).await;
    assert_eq!(asking.await.unwrap().status, 200);
    let refused = rig.send(chat(&hello(false))).await;
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    let retry_after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&retry_after));
    let (status, code, _) = refused.error().await;
    assert_eq!((status, code.as_str()), (429, "insufficient_quota"));
}

#[tokio::test(start_paused = true)]
async fn a_key_is_told_its_own_limits_and_nobody_else_s() {
    let mut rig = Rig::with(|config| {
        crate::rig::keys(config).push(crate::rig::key("bob", "test-key-of-bob"));
        let mut bobs = rule("bobs", Counts::Requests, 5);
        bobs.applies_to.keys = Some(vec!["bob".into()]);
        config.limits = vec![rule("everybody", Counts::Requests, 3), bobs];
    })
    .await;
    let asking = rig.ask(chat(&hello(false)));
    rig.upstream.call().await.answer(200, &done_line("hi")).await;
    assert_eq!(asking.await.unwrap().status, 200);
    let usage = rig.send(get("/v1/usage")).await.json().await;
    assert_eq!(usage["key"], "alice");
    let limits = usage["limits"].as_array().unwrap();
    assert_eq!(limits.len(), 1, "{usage}");
    assert_eq!(
        (&limits[0]["name"], &limits[0]["limit"], &limits[0]["used"], &limits[0]["remaining"]),
        (&json!("everybody"), &json!(3), &json!(1), &json!(2))
    );
    // Asking costs nothing, and needs a key.
    for _ in 0..5 {
        assert_eq!(rig.send(get("/v1/usage")).await.status, 200);
    }
    let bare = crate::rig::bare_request("GET", "/v1/usage").body(http_body_util::Full::default()).unwrap();
    assert_eq!(rig.send(bare).await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn a_rule_s_cap_is_sent_and_a_limit_s_only_where_nothing_can_be_cut() {
    let mut rig = Rig::with(|config| config.limits = vec![rule("tokens", Counts::OutputTokens, 1_000)]).await;
    let asking = rig.ask(chat(&hello(true)));
    let call = rig.upstream.call().await;
    assert!(call.body["options"]["num_predict"].is_null(), "{}", call.body);
    call.answer(200, &done_line("hi")).await;
    drop(asking.await.unwrap().text().await);
    let asking = rig.ask(chat(&hello(false)));
    let call = rig.upstream.call().await;
    assert!(call.body["options"]["num_predict"].as_u64().unwrap() <= 1_000, "{}", call.body);
    call.answer(200, &done_line("hi")).await;
    assert_eq!(asking.await.unwrap().status, 200);

    let mut rig = Rig::with(|config| config.answer.output_tokens_max = Some(50)).await;
    for (asked, sent) in [(None, 50), (Some(20), 20), (Some(500), 50)] {
        let body = asked.map_or_else(|| hello(true), |asked| capped(asked, true));
        let asking = rig.ask(chat(&body));
        let call = rig.upstream.call().await;
        assert_eq!(call.body["options"]["num_predict"], sent);
        call.answer(200, &done_line("hi")).await;
        drop(asking.await.unwrap().text().await);
    }
}

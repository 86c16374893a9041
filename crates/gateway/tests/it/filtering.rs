//! What a rule finds does not leave, however the upstream cuts its stream.

use gateway::config::{Filter, FilterAction, FilterRule, Pattern};
use serde_json::json;
use tokio::time::sleep;

use crate::rig::{Rig, SOON, answer_text, chat, done_line, hello, only};

const SECRET: &str = "project-heron";

fn rule(action: FilterAction) -> FilterRule {
    FilterRule { name: "code-names".into(), looks_for: Pattern::Literals(vec![SECRET.into()]), action }
}

async fn filtering(action: FilterAction, prompts: bool) -> Rig {
    Rig::with(move |config| {
        config.filter =
            Some(Filter { rules: vec![rule(action)], answers: true, tool_arguments: true, prompts });
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_match_is_masked_wherever_the_stream_is_cut() {
    for cut in 1..SECRET.len() {
        let mut rig = filtering(FilterAction::Mask, false).await;
        let asking = rig.ask(chat(&hello(true)));
        let answer = rig.upstream.call().await.stream();
        answer.text(&format!("we call it {}", &SECRET[..cut])).await;
        sleep(SOON).await;
        answer.text(&format!("{} here", &SECRET[cut..])).await;
        answer.done().await;
        let text = asking.await.unwrap().text().await;
        assert_eq!(answer_text(&text), "we call it ************* here", "{cut}");
        assert!(text.ends_with("data: [DONE]\n\n"));
        let record = only(rig.records().await);
        assert_eq!(record["filtered"], json!(["code-names"]));
        assert_eq!(record["end"], "complete");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_answer_properly_and_the_model_with_it() {
    let mut rig = filtering(FilterAction::Stop, false).await;
    let asking = rig.ask(chat(&hello(true)));
    let mut answer = rig.upstream.call().await.stream();
    answer.text("we call it project-").await;
    answer.text("heron, and it is").await;
    let text = asking.await.unwrap().text().await;
    assert_eq!(answer_text(&text), "we call it ");
    assert!(
        text.contains("\"finish_reason\":\"content_filter\"") && text.ends_with("data: [DONE]\n\n"),
        "{text}"
    );
    answer.gone().await;
    assert!(
        rig.core
            .metrics_text()
            .contains("gatehouse_filter_actions_total{rule=\"code-names\",action=\"stop\"} 1")
    );
    assert_eq!(only(rig.records().await)["end"], "filtered");
}

#[tokio::test(start_paused = true)]
async fn whole_answers_and_prompts_are_looked_at_too() {
    let mut rig = filtering(FilterAction::Mask, true).await;
    let mut body = hello(false);
    body["messages"][0]["content"] = json!("what is Project-Heron?");
    let asking = rig.ask(chat(&body));
    let call = rig.upstream.call().await;
    assert_eq!(call.body["messages"][0]["content"], "what is *************?");
    call.answer(200, &done_line("project-heron is a bird")).await;
    let answer = asking.await.unwrap().json().await;
    assert_eq!(answer["choices"][0]["message"]["content"], "************* is a bird");

    let mut rig = filtering(FilterAction::Stop, true).await;
    let (status, code, message) = rig.send(chat(&body)).await.error().await;
    assert_eq!((status, code.as_str()), (400, "content_filter"));
    assert!(!message.to_lowercase().contains("heron"));
    assert!(rig.upstream.untouched());
}

#[tokio::test(start_paused = true)]
async fn without_a_filter_nothing_is_held_back() {
    let mut rig = Rig::new().await;
    let asking = rig.ask(chat(&hello(true)));
    let answer = rig.upstream.call().await.stream();
    answer.text("project-").await;
    let mut reply = asking.await.unwrap();
    assert!(reply.piece().await.unwrap().contains("project-"));
}

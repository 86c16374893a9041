//! Five hundred at once on one counter: exactly as many pass as fit.

use std::sync::Arc;

use gateway::auth::Principal;
use gateway::limit::{Ask, Charge, Limiter, Rules};
use tokio::sync::Barrier;
use tokio::time::Instant;

use crate::world;

const CALLERS: usize = 500;

/// Everybody asks for the same at the same time; whoever passes holds on to it.
async fn passing(counts: gateway::config::Counts, max: u64, cap: Option<u64>) -> Vec<Charge> {
    let limiter = Limiter::new();
    let rules = Arc::new(Rules::new(&world::one_rule(counts, max)));
    let barrier = Arc::new(Barrier::new(CALLERS));
    let asking: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (limiter, rules, barrier) = (limiter.clone(), rules.clone(), barrier.clone());
            tokio::spawn(async move {
                let principal = Principal::plain("k");
                barrier.wait().await;
                let ask = Ask {
                    principal: &principal,
                    model: Some("m"),
                    prompt_tokens: 60,
                    output_cap: cap,
                    choices: 1,
                };
                limiter.charge(&rules, &ask, Instant::now()).ok()
            })
        })
        .collect();
    let mut passed = Vec::new();
    for one in asking {
        passed.extend(one.await.unwrap());
    }
    passed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn of_five_hundred_at_once_exactly_as_many_pass_as_fit() {
    use gateway::config::Counts::{Concurrency, OutputTokens, PromptTokens, Requests, Tokens};
    for (counts, max, expected) in [
        (Requests, 30, 30),
        (Concurrency, 7, 7),
        (PromptTokens, 6_000, 100),
        (PromptTokens, 6_059, 100),
        (OutputTokens, 4_000, 100),
        (Tokens, 10_000, 100),
        (Tokens, 10_099, 100),
    ] {
        for _ in 0..5 {
            assert_eq!(passing(counts, max, Some(40)).await.len(), expected, "{counts:?} {max}");
        }
    }
}

/// Without caps they share what there is, down to the least that is of use, and not a token more.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn what_is_given_without_a_cap_never_adds_up_to_more_than_there_is() {
    for _ in 0..5 {
        let passed = passing(gateway::config::Counts::Tokens, 20_000, None).await;
        let given: u64 = passed.iter().map(|charge| 60 + charge.output_max().unwrap()).sum();
        // Four get 4,096 and the prompt, the fifth what is left.
        assert_eq!((passed.len(), given), (5, 20_000));
    }
}

//! The real model over HTTP, on shape only: what it says is its own affair.
//!
//! Needs the feature `llama` and `GATEHOUSE_TEST_MODEL`, the path of a model file of the table; without it the tests pass
//! without having run, and say so. One thread, so that a busy machine is slow and not stuck.

#![cfg(feature = "llama")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test asserts by panicking and reports"
)]

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use engine::weights::{Lines, PullOptions, Weights, pull_with};
use engine::{ServeOptions, serve};
use serde_json::{Value, json};

const SLOTS: usize = 2;
const CONTEXT: usize = 1024;

/// One server for all tests: the native library is loaded once in a process.
fn address(file: PathBuf) -> SocketAddr {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    *ADDRESS.get_or_init(|| {
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let threads =
                std::env::var("GATEHOUSE_TEST_THREADS").ok().and_then(|t| t.parse().ok()).unwrap_or(1);
            let options = ServeOptions {
                listen: "127.0.0.1:0".parse().unwrap(),
                model_file: file,
                model_name: "small".into(),
                slots: SLOTS,
                context_per_slot: CONTEXT,
                threads,
                queue_max: 1,
            };
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            let ready = move |address| tell.send(address).unwrap();
            runtime.block_on(serve(options, ready, std::future::pending())).unwrap();
        });
        told.recv_timeout(Duration::from_secs(120)).expect("the model is loaded")
    })
}

struct Engine {
    address: SocketAddr,
    agent: ureq::Agent,
    /// Tests fill the house; one at a time.
    _turn: MutexGuard<'static, ()>,
}

fn engine() -> Option<Engine> {
    static TURN: Mutex<()> = Mutex::new(());
    let Some(file) = std::env::var_os("GATEHOUSE_TEST_MODEL") else {
        println!("not run: GATEHOUSE_TEST_MODEL names no model file");
        return None;
    };
    let turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let agent =
        ureq::Agent::config_builder().http_status_as_error(false).proxy(None).max_idle_connections(0).build();
    Some(Engine { address: address(file.into()), agent: agent.into(), _turn: turn })
}

/// The lines of a stream. Dropping it closes the connection.
struct Lined(BufReader<Box<dyn Read + Send>>);

impl Iterator for Lined {
    type Item = Value;
    fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        (self.0.read_line(&mut line).unwrap() > 0).then(|| serde_json::from_str(&line).unwrap())
    }
}

impl Engine {
    fn get(&self, path: &str) -> Value {
        let mut answer = self.agent.get(format!("http://{}{path}", self.address)).call().unwrap();
        serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap()
    }

    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let mut answer =
            self.agent.post(format!("http://{}{path}", self.address)).send(body.to_string()).unwrap();
        (
            answer.status().as_u16(),
            serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap(),
        )
    }

    fn chat(&self, text: &str, options: Value) -> (u16, Value) {
        self.post("/api/chat", &ask(text, options, false))
    }

    fn stream(&self, text: &str, options: Value) -> Result<Lined, u16> {
        let body = ask(text, options, true).to_string();
        let answer = self.agent.post(format!("http://{}/api/chat", self.address)).send(body).unwrap();
        match answer.status().as_u16() {
            200 => Ok(Lined(BufReader::new(Box::new(answer.into_body().into_reader())))),
            status => Err(status),
        }
    }
}

fn ask(text: &str, options: Value, stream: bool) -> Value {
    json!({ "model": "small", "messages": [{ "role": "user", "content": text }], "options": options, "stream": stream })
}

fn greedy(tokens: u32) -> Value {
    json!({ "temperature": 0, "num_predict": tokens })
}

#[test]
fn an_answer_comes_in_pieces() {
    let Some(engine) = engine() else { return };
    let lines: Vec<Value> = engine.stream("Name three colours.", greedy(24)).unwrap().collect();
    let (last, pieces) = lines.split_last().unwrap();
    assert!(pieces.len() > 3 && pieces.iter().all(|p| p["done"] == false));
    let text: String = pieces.iter().map(|p| p["message"]["content"].as_str().unwrap()).collect();
    assert!(text.chars().any(char::is_alphabetic) && !text.contains("<|im_end|>"), "{text}");
    assert!(last["prompt_eval_count"].as_u64().unwrap() > 10);
    assert!((1..=24).contains(&last["eval_count"].as_u64().unwrap()));
    assert!(last["eval_duration"].as_u64().unwrap() > 0);
}

#[test]
fn the_limit_is_kept_and_the_figures_are_real() {
    let Some(engine) = engine() else { return };
    let long = "Tell me the story of a ship. ".repeat(60);
    let (status, answer) =
        engine.chat(&long, json!({ "temperature": 0, "num_predict": 128, "repeat_penalty": 1.3 }));
    assert_eq!(status, 200, "{answer}");
    // Whether the model ends before the limit is its own affair.
    let tokens = answer["eval_count"].as_u64().unwrap();
    assert!(if answer["done_reason"] == "length" { tokens == 128 } else { tokens < 129 }, "{answer}");
    let per_second = |count: &str, duration: &str| {
        answer[count].as_f64().unwrap() / (answer[duration].as_f64().unwrap() / 1e9)
    };
    println!(
        "prompt {:.0} tok/s, answer {:.0} tok/s",
        per_second("prompt_eval_count", "prompt_eval_duration"),
        per_second("eval_count", "eval_duration")
    );
}

#[test]
fn the_second_turn_reads_only_what_is_new() {
    let Some(engine) = engine() else { return };
    let long = "The sea is wide and the ship is small. ".repeat(40);
    let reading = |body: &Value| {
        let (status, answer) = engine.post("/api/chat", body);
        assert_eq!(status, 200, "{answer}");
        (answer["prompt_eval_count"].as_u64().unwrap(), answer["prompt_eval_duration"].as_u64().unwrap())
    };
    let (tokens, cold) = reading(&ask(&long, greedy(4), false));
    let (again, warm) = reading(&ask(&long, greedy(4), false));
    assert_eq!(tokens, again, "what is known is counted too");
    assert!(warm < cold / 4, "{cold} ns, then {warm} ns");
}

#[test]
fn two_answers_run_side_by_side() {
    let Some(engine) = engine() else { return };
    let mut one = engine.stream("Count from one to fifty.", greedy(64)).unwrap();
    let mut two = engine.stream("Write about the sea.", greedy(64)).unwrap();
    assert_eq!(one.next().unwrap()["done"], false);
    assert_eq!(two.next().unwrap()["done"], false, "the second began before the first was over");
    let ends: Vec<Value> = [one.last().unwrap(), two.last().unwrap()].into();
    assert!(ends.iter().all(|l| l["done"] == true && l["eval_count"].as_u64().unwrap() > 1));
}

#[test]
fn a_full_house_refuses_and_a_client_that_leaves_makes_room() {
    let Some(engine) = engine() else { return };
    let endless = || json!({ "temperature": 1.0, "seed": 7, "num_predict": -1, "repeat_penalty": 1.5 });
    let mut running: Vec<_> =
        (0..SLOTS).map(|_| engine.stream("Write a very long book.", endless()).unwrap()).collect();
    for stream in &mut running {
        stream.next().unwrap();
    }
    std::thread::scope(|scope| {
        // One may wait; the other is refused, and whichever it is, its answer comes first.
        let (tell, told) = std::sync::mpsc::channel();
        for _ in 0..2 {
            let (tell, engine) = (tell.clone(), &engine);
            scope.spawn(move || tell.send(engine.chat("Hello", greedy(2)).0).unwrap());
        }
        assert_eq!(told.recv_timeout(Duration::from_secs(20)).unwrap(), 503);
        drop(running.pop());
        assert_eq!(told.recv_timeout(Duration::from_secs(20)).unwrap(), 200);
    });
    drop(running);
    assert_eq!(engine.chat("Hello", greedy(2)).0, 200);
}

#[test]
fn an_answer_follows_a_schema() {
    let Some(engine) = engine() else { return };
    let schema = json!({
        "type": "object", "required": ["city", "people"], "additionalProperties": false,
        "properties": { "city": { "type": "string", "maxLength": 20 }, "people": { "type": "integer", "maximum": 100 } },
    });
    let mut body = ask("Give me a city and a number of people as JSON.", greedy(200), false);
    body["format"] = schema;
    let (status, answer) = engine.post("/api/chat", &body);
    assert_eq!((status, &answer["done_reason"]), (200, &json!("stop")), "{answer}");
    let value: Value = serde_json::from_str(answer["message"]["content"].as_str().unwrap()).unwrap();
    assert!(value["city"].is_string() && value["people"].is_i64(), "{value}");
    body["format"] = json!("json");
    let (status, answer) = engine.post("/api/chat", &body);
    assert_eq!(status, 200);
    assert!(answer["message"]["content"].as_str().unwrap().trim_start().starts_with('{'), "{answer}");
    body["format"] = json!({ "type": "no such type" });
    assert_eq!(engine.post("/api/chat", &body).0, 400);
}

#[test]
fn a_prompt_that_does_not_fit_is_refused_before_it_runs() {
    let Some(engine) = engine() else { return };
    let (status, answer) = engine.chat(&"word ".repeat(CONTEXT + 100), greedy(4));
    assert_eq!(status, 400);
    assert!(answer["error"].as_str().unwrap().contains("longer than the context length"), "{answer}");
    let (status, answer) = engine.post("/api/generate", &json!({ "model": "small" }));
    assert_eq!((status, &answer["done_reason"]), (200, &json!("load")));
}

#[test]
fn what_the_file_says_is_shown() {
    let Some(engine) = engine() else { return };
    assert_eq!(engine.get("/api/tags")["models"][0]["name"], "small:latest");
    assert_eq!(engine.get("/api/ps")["models"][0]["context_length"], CONTEXT);
    let (_, show) = engine.post("/api/show", &json!({ "model": "small" }));
    assert!(show["template"].as_str().unwrap().contains("messages"));
    let family = show["details"]["family"].as_str().unwrap();
    assert!(show["model_info"][format!("{family}.context_length")].as_u64().unwrap() >= CONTEXT as u64);
}

/// Fetches the default model for real, if `GATEHOUSE_TEST_PULL` names a folder for it.
#[test]
fn the_default_model_can_be_fetched() {
    let Some(folder) = std::env::var_os("GATEHOUSE_TEST_PULL") else {
        println!("not run: GATEHOUSE_TEST_PULL names no folder");
        return;
    };
    let weights = Weights::find("smollm2-135m").unwrap();
    let options = PullOptions::from_environment(&PathBuf::from(folder));
    let path = pull_with(weights, &options, &mut Lines::new(std::io::stdout())).unwrap();
    assert_eq!(std::fs::metadata(path).unwrap().len(), weights.bytes);
}

//! Reads the bodies of chat, generate and show, and refuses what this engine cannot do.
//!
//! Why here: everything a caller may say is checked in one place, before a place in the queue is taken. What the model has no
//! power for (tools, images, thinking) is refused with Ollama's status, never ignored.
//!
//! Never here: the model. Keys are matched exactly and duplicates are refused, which is stricter than Ollama.

use std::sync::LazyLock;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use crate::model::{Fault, Reader, Sampling, Turn};

const STOPS_MAX: usize = 64;
const STOP_MAX_BYTES: usize = 1024;
const SCHEMA_MAX_BYTES: usize = 64 << 10;
/// Said when the caller brings no system line: some templates put in one of their own that makes small models ramble.
const SYSTEM_LINE: &str = "You are a helpful assistant.";

/// A chat or generate request, checked.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) model: String,
    pub(super) words: Words,
    pub(super) stream: bool,
    pub(super) sampling: Sampling,
    pub(super) stops: Vec<String>,
    pub(super) max_tokens: Option<usize>,
    pub(super) context_tokens: Option<usize>,
    /// A JSON Schema that the answer must match.
    pub(super) schema: Option<String>,
    wants: Wants,
}

/// What is to be answered.
#[derive(Debug)]
pub(super) enum Words {
    Turns(Vec<Turn>),
    /// Sent to the model as it is.
    Raw(String),
    Nothing,
}

impl Words {
    pub(super) fn prompt(self, reader: &dyn Reader) -> Result<String, Fault> {
        match self {
            Self::Turns(turns) => reader.prompt(&turns),
            Self::Raw(prompt) => Ok(prompt),
            Self::Nothing => Ok(String::new()),
        }
    }
}

/// Powers that the request needs and no model in the table offers here.
#[derive(Debug, Default)]
struct Wants {
    tools: bool,
    images: bool,
    thinking: bool,
    insert: bool,
}

impl Ask {
    pub(super) fn only_loads(&self) -> bool {
        matches!(self.words, Words::Nothing)
    }

    pub(super) fn check_capabilities(&self) -> Result<(), Fault> {
        let name = &self.model;
        match &self.wants {
            Wants { tools: true, .. } => Err(Fault::caller(format!("{name} does not support tools"))),
            Wants { images: true, .. } => Err(Fault::caller(format!("{name} does not support vision"))),
            Wants { insert: true, .. } => Err(Fault::caller(format!("{name} does not support insert"))),
            Wants { thinking: true, .. } => {
                Err(Fault::caller(format!("\"{name}\" does not support thinking")))
            }
            _ => Ok(()),
        }
    }
}

#[derive(Deserialize)]
struct ChatBody {
    #[serde(default)]
    model: String,
    messages: Option<Vec<Message>>,
    tools: Option<Vec<IgnoredAny>>,
    stream: Option<bool>,
    format: Option<Value>,
    options: Option<Options>,
    think: Option<Value>,
    logprobs: Option<bool>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    #[serde(default)]
    content: String,
    images: Option<Vec<IgnoredAny>>,
    tool_calls: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize)]
struct GenerateBody {
    #[serde(default)]
    model: String,
    #[serde(default)]
    prompt: String,
    #[serde(default)]
    suffix: String,
    #[serde(default)]
    system: String,
    #[serde(default)]
    template: String,
    #[serde(default)]
    raw: bool,
    context: Option<Vec<IgnoredAny>>,
    images: Option<Vec<IgnoredAny>>,
    stream: Option<bool>,
    format: Option<Value>,
    options: Option<Options>,
    think: Option<Value>,
    logprobs: Option<bool>,
}

/// Numbers come as JSON numbers of any spelling (`2048.0` is a count too).
#[derive(Deserialize, Default)]
struct Options {
    num_ctx: Option<f64>,
    num_predict: Option<f64>,
    temperature: Option<f64>,
    top_k: Option<f64>,
    top_p: Option<f64>,
    min_p: Option<f64>,
    repeat_penalty: Option<f64>,
    repeat_last_n: Option<f64>,
    frequency_penalty: Option<f64>,
    presence_penalty: Option<f64>,
    seed: Option<f64>,
    stop: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct NameBody {
    #[serde(default)]
    model: String,
    /// The older spelling.
    #[serde(default)]
    name: String,
}

pub(super) fn read_name(body: &[u8]) -> Result<String, Fault> {
    let read: NameBody = parse(body)?;
    Ok(if read.model.is_empty() { read.name } else { read.model })
}

pub(super) fn read_chat(body: &[u8]) -> Result<Ask, Fault> {
    let read: ChatBody = parse(body)?;
    let messages = read.messages.unwrap_or_default();
    let wants = Wants {
        tools: is_some_of(&read.tools) || messages.iter().any(|m| is_some_of(&m.tool_calls)),
        images: messages.iter().any(|m| is_some_of(&m.images)),
        thinking: wants_thinking(read.think)?,
        insert: false,
    };
    let turns: Vec<_> = messages.into_iter().map(|m| Turn { role: m.role, content: m.content }).collect();
    let words = if turns.is_empty() { Words::Nothing } else { Words::Turns(with_system_line(turns)) };
    let stream = read.stream.unwrap_or(true);
    refuse_logprobs(read.logprobs)?;
    build(read.model, words, stream, wants, read.format, read.options)
}

pub(super) fn read_generate(body: &[u8]) -> Result<Ask, Fault> {
    let read: GenerateBody = parse(body)?;
    if read.raw && !(read.system.is_empty() && read.template.is_empty() && !is_some_of(&read.context)) {
        return Err(Fault::caller("raw mode does not support template, system, or context"));
    }
    if !read.template.is_empty() || is_some_of(&read.context) {
        return Err(Fault::caller("this engine takes no template or context from a request"));
    }
    refuse_logprobs(read.logprobs)?;
    let wants = Wants {
        tools: false,
        images: is_some_of(&read.images),
        thinking: wants_thinking(read.think)?,
        insert: !read.suffix.is_empty(),
    };
    let words = match (read.prompt, read.raw) {
        (prompt, _) if prompt.is_empty() => Words::Nothing,
        (prompt, true) => Words::Raw(prompt),
        (prompt, false) => {
            let system = (!read.system.is_empty()).then(|| turn("system", read.system));
            let turns = system.into_iter().chain([turn("user", prompt)]).collect();
            Words::Turns(with_system_line(turns))
        }
    };
    build(read.model, words, read.stream.unwrap_or(true), wants, read.format, read.options)
}

fn build(
    model: String,
    words: Words,
    stream: bool,
    wants: Wants,
    format: Option<Value>,
    options: Option<Options>,
) -> Result<Ask, Fault> {
    let mut options = options.unwrap_or_default();
    let stops = options.stop.take().unwrap_or_default();
    if stops.len() > STOPS_MAX || stops.iter().any(|s| s.len() > STOP_MAX_BYTES) {
        return Err(Fault::caller(format!("at most {STOPS_MAX} stop strings of {STOP_MAX_BYTES} bytes")));
    }
    Ok(Ask {
        model,
        words,
        stream,
        wants,
        stops,
        sampling: options.sampling()?,
        // Zero and below mean no limit of the caller's own, as in Ollama.
        max_tokens: options.num_predict.filter(|n| *n >= 1.0).map(count),
        context_tokens: options.num_ctx.filter(|n| *n >= 1.0).map(count),
        schema: schema(format)?,
    })
}

impl Options {
    /// Ollama's defaults where nothing is said.
    fn sampling(&self) -> Result<Sampling, Fault> {
        Ok(Sampling {
            temperature: within("temperature", self.temperature, 0.8, 0.0..=100.0)?,
            top_k: whole(within("top_k", self.top_k, 40.0, -1.0..=1_000_000.0)?),
            top_p: within("top_p", self.top_p, 0.9, 0.0..=1.0)?,
            min_p: within("min_p", self.min_p, 0.0, 0.0..=1.0)?,
            repeat_penalty: within("repeat_penalty", self.repeat_penalty, 1.0, 0.01..=100.0)?,
            repeat_last_n: whole(within("repeat_last_n", self.repeat_last_n, 64.0, -1.0..=1_000_000.0)?),
            frequency_penalty: within("frequency_penalty", self.frequency_penalty, 0.0, -100.0..=100.0)?,
            presence_penalty: within("presence_penalty", self.presence_penalty, 0.0, -100.0..=100.0)?,
            seed: self.seed.filter(|s| *s >= 0.0).map_or_else(fresh_seed, seed),
            grammar: None,
        })
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    if body.is_empty() {
        return Err(Fault::caller("missing request body"));
    }
    serde_json::from_slice(body).map_err(|e| Fault::caller(format!("json: {e}")))
}

fn is_some_of<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_some_and(|l| !l.is_empty())
}

fn turn(role: &str, content: String) -> Turn {
    Turn { role: role.to_owned(), content }
}

fn with_system_line(mut turns: Vec<Turn>) -> Vec<Turn> {
    if turns.first().is_none_or(|t| t.role != "system") {
        turns.insert(0, turn("system", SYSTEM_LINE.to_owned()));
    }
    turns
}

fn wants_thinking(think: Option<Value>) -> Result<bool, Fault> {
    match think {
        None | Some(Value::Null | Value::Bool(false)) => Ok(false),
        Some(Value::Bool(true)) => Ok(true),
        Some(Value::String(level)) if ["low", "medium", "high", "max"].contains(&level.as_str()) => Ok(true),
        Some(other) => Err(Fault::caller(format!("invalid think value: {other}"))),
    }
}

fn refuse_logprobs(asked: Option<bool>) -> Result<(), Fault> {
    if asked == Some(true) { Err(Fault::caller("this engine does not report logprobs")) } else { Ok(()) }
}

fn schema(format: Option<Value>) -> Result<Option<String>, Fault> {
    let text = match format {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(word)) if word.is_empty() => return Ok(None),
        Some(Value::String(word)) if word == "json" => r#"{"type":"object"}"#.to_owned(),
        Some(object @ Value::Object(_)) => object.to_string(),
        Some(other) => {
            let text = format!("invalid format: {other}; expected \"json\" or a valid JSON Schema object");
            return Err(Fault::caller(text));
        }
    };
    if text.len() > SCHEMA_MAX_BYTES {
        return Err(Fault::caller(format!(
            "invalid format: the schema is longer than {SCHEMA_MAX_BYTES} bytes"
        )));
    }
    Ok(Some(text))
}

#[expect(clippy::cast_possible_truncation, reason = "sampling is done in f32; the range is checked")]
fn within(
    name: &str,
    given: Option<f64>,
    default: f32,
    range: std::ops::RangeInclusive<f32>,
) -> Result<f32, Fault> {
    let Some(value) = given.map(|v| v as f32) else { return Ok(default) };
    if range.contains(&value) {
        return Ok(value);
    }
    Err(Fault::caller(format!("option \"{name}\" must be between {} and {}", range.start(), range.end())))
}

#[expect(clippy::cast_possible_truncation, reason = "a float cast saturates, and the range is checked")]
fn whole(value: f32) -> i32 {
    value as i32
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast saturates; not below one"
)]
fn count(value: f64) -> usize {
    value as usize
}

/// Ollama's seeds are 64 bits wide and llama.cpp's 32: the low half decides, so that small seeds keep their meaning.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the low half is what is wanted; not negative"
)]
fn seed(value: f64) -> u32 {
    value as u64 as u32
}

/// No two answers alike is all that is asked of it.
fn fresh_seed() -> u32 {
    use std::hash::{BuildHasher, RandomState};
    use std::sync::atomic::{AtomicU64, Ordering};
    static STATE: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let word = STATE.hash_one(COUNT.fetch_add(1, Ordering::Relaxed));
    u32::try_from(word >> 32).unwrap_or_default()
}

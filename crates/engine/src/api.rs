//! Ollama's native HTTP interface over one model.
//!
//! Why here: the gateway must meet an ordinary Ollama, so that it knows no special case. Paths, shapes, statuses and the
//! moment at which the head is sent (with the first piece, never before) are Ollama's; texts are our own where nobody
//! matches on them.
//!
//! Never here: what mutates (pull, create, delete, copy, push), embeddings, keys. Browsers are refused: a page of another
//! site must not reach this port.

mod answer;
mod facts;
mod request;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::sync::mpsc;

pub(crate) use answer::Answer;
use answer::Voice;
pub(crate) use facts::Card;
#[cfg(feature = "llama")]
pub(crate) use facts::FileFacts;
use request::{Ask, read_chat, read_generate, read_name};

use crate::VERSION;
use crate::model::{Fault, Reader, Sampling};
use crate::schedule::{Event, Job, Queue};

/// Far above what fits in the context of any model in the table.
const BODY_MAX_BYTES: usize = 8 << 20;

/// Everything a request needs; one for the whole process.
pub(crate) struct Api {
    pub(crate) reader: Arc<dyn Reader>,
    pub(crate) queue: Queue,
    pub(crate) card: Card,
}

impl Api {
    pub(crate) async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Answer>, Infallible> {
        let (parts, body) = request.into_parts();
        if !from_this_machine(&parts.headers) {
            return Ok(answer::empty(StatusCode::FORBIDDEN));
        }
        let path = parts.uri.path();
        let get = parts.method == Method::GET || parts.method == Method::HEAD;
        let post = parts.method == Method::POST;
        let done = match path {
            "/" if get => Ok(answer::plain(StatusCode::OK, "Gatehouse engine is running")),
            "/api/version" if get => Ok(answer::json(&serde_json::json!({ "version": VERSION }))),
            "/api/tags" if get => Ok(answer::json(&self.card.tags(self.reader.facts()))),
            "/api/ps" if get => Ok(answer::json(&self.card.resident(self.reader.facts()))),
            "/api/show" if post => self.show(body).await,
            "/api/chat" if post => self.chat(body).await,
            "/api/generate" if post => self.generate(body).await,
            "/api/embed" | "/api/embeddings" if post => self.embed(body).await,
            "/" | "/api/version" | "/api/tags" | "/api/ps" | "/api/show" | "/api/chat" | "/api/generate"
            | "/api/embed" | "/api/embeddings" => {
                Ok(answer::plain(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed"))
            }
            _ => Ok(answer::plain(StatusCode::NOT_FOUND, "404 page not found")),
        };
        Ok(done.unwrap_or_else(|fault| answer::fault(&fault)))
    }

    async fn show(&self, body: Incoming) -> Result<Response<Answer>, Fault> {
        let name = read_name(&collect(body).await?)?;
        self.known(&name)?;
        Ok(answer::json(&self.card.show(self.reader.facts())))
    }

    async fn chat(self: &Arc<Self>, body: Incoming) -> Result<Response<Answer>, Fault> {
        let arrived = Instant::now();
        let ask = read_chat(&collect(body).await?)?;
        self.answer(ask, Voice::chat, arrived).await
    }

    async fn generate(self: &Arc<Self>, body: Incoming) -> Result<Response<Answer>, Fault> {
        let arrived = Instant::now();
        let ask = read_generate(&collect(body).await?)?;
        self.answer(ask, Voice::generate, arrived).await
    }

    /// Vectors of a model that was trained to chat would look right and find nothing.
    async fn embed(&self, body: Incoming) -> Result<Response<Answer>, Fault> {
        let name = read_name(&collect(body).await?)?;
        self.known(&name)?;
        Err(Fault::caller(format!("\"{name}\" does not support embeddings")))
    }

    async fn answer(
        self: &Arc<Self>,
        ask: Ask,
        voice: fn(String, Instant) -> Voice,
        arrived: Instant,
    ) -> Result<Response<Answer>, Fault> {
        self.known(&ask.model)?;
        ask.check_capabilities()?;
        let voice = voice(ask.model.clone(), arrived);
        if ask.only_loads() {
            return Ok(answer::bytes(voice.loaded(self.card.load)));
        }
        let stream = ask.stream;
        let mut events = self.begin(ask, arrived).await?;
        if !stream {
            return Ok(answer::bytes(voice.whole(&mut events).await?));
        }
        match events.recv().await {
            Some(Event::Failed(fault)) => Err(fault),
            Some(first) => Ok(answer::lines(voice, first, events)),
            None => Err(Fault::ours("model runner has unexpectedly stopped")),
        }
    }

    /// Takes a place, turns the request into tokens away from the network threads, and hands the job in.
    async fn begin(self: &Arc<Self>, ask: Ask, arrived: Instant) -> Result<mpsc::Receiver<Event>, Fault> {
        let place = self.queue.enter()?;
        let api = Arc::clone(self);
        let prepare = move || {
            let context =
                ask.context_tokens.map_or(api.card.context_tokens, |c| c.min(api.card.context_tokens));
            let grammar = ask.schema.as_deref().map(|s| api.reader.grammar(s)).transpose()?;
            let prompt = api.reader.tokens(&ask.words.prompt(api.reader.as_ref())?);
            fits(prompt.len(), context)?;
            let (out, events) = Job::channel(context);
            let sampling = Sampling { grammar, ..ask.sampling };
            let job = Job {
                prompt,
                sampling,
                stops: ask.stops,
                max_tokens: ask.max_tokens,
                context,
                out,
                arrived,
                place,
            };
            api.queue.submit(job)?;
            Ok(events)
        };
        tokio::task::spawn_blocking(prepare)
            .await
            .map_err(|_| Fault::ours("the prompt could not be prepared"))?
    }

    fn known(&self, name: &str) -> Result<(), Fault> {
        if name.is_empty() {
            return Err(Fault::caller("model is required"));
        }
        if self.card.is_named(name) {
            return Ok(());
        }
        Err(Fault { status: StatusCode::NOT_FOUND, text: format!("model '{name}' not found") })
    }
}

/// Refused before anything runs: this engine never drops the beginning of a conversation in silence.
fn fits(prompt_tokens: usize, context: usize) -> Result<(), Fault> {
    match prompt_tokens {
        0 => Err(Fault::caller("the prompt is empty")),
        n if n >= context => Err(Fault::caller(format!(
            "the prompt is longer than the context length currently available: {n} tokens, and {context} fit with an answer"
        ))),
        _ => Ok(()),
    }
}

/// A name that resolves to this machine, and no page of another site (which would state its origin).
fn from_this_machine(headers: &HeaderMap) -> bool {
    if headers.contains_key(header::ORIGIN) {
        return false;
    }
    let Some(host) = headers.get(header::HOST) else { return true };
    let Some(authority) = host.to_str().ok().and_then(|h| h.parse::<http::uri::Authority>().ok()) else {
        return false;
    };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

async fn collect(body: Incoming) -> Result<Bytes, Fault> {
    match Limited::new(body, BODY_MAX_BYTES).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(e) if e.is::<http_body_util::LengthLimitError>() => {
            Err(Fault { status: StatusCode::PAYLOAD_TOO_LARGE, text: "request body too large".into() })
        }
        Err(_) => Err(Fault::caller("the request body did not arrive whole")),
    }
}

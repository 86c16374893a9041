//! Chats, completions and vectors: from a request that was read to a body that streams, or to a whole answer.
//!
//! Why here: what a chat needs beyond other requests is decided in this order: may its text pass, who could run it, does
//! it fit the model's context, what may it cost, what will each of its targets be sent. Then it waits (`wait`), is sent
//! (`attempt`), and flows (`relay`).
//!
//! Never here: dialects' bytes (`wire`), what happens after the first event (`relay`).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use tokio::time::sleep;
use wire::{Estimate, Fault, Format, ModelRequest, Operation, Outbound, Reply, Verdict};

use super::attempt::Answered;
use super::job::{Job, Seat, Way};
use super::{Known, attempt, head};
use crate::Core;
use crate::error::{Error, ErrorRender};
use crate::exchange::Exchange;
use crate::limit;
use crate::progress::{self, Stage};
use crate::relay::{self, Body, Opening};
use crate::route::{Pool, Target};
use crate::routes::Route;
use crate::snapshot::Snapshot;

/// One event of an upstream's stream is this large at most.
const LINE_BYTES_MAX: usize = 8 << 20;
/// How long a stream may be silent before its head is sent and comments keep it open: early failures keep their status,
/// and the shortest idle limits of proxies (30 s and more) are met.
const GRACE: Duration = Duration::from_secs(25);
/// The first release of Ollama with a word for the most thinking.
const MOST_THINKING: &str = "0.22";
/// What an answer without a cap is taken for when work is shared out.
const ANSWER_TOKENS_GUESS: u64 = 512;

/// Reads the caller's request and checks what needs no upstream.
pub(super) fn read<'a>(
    snapshot: &Snapshot,
    route: &Route,
    body: &'a [u8],
    exchange: &mut Exchange,
) -> Result<ModelRequest<'a>, Error> {
    let mut request = wire::read_request(route.format, route.operation, body, &snapshot.read_limits)?;
    let chars = request.prompt_chars();
    exchange.asked(request.model(), chars, request.stream());
    let max = snapshot.config.input.prompt_chars_max;
    if chars > max {
        return Err(Error::PromptTooLong { max });
    }
    let looks_at_answers = snapshot.filter.as_ref().is_some_and(|filter| filter.looks_at_answers());
    if request.stream() && request.choices() > 1 && looks_at_answers {
        // Rules are held against one text at a time; several in turns would let a match pass between them.
        return Err(unsupported("n").into());
    }
    if let Some(filter) = snapshot.filter.as_ref().filter(|filter| filter.looks_at_prompts()) {
        let findings = exchange.findings(filter);
        if request.screen(&mut *filter.prompt(&findings)) == Verdict::Stop {
            return Err(Error::Filtered);
        }
    }
    Ok(request)
}

/// How many tokens it would be, as far as that can be known without its model's tokenizer.
pub(super) fn count(format: Format, request: &ModelRequest<'_>) -> Bytes {
    let mut out = Vec::with_capacity(32);
    wire::write_token_count(format, request.counted_tokens(), &mut out);
    out.into()
}

/// Everything that is decided before the wait.
pub(super) async fn prepare(
    core: &Arc<Core>,
    mut known: Known,
    client: Format,
    request: ModelRequest<'_>,
    exchange: &mut Exchange,
) -> Result<Job, Error> {
    let snapshot = known.snapshot.clone();
    let config = &snapshot.config;
    let mut pool = known.snapshot.fleet.find(&config.models, &known.principal, request.model()).await?;
    let prompt = estimate(&snapshot, &pool, &request);
    exchange.estimated(prompt);
    fit_context(&mut pool, prompt.low, config.answer.truncate)?;

    let principal = &known.principal;
    let rule_cap = principal.output_tokens_max.or(config.answer.output_tokens_max);
    let choices = request.choices().max(1);
    // Vectors are no tokens.
    let writes = matches!(request.operation(), Operation::Chat | Operation::Complete);
    let cap = if writes { request.max_output_tokens() } else { Some(0) };
    let asked = cap.map(|cap| cap.saturating_mul(choices));
    // The limiter lowers it to what the key and the configuration allow.
    let ask = limit::Ask {
        principal,
        model: Some(&pool.counted),
        prompt_tokens: prompt.high,
        output_cap: asked,
        choices,
    };
    let reserved = known.charge(core, &ask, exchange)?;
    // A stream is counted and cut here; a whole answer can only be kept short by whoever writes it.
    let each = reserved.map(|all| (all / choices).max(1));
    let sent_cap = if request.stream() { rule_cap } else { each.into_iter().chain(rule_cap).min() };
    let ways = write(&known, &pool, client, &request, sent_cap).await?;
    known.hold(distinct_bytes(&ways));

    let seat = Seat {
        work: prompt.high.saturating_add(asked.or(reserved).unwrap_or(ANSWER_TOKENS_GUESS)),
        affinity: (ways.len() > 1).then(|| prefix(&known, &request)),
        queue_max: pool.queue_max,
        keep_alive: pool.keep_alive.as_deref().map(Arc::from),
        context_tokens: pool.context_tokens,
        model: pool.public.clone(),
    };
    let reply = Reply {
        id: head::random_hex(),
        model: pool.public.to_string(),
        include_usage: request.include_usage(),
        manner: request.manner(),
        // One dialect tells a count before the runtime has counted: the one that `count` gives.
        prompt_tokens: if client == Format::Anthropic { request.counted_tokens() } else { prompt.high },
        strip: config.answer.strip,
        created: head::unix_seconds(),
        reasoning_alias: config.answer.reasoning_alias,
        line_bytes_max: LINE_BYTES_MAX,
        output_tokens_max: reserved.or_else(|| rule_cap.map(|cap| cap.saturating_mul(choices))),
        output_bytes_max: None,
    };
    // A dialect without comments has no way to tell it.
    let asks_stage =
        request.stream() && client != Format::Ollama && known.headers.contains_key(progress::HEADER);
    Ok(Job {
        core: core.clone(),
        ways,
        seat,
        client,
        operation: request.operation(),
        reply,
        stream: request.stream(),
        stage: asks_stage.then(Stage::new),
        clocks: config.clocks,
        stop: core.stop.listen(),
        known,
    })
}

/// Bytes that a token of a usual prompt has.
const TOKEN_BYTES: u64 = 3;
/// Characters that no tokenizer in use puts into one token of a usual prompt.
const TOKEN_CHARS_MAX: u64 = 32;

/// What the prompt will cost. Reading all of it once more is worth it only where a limit counts tokens, or where it may not
/// fit; elsewhere its length will do.
fn estimate(snapshot: &Snapshot, pool: &Pool, request: &ModelRequest<'_>) -> Estimate {
    let bytes = request.prompt_bytes();
    let may_not_fit = pool.targets.iter().any(|target| bytes > pool.context_of(target).unwrap_or(u64::MAX));
    if may_not_fit || snapshot.limits.count_tokens() {
        return request.prompt_tokens();
    }
    let chars = u64::try_from(request.prompt_chars()).unwrap_or(u64::MAX);
    Estimate { low: chars / TOKEN_CHARS_MAX, high: bytes / TOKEN_BYTES }
}

/// Leaves out targets that the chat surely does not fit; where it fits none, it is refused before it waits, with the numbers.
fn fit_context(pool: &mut Pool, prompt_tokens: u64, may_truncate: bool) -> Result<(), Error> {
    if may_truncate {
        return Ok(());
    }
    let own = pool.context_tokens;
    // Where a context is not known, the runtime has the last word.
    let of =
        |target: &Target| own.or_else(|| target.runner.context_tokens(&target.internal)).unwrap_or(u64::MAX);
    let context_tokens = pool.targets.iter().map(of).max().unwrap_or(u64::MAX);
    if prompt_tokens > context_tokens {
        return Err(Error::ContextExceeded { prompt_tokens, context_tokens });
    }
    pool.targets.retain(|target| prompt_tokens <= of(target));
    Ok(())
}

/// Writes the request for every target that can say it; those that cannot are left out.
async fn write(
    known: &Known,
    pool: &Pool,
    client: Format,
    request: &ModelRequest<'_>,
    output_tokens_max: Option<u64>,
) -> Result<Vec<Way>, Error> {
    let mut ways: Vec<Way> = Vec::with_capacity(pool.targets.len());
    let mut first_fault = None;
    for target in &pool.targets {
        match way(known, pool, target, client, request, output_tokens_max, &ways).await {
            Ok(way) => ways.push(way),
            Err(fault) => first_fault = first_fault.or(Some(fault)),
        }
    }
    match first_fault {
        Some(fault) if ways.is_empty() => Err(fault.into()),
        _ => Ok(ways),
    }
}

/// What all bodies take together; twins share one.
fn distinct_bytes(ways: &[Way]) -> usize {
    let first = |(place, way): &(usize, &Way)| {
        ways.iter().position(|other| other.body.as_ptr() == way.body.as_ptr()) == Some(*place)
    };
    ways.iter().enumerate().filter(first).map(|(_, way)| way.body.len()).sum()
}

async fn way(
    known: &Known,
    pool: &Pool,
    target: &Target,
    client: Format,
    request: &ModelRequest<'_>,
    output_tokens_max: Option<u64>,
    written: &[Way],
) -> Result<Way, Fault> {
    let upstream = &target.runner;
    let thinks = if request.wants_thinking() { upstream.thinks(&target.internal).await } else { None };
    let thinks_max = upstream.is_since(MOST_THINKING);
    let same = |way: &&Way| {
        let other = &way.target;
        other.runner.format == upstream.format
            && other.internal == target.internal
            && way.thinks == thinks
            && other.runner.is_since(MOST_THINKING) == thinks_max
    };
    if let Some(twin) = written.iter().find(same) {
        let Way { cell, body, dropped, .. } = twin;
        let (body, dropped) = (body.clone(), dropped.clone());
        return Ok(Way { target: target.clone(), thinks, cell: *cell, body, dropped });
    }
    let answer = &known.snapshot.config.answer;
    let writes = matches!(request.operation(), Operation::Chat | Operation::Complete);
    let cell =
        wire::cell(client, upstream.format, request.operation()).ok_or_else(|| unsupported("model"))?;
    let to = Outbound {
        model: &target.internal,
        thinks,
        thinks_max,
        sampling_defaults: !answer.model_sampling_defaults,
        options: &known.principal.options,
        num_ctx: pool.context_tokens,
        keep_alive: pool.keep_alive.as_deref(),
        lenient_tool_choice: answer.lenient_tool_choice,
        output_tokens_max: output_tokens_max.filter(|_| writes),
        refuse_truncation: !answer.truncate,
    };
    let mut body = Vec::with_capacity(1 << 10);
    let dropped = wire::write_request(cell, request, &to, &mut body)?;
    if let Some(field) = dropped.first().filter(|_| known.principal.strict) {
        return Err(unsupported(field));
    }
    Ok(Way { target: target.clone(), thinks, cell, body: body.into(), dropped })
}

pub(super) fn unsupported(field: &str) -> Fault {
    // Names that nobody here knows are not repeated.
    if field == "(unknown)" {
        let message = "the request has a field that is not known here, and a strict key sends none of these";
        return Fault { code: "unsupported_parameter", param: None, message: message.to_owned() };
    }
    Fault {
        code: "unsupported_parameter",
        param: Some(field.to_owned().into()),
        message: format!("'{field}' is not supported by this model's server"),
    }
}

/// What stays the same while a conversation grows, and whose it is: its next turn finds its cache where this one ran.
fn prefix(known: &Known, request: &ModelRequest<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    known.principal.key_id.hash(&mut hasher);
    known.principal.user.hash(&mut hasher);
    request.opening(&mut |text| text.hash(&mut hasher));
    hasher.finish()
}

/// Runs the job. A dropped future is a client that left: the exchange and the permit go with it.
pub(super) async fn serve(job: Job, mut exchange: Exchange) -> Response<Body> {
    if job.stream {
        return stream(job, exchange).await;
    }
    match attempt::whole(&job, &mut exchange).await {
        Ok(answered) => {
            let Answered { bytes, memory, metered } = answered;
            head::answered(relay::unsent(bytes, memory), exchange, metered)
        }
        Err(error) => head::refusal(&error, exchange),
    }
}

/// Streams: the head goes out with the first event, or before it if the caller asked to be told, or the wait grows long.
async fn stream(job: Job, exchange: Exchange) -> Response<Body> {
    let mut headers = HeaderMap::new();
    exchange.headers(&mut headers);
    let (heartbeat, stage, client) = (job.clocks.heartbeat, job.stage.clone(), job.client);
    let errors = ErrorRender { format: client, ..exchange.errors() };
    let told = wire::Opening::new(client, job.operation, job.reply.clone());
    let mut opening: Opening = Box::pin(open(job, exchange));
    if stage.is_none() {
        tokio::select! {
            biased;
            (opened, exchange) = &mut opening => return match opened {
                Ok(flow) => head::stream(client, headers, Body::flowing(flow, exchange)),
                Err(error) => head::refusal(&error, exchange),
            },
            () = sleep(GRACE) => {}
        }
    }
    head::stream(client, headers, Body::opening(opening, stage, told, errors, heartbeat))
}

async fn open(job: Job, mut exchange: Exchange) -> (Result<crate::relay::Flow, Error>, Exchange) {
    let opened = attempt::stream(&job, &mut exchange).await;
    (opened, exchange)
}

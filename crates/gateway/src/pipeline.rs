//! The one function a request walks, and the order of its stages.
//!
//! Why here: every safety property of the gateway is a statement about order: nobody is charged before he is known, nobody
//! queues before he is charged, nothing is sent before it was read whole and written anew. Stages never call each other;
//! they are called here, and each takes the proof that the one before it made.
//!
//! Never here: how a stage decides.

mod attempt;
mod chat;
mod head;
mod job;
mod load;
mod manage;
mod models;
mod unpack;
mod usage;
mod wait;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use hyper::body::{Body as _, Incoming};
use wire::{Manage, Operation};

use crate::Core;
use crate::allow::Client;
use crate::auth::Principal;
use crate::budget::Held;
use crate::error::{Error, ErrorRender};
use crate::exchange::Exchange;
use crate::guard::Conn;
use crate::limit;
use crate::openapi;
use crate::relay::{Body, Flow};
use crate::routes::{self, Access, Match, Route};
use crate::snapshot::Snapshot;

pub use head::internal_error;

/// Who asks, from where, under which configuration.
struct Known {
    snapshot: Arc<Snapshot>,
    principal: Principal,
    headers: HeaderMap,
    _client: Client,
    /// What its body takes of the memory for buffers, for as long as it lives: it is held to be sent.
    held: Held,
}

impl Known {
    fn of(snapshot: &Arc<Snapshot>, principal: Principal, head: Head, client: Client, held: Held) -> Self {
        Self { snapshot: snapshot.clone(), principal, headers: head.headers, _client: client, held }
    }

    /// Counts the request against its limits; what it may write, where a limit says so. The exchange gives the charge
    /// back or settles it.
    fn charge(
        &self,
        core: &Core,
        ask: &limit::Ask<'_>,
        exchange: &mut Exchange,
    ) -> Result<Option<u64>, Error> {
        let now = tokio::time::Instant::now();
        let charge = core.limiter.charge(&self.snapshot.limits, ask, now).map_err(Error::RateLimited)?;
        // A caller's own cap is the runtime's business; where tokens are counted, it is ours.
        let output_max = charge.standings().tokens.and(charge.output_max());
        exchange.charged(charge);
        Ok(output_max)
    }

    /// The caller's body has been written anew for each target; those are what is held from now on.
    fn hold(&mut self, bytes: usize) {
        self.held.own_up_to(bytes);
    }

    /// The same for a request that no model works on.
    fn charge_listing(&self, core: &Core, exchange: &mut Exchange) -> Result<(), Error> {
        let ask = limit::Ask {
            principal: &self.principal,
            model: None,
            prompt_tokens: 0,
            output_cap: None,
            choices: 1,
        };
        self.charge(core, &ask, exchange).map(drop)
    }
}

/// From a parsed head to a response whose body settles the rest.
pub async fn serve(core: &Arc<Core>, conn: &Conn, request: Request<Incoming>) -> Response<Body> {
    let peer = conn.peer.ip();
    let snapshot = core.snapshot();
    // Also what is refused before its path is looked at is told in its dialect.
    let dialect = routes::dialect(request.uri().path(), request.headers());
    let errors = ErrorRender {
        format: snapshot.config.error_format.unwrap_or(dialect),
        operation: Operation::Chat,
        bare: snapshot.config.error_format.is_some(),
    };
    let id = head::request_id(&snapshot.addresses, peer, request.headers());
    let slot = match core.audit.reserve() {
        Ok(slot) => slot,
        // Without a record nothing is served; there is no exchange to settle.
        Err(error) => return head::unrecorded(&error, errors, &id),
    };
    let mut exchange = Exchange::begin(id, core.metrics.clone(), slot, errors);
    let (parts, body) = request.into_parts();
    exchange.arrived(peer, &parts.method, &parts.headers);
    let mut body = Some(body);
    let walked = walk(core, &snapshot, conn, parts, &mut body, &mut exchange).await;
    match walked {
        Ok(Step::Work(job)) => chat::serve(*job, exchange).await,
        Ok(Step::Whole(bytes)) => head::whole(bytes, exchange),
        Ok(Step::Text(words)) => head::text(words, exchange),
        Ok(Step::Flow(flow)) => {
            let mut headers = HeaderMap::new();
            exchange.headers(&mut headers);
            head::stream(flow.client, headers, Body::flowing(*flow, exchange))
        }
        Err(error) => {
            let mut response = head::refusal(&error, exchange);
            if body.is_some_and(|unread| !unread.is_end_stream()) {
                head::close_after(&mut response);
            }
            response
        }
    }
}

/// Where the common way ends.
enum Step {
    Whole(Bytes),
    Text(&'static str),
    Flow(Box<Flow>),
    Work(Box<job::Job>),
}

/// The stages that every request has in common, then the operation's own.
async fn walk(
    core: &Arc<Core>,
    snapshot: &Arc<Snapshot>,
    conn: &Conn,
    parts: http::request::Parts,
    body: &mut Option<Incoming>,
    exchange: &mut Exchange,
) -> Result<Step, Error> {
    let (head, path) = head::sound(conn, parts, &snapshot.config.input)?;
    let found = routes::find(&head.method, &path, &head.headers);
    let format = routes::dialect(&path, &head.headers);
    if let Ok(found) = &found {
        exchange.routed(found.route);
    }
    let client = snapshot.addresses.client(conn.peer.ip(), &head.headers)?;
    exchange.arrived(client.address, &head.method, &head.headers);
    let open = matches!(&found, Ok(Match { route, .. }) if route.access == Access::Open);
    let principal =
        if open { snapshot.keys.nobody() } else { snapshot.keys.identify(&head.headers, format)? };
    if !open {
        exchange.identified(&principal);
    }
    // Only callers with a key are told which paths exist.
    let Match { route, name } = found?;
    exchange.speaks(route.format, snapshot.config.error_format);
    granted(route, &principal)?;
    let name = name.unwrap_or_default();
    if route.operation == Operation::Manage(Manage::Blobs) {
        let known = Known::of(snapshot, principal, head, client, core.budget.hold());
        return manage::blob(core, &known, route, &name, body, exchange).await.map(Step::Whole);
    }
    let body = head::read_body(&head, route.format, body, &snapshot.config.input, &core.budget).await?;
    let head::Whole { bytes: body, held } = body;
    let known = Known::of(snapshot, principal, head, client, held);
    serve_operation(core, known, route, &name, &body, exchange).await
}

/// What a route is for.
async fn serve_operation(
    core: &Arc<Core>,
    known: Known,
    route: &Route,
    name: &str,
    body: &Bytes,
    exchange: &mut Exchange,
) -> Result<Step, Error> {
    let snapshot = &known.snapshot.clone();
    let format = route.format;
    let whole = match route.operation {
        Operation::Chat | Operation::Complete | Operation::Embed | Operation::EmbedOne => {
            let request = chat::read(snapshot, route, body, exchange)?;
            if !request.is_load() {
                let job = chat::prepare(core, known, format, request, exchange).await?;
                return Ok(Step::Work(Box::new(job)));
            }
            load::serve(core, &known, &request, exchange).await?
        }
        Operation::CountTokens => {
            let request = chat::read(snapshot, route, body, exchange)?;
            known.charge_listing(core, exchange)?;
            chat::count(format, &request)
        }
        Operation::ListModels => {
            known.charge_listing(core, exchange)?;
            models::list(&known, format).await?
        }
        Operation::RetrieveModel => {
            known.charge_listing(core, exchange)?;
            if name.is_empty() {
                models::retrieve_named(&known, format, body, exchange).await?
            } else {
                exchange.asked(name, 0, false);
                models::retrieve(&known, format, name).await?
            }
        }
        Operation::ListResident => {
            known.charge_listing(core, exchange)?;
            models::list_resident(&known).await?
        }
        // Whoever has used up his limits may still ask what they are, and whether somebody is there.
        Operation::Usage => usage::show(core, &known),
        Operation::Version => models::version(&known),
        Operation::Greet => return Ok(Step::Text("Ollama is running")),
        Operation::Describe => openapi::document(),
        Operation::Manage(which) => match manage::serve(core, &known, route, which, body, exchange).await? {
            manage::Done::Whole(bytes) => bytes,
            manage::Done::Streams(flow) => return Ok(Step::Flow(flow)),
        },
    };
    Ok(Step::Whole(whole))
}

/// Before a byte of the body is read: what a key may not do costs nothing.
fn granted(route: &Route, principal: &Principal) -> Result<(), Error> {
    match route.operation {
        Operation::Manage(Manage::Other) => Err(Error::NotServed),
        Operation::Manage(what) if !principal.may_manage(what) => Err(Error::NotGranted),
        _ => Ok(()),
    }
}

/// What the stages need of a head once it is sound.
struct Head {
    method: Method,
    headers: HeaderMap,
}

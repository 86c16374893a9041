//! The listener for operators: health, readiness, metrics.
//!
//! Why here: it answers on a socket of its own, on loopback unless configured otherwise, so that no edge can pass it on by
//! mistake and no key can open it.
//!
//! Never here: anything that changes the gateway.

mod views;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::Core;
use crate::stop::Phase;
use crate::upstream::Health;

/// Scrapers and probes, not users.
const CONNECTIONS_MAX: usize = 64;
const HEADER_TIME: Duration = Duration::from_secs(5);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until the process has drained: readiness has to be told while it does.
pub async fn run(core: Arc<Core>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    let mut cut = core.stop.listen().reached(Phase::Cut);
    loop {
        tokio::select! {
            () = &mut cut => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    let core = core.clone();
                    let service = service_fn(move |request| answer(core.clone(), request));
                    let serving = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .header_read_timeout(HEADER_TIME)
                        .keep_alive(false)
                        .serve_connection(TokioIo::new(stream), service);
                    connections.spawn(async move { drop(serving.await) });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
}

async fn answer(core: Arc<Core>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::GET {
        return Ok(text(StatusCode::METHOD_NOT_ALLOWED, "GET only\n".into()));
    }
    Ok(match request.uri().path() {
        "/healthz" => text(StatusCode::OK, "ok\n".into()),
        "/readyz" => ready(&core),
        "/metrics" => metrics(&core),
        "/queue" => json(&views::queues(&core)),
        "/upstreams" => json(&views::upstreams(&core)),
        _ => text(StatusCode::NOT_FOUND, "see /healthz, /readyz, /metrics, /queue, /upstreams\n".into()),
    })
}

/// Ready: not stopping, the audit log can be written, and at least one upstream is alive.
fn ready(core: &Core) -> Response<Full<Bytes>> {
    let snapshot = core.snapshot();
    let alive = snapshot.fleet.upstreams().any(|upstream| upstream.health() == Health::Closed);
    let mut missing = String::new();
    if core.stop.listen().phase() != Phase::Run {
        missing.push_str("stopping\n");
    }
    if !alive {
        missing.push_str("no upstream answers\n");
    }
    if !core.audit.healthy() {
        missing.push_str("the audit log cannot be written\n");
    }
    if missing.is_empty() {
        text(StatusCode::OK, "ready\n".into())
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, missing)
    }
}

/// Gauges are read at the moment of asking, so nothing on a request's path keeps them.
pub(crate) fn metrics_text(core: &Core) -> String {
    let snapshot = core.snapshot();
    for upstream in snapshot.fleet.upstreams() {
        core.metrics.upstream_state(&upstream.name, upstream.health().code());
    }
    let queues = core.hall.view();
    core.metrics.queues(queues.iter().map(|queue| (&queue.model, queue.waiting.len())));
    core.metrics.buffered(core.budget.used());
    core.metrics.audit_state(&core.audit);
    let mut out = String::new();
    core.metrics.encode(&mut out);
    out
}

fn metrics(core: &Core) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::OK, metrics_text(core));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(crate::metrics::CONTENT_TYPE));
    response
}

fn json(value: &impl Serialize) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::OK, serde_json::to_string(value).unwrap_or_default());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

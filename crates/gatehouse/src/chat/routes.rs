//! The route table of the chat site.
//!
//! Why here: router, ownership tests and header tests are all made from this one list, so a route cannot be added
//! without being tested for who may use it.
//!
//! Never here: what a route does.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, patch, post};

use super::failure::ApiError;
use super::{Site, access, chats, headers, questions, rim};

/// Whose thing a route touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// The same for everybody.
    Public,
    /// The caller's own list.
    Mine,
    /// One chat: its owner only.
    Chat,
    /// One run: its owner only.
    Run,
}

pub(super) struct Route {
    pub method: &'static str,
    pub path: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "what the tests of ownership are made from"))]
    pub scope: Scope,
    handler: fn() -> MethodRouter<Arc<Site>>,
}

const fn route(
    method: &'static str,
    path: &'static str,
    scope: Scope,
    handler: fn() -> MethodRouter<Arc<Site>>,
) -> Route {
    Route { method, path, scope, handler }
}

pub(super) const ROUTES: &[Route] = &[
    route("GET", "/", Scope::Public, || get(rim::page)),
    route("GET", "/assets/{name}", Scope::Public, || get(rim::asset)),
    route("GET", "/health", Scope::Public, || get(rim::health)),
    route("GET", "/api/setup", Scope::Public, || get(rim::setup)),
    route("GET", "/api/models", Scope::Public, || get(rim::models)),
    route("GET", "/api/chats", Scope::Mine, || get(chats::list)),
    route("POST", "/api/chats", Scope::Mine, || post(chats::create)),
    route("GET", "/api/chats/{chat_id}", Scope::Chat, || get(chats::show)),
    route("PATCH", "/api/chats/{chat_id}", Scope::Chat, || patch(chats::change)),
    route("DELETE", "/api/chats/{chat_id}", Scope::Chat, || delete(chats::remove)),
    route("POST", "/api/chats/{chat_id}/messages", Scope::Chat, || post(questions::send)),
    route("POST", "/api/chats/{chat_id}/regenerate", Scope::Chat, || post(questions::regenerate)),
    route("GET", "/api/chats/{chat_id}/events", Scope::Chat, || get(questions::events)),
    route("POST", "/api/runs/{run_id}/stop", Scope::Run, || post(questions::stop)),
];

/// Methods and paths of the site, a name in braces standing for one segment.
pub(crate) fn paths() -> impl Iterator<Item = (&'static str, &'static str)> {
    ROUTES.iter().map(|route| (route.method, route.path))
}

pub(super) fn router(site: Arc<Site>) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        router = router.route(route.path, (route.handler)());
    }
    router
        .fallback(|| async { ApiError::not_found() })
        .method_not_allowed_fallback(rim::method_not_allowed)
        // Bodies are read, and bounded, by `rim::read_json` alone.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(Arc::clone(&site), guard))
        .with_state(site)
}

/// Around everything: refuses what a foreign page could have caused, and dresses every answer.
async fn guard(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let mut response = match access::check(&site.access, request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    headers::apply(response.headers_mut());
    response
}

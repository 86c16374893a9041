//! The port for plain HTTP: the CA's question, and the way to HTTPS for everybody else.
//!
//! Why here: whoever types a name without a scheme comes here first, and a CA asks nowhere else.
//!
//! Never here: a service. Nothing is read of a request but its head, and HSTS is not said where anybody could have said it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;

use super::rates::Addresses;
use super::refuse::Refusal;
use super::watch::Watch;
use super::{bounds, pass};
use crate::config::edge::Name;

const CHALLENGE: &str = "/.well-known/acme-challenge/";
/// Longer ones are not tokens.
const TOKEN_BYTES_MAX: usize = 256;

/// What the CA is to find, by token.
#[derive(Debug, Default)]
pub(crate) struct Challenges(Mutex<HashMap<String, String>>);

impl Challenges {
    fn all(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lays out an answer. False: there are too many, or the token is none.
    pub(super) fn lay(&self, token: &str, answer: String) -> bool {
        let mut all = self.all();
        let fits = is_token(token) && all.len() < bounds::NAMES;
        if fits {
            all.insert(token.to_owned(), answer);
        }
        fits
    }

    pub(super) fn clear(&self) {
        self.all().clear();
    }

    fn find(&self, path: &str) -> Option<String> {
        let token = path.strip_prefix(CHALLENGE).filter(|token| is_token(token))?;
        self.all().get(token).cloned()
    }
}

fn is_token(token: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    !token.is_empty() && token.len() <= TOKEN_BYTES_MAX && token.bytes().all(plain)
}

/// Who answers there.
pub(super) struct Plain {
    pub(super) names: Vec<Name>,
    /// Where HTTPS is reached from outside.
    pub(super) https_port: u16,
    pub(super) challenges: Arc<Challenges>,
    pub(super) dress: Vec<(HeaderName, HeaderValue)>,
}

impl Plain {
    /// `peer` and its rates count here as everywhere.
    pub(super) fn answer<B>(
        &self,
        addresses: &Arc<Addresses>,
        peer: IpAddr,
        watch: &Arc<Watch>,
        request: &Request<B>,
    ) -> Response<Full<Bytes>> {
        let sound = watch.is_sound(request.headers().len());
        let _serving = watch.serve();
        let mut response = match addresses.ask(peer) {
            Some(_place) if sound => self.decide(request),
            Some(_place) => Refusal::BadHead.answer(request.uri().path(), request.headers()),
            None => Refusal::TooMany.answer(request.uri().path(), request.headers()),
        };
        for (name, value) in &self.dress {
            response.headers_mut().insert(name, value.clone());
        }
        // Bodies are not read here, so nothing may follow one.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response.map(Full::new)
    }

    fn decide<B>(&self, request: &Request<B>) -> Response<Bytes> {
        let path = request.uri().path();
        let refused = |refusal: Refusal| refusal.answer(path, request.headers());
        if path.starts_with(CHALLENGE) {
            if !matches!(*request.method(), Method::GET | Method::HEAD) {
                return refused(Refusal::Method);
            }
            return self.challenges.find(path).map_or_else(|| refused(Refusal::NoPath), challenge);
        }
        self.redirect(request).unwrap_or_else(|| refused(Refusal::ForeignHost))
    }

    /// To the same name and path; `None` for a name that is not ours.
    fn redirect<B>(&self, request: &Request<B>) -> Option<Response<Bytes>> {
        // Absolute form would name a second host.
        let target = request.uri().authority().is_none().then(|| request.uri().path_and_query()).flatten()?;
        let host = pass::plain_host(request.headers(), &self.names)?;
        let port = if self.https_port == 443 { String::new() } else { format!(":{}", self.https_port) };
        let location = HeaderValue::try_from(format!("https://{host}{port}{target}")).ok()?;
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
        response.headers_mut().insert(LOCATION, location);
        Some(response)
    }
}

fn challenge(answer: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(answer));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

//! One request's way through the front, from its head to the head of its answer.
//!
//! Why here: the order of the checks is the text of [`Passage::decide`]: what costs least comes first, and nothing is asked of a
//! part behind before all of them have passed.
//!
//! Never here: TLS, connections, how anything is checked.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY};
use http::{HeaderMap, Method, Request, Response, Uri, Version};
use hyper::body::Incoming;
use ipnet::IpNet;
use tokio::sync::Semaphore;
use tokio::time::Duration;

use super::answer::{Answer, Held};
use super::head::{self, Told};
use super::hop::{self, Download, Upload, Way};
use super::paths::{self, Part};
use super::people::People;
use super::rates::Addresses;
use super::refuse::Refusal;
use super::watch::Watch;
use super::{bounds, request_id};
use crate::chat;
use crate::config::edge::Name;
use crate::edge::site::Site;

/// What every request is judged and sent on by.
pub(super) struct Passage {
    names: Vec<Name>,
    gateway: Way,
    page: Option<Page>,
    key_header: Option<HeaderName>,
    /// On every answer.
    dress: Vec<(HeaderName, HeaderValue)>,
    body_bytes_max: (u64, u64),
    patience: Duration,
    addresses: Arc<Addresses>,
    permits: Arc<Semaphore>,
}

struct Page {
    at: Way,
    /// Empty: everybody.
    allow: Vec<IpNet>,
    people: Option<Arc<People>>,
}

impl Passage {
    pub(super) fn new(
        site: &Site,
        gateway: Way,
        page: Option<SocketAddr>,
        people: Option<Arc<People>>,
        addresses: Arc<Addresses>,
    ) -> Self {
        let allow = site.page.as_ref().map(|page| page.allow.clone()).unwrap_or_default();
        Self {
            names: site.names.clone(),
            gateway,
            page: page.map(|at| Page { at: Way::Socket(at), allow, people }),
            key_header: site.key_header.clone(),
            dress: dress(site.hsts),
            body_bytes_max: (site.body_bytes_max as u64, site.body_bytes() as u64),
            patience: site.read_patience(),
            addresses,
            permits: Arc::new(Semaphore::new(bounds::REQUESTS)),
        }
    }

    /// Answers one request of a client at `peer`.
    pub(super) async fn answer(
        self: Arc<Self>,
        peer: IpAddr,
        watch: Arc<Watch>,
        request: Request<Incoming>,
    ) -> Result<Response<Answer>, Infallible> {
        let sound = watch.is_sound(request.headers().len());
        let mut held = Held { _serving: watch.serve(), _place: None, _permit: None };
        let id = request_id();
        let mut request = request.map(Upload::new);
        let (fate, version) = (request.body().fate(), request.version());
        let (is_head, path) = (request.method() == Method::HEAD, request.uri().path().to_owned());
        let headers = request.headers().clone();
        let outcome = match sound {
            true => self.decide(peer, request, &id, &mut held).await,
            false => {
                request.body_mut().abandon();
                Err(Refusal::BadHead)
            }
        };
        let unclear = outcome.as_ref().is_err_and(|refusal| refusal.is_unclear());
        let mut response = match outcome {
            Ok(response) => response.map(|body| Answer::passed(body, held)),
            Err(refusal) => {
                tracing::debug!(%peer, path, ?refusal, "refused");
                refusal.answer(&path, &headers).map(|body| {
                    let body = if is_head { Bytes::new() } else { body };
                    Answer::own(body, held)
                })
            }
        };
        head::homeward(response.headers_mut(), &self.dress, &id);
        if version < Version::HTTP_2 && (unclear || fate.runs()) {
            // What was not read to its end, or could be read in two ways, must not be taken for the next request.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }

    async fn decide(
        &self,
        peer: IpAddr,
        request: Request<Upload>,
        id: &HeaderValue,
        held: &mut Held,
    ) -> Result<Response<Download>, Refusal> {
        held._place = Some(self.addresses.ask(peer).ok_or(Refusal::TooMany)?);
        let (mut parts, body) = request.into_parts();
        let host = head::host(&parts, &self.names)?;
        let part = paths::part(parts.uri.path()).ok_or(Refusal::NoPath)?;
        let way = self.way(part, peer, &parts.headers).await?;
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| Refusal::Crowded)?;
        held._permit = Some(permit);
        let (bytes_max, announced) = self.body_bytes_max(part);
        let upload = body.bounded(bytes_max, announced)?;
        head::onward(
            &mut parts.headers,
            &Told { client: peer, host, id, part, key_header: self.key_header.as_ref() },
        );
        // Byte for byte as it came: the parts behind compare it themselves.
        parts.uri = origin_form(&parts.uri)?;
        parts.version = Version::HTTP_11;
        parts.extensions.clear();
        hop::send(way, Request::from_parts(parts, upload), self.patience).await
    }

    /// For a body of unknown length, and for one that is announced.
    fn body_bytes_max(&self, part: Part) -> (u64, u64) {
        match part {
            Part::Gateway => self.body_bytes_max,
            Part::Page => (chat::BODY_BYTES_MAX as u64, chat::BODY_BYTES_MAX as u64),
        }
    }

    /// The way to the part, for those who may ask it.
    async fn way(&self, part: Part, peer: IpAddr, headers: &HeaderMap) -> Result<&Way, Refusal> {
        let page = match part {
            Part::Gateway => return Ok(&self.gateway),
            Part::Page => self.page.as_ref().ok_or(Refusal::NoPath)?,
        };
        let peer = peer.to_canonical();
        if !page.allow.is_empty() && !page.allow.iter().any(|net| net.contains(&peer)) {
            return Err(Refusal::PageClosed);
        }
        if let Some(people) = &page.people {
            people.admit(headers).await?;
        }
        Ok(&page.at)
    }
}

fn origin_form(uri: &Uri) -> Result<Uri, Refusal> {
    let target = uri.path_and_query().ok_or(Refusal::BadHead)?.clone();
    Ok(Uri::from(target))
}

/// The page's own security headers, and that this name is spoken to over TLS only.
fn dress(hsts: Option<Duration>) -> Vec<(HeaderName, HeaderValue)> {
    let mut all = security_headers();
    if let Some(age) = hsts {
        let value = HeaderValue::try_from(format!("max-age={}", age.as_secs()));
        all.extend(value.map(|value| (STRICT_TRANSPORT_SECURITY, value)));
    }
    all
}

pub(super) fn security_headers() -> Vec<(HeaderName, HeaderValue)> {
    chat::security_headers()
        .filter_map(|(name, value)| Some((name.parse().ok()?, HeaderValue::from_static(value))))
        .collect()
}

/// The host of a request on the port for plain HTTP.
pub(super) fn plain_host(headers: &HeaderMap, names: &[Name]) -> Option<String> {
    let mut hosts = headers.get_all(HOST).iter();
    let (host, None) = (hosts.next()?, hosts.next()) else { return None };
    let bare = head::without_port(host.to_str().ok()?);
    names.iter().find(|name| name.as_str().eq_ignore_ascii_case(bare)).map(|name| name.as_str().to_owned())
}

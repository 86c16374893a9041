//! The same requests over HTTP/2.
//!
//! Why here: browsers and most SDKs speak it, and a stream that arrives in pieces on one version may arrive whole on the
//! other.
//!
//! Never here: several requests on one connection.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::{Instant, timeout_at};

use super::door::{Door, Sni, Trouble};
use super::http1::{Answer, Request};

const BODY_BYTES_MAX: usize = 4 << 20;

/// One request on a connection of its own; refused when the server does not choose HTTP/2.
pub(crate) async fn ask(door: &Door, request: &Request, patience: Duration) -> Result<Answer, Trouble> {
    let open = door.tls(Sni::Own, &[b"h2"], rustls::ALL_VERSIONS, None).await?;
    if open.wire.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(Trouble::Handshake("the server does not choose HTTP/2".to_owned()));
    }
    door.time().await;
    let late = Instant::now() + patience;
    let asked = async {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(open.wire)).await?;
        let driver = tokio::spawn(connection);
        let answer = exchange(&mut sender, door, request).await;
        driver.abort();
        answer
    };
    let answer = timeout_at(late, asked).await.map_err(|_| Trouble::Late)?;
    answer.map_err(|error| match error.is_closed() || error.is_incomplete_message() {
        true => Trouble::Closed,
        false => Trouble::Broken(std::io::Error::other(error)),
    })
}

async fn exchange(
    sender: &mut hyper::client::conn::http2::SendRequest<Full<Bytes>>,
    door: &Door,
    request: &Request,
) -> Result<Answer, hyper::Error> {
    let (method, target, headers, body) = request.parts();
    let mut out = http::Request::builder().method(method).uri(format!("{}{target}", door.origin()));
    for (name, value) in headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("content-length")) {
        out = out.header(name.as_str(), value.as_str());
    }
    // What is sent this way is written by the check itself; a head that cannot be built is asked as an empty one.
    let out = out.body(Full::new(Bytes::copy_from_slice(body))).unwrap_or_default();
    let began = Instant::now();
    let response = sender.send_request(out).await?;
    let mut answer = Answer { status: response.status().as_u16(), ..Answer::default() };
    let value = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    answer.headers = response.headers().iter().map(|(n, v)| (n.as_str().to_owned(), value(v))).collect();
    answer.pieces.push((began.elapsed(), 0));
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if !data.is_empty() {
            answer.pieces.push((began.elapsed(), data.len()));
        }
        answer.body.extend_from_slice(&data);
        if answer.body.len() > BODY_BYTES_MAX {
            break;
        }
    }
    Ok(answer)
}

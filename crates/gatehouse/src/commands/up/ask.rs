//! One short question to a server on this machine.
//!
//! Why here: `up` has to know whether Ollama is there, which models it has, and whether the engine still answers. A
//! client with pools and redirects would be too much for that.
//!
//! Never here: other hosts, TLS, keys.

use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

/// On this machine; who does not answer within this is not there.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// A list of models is shorter; what is longer is not what was asked for.
const BODY_BYTES_MAX: usize = 4 << 20;

/// The body of a 200 answer to `GET path`, or `None` for everything else within the time.
pub(super) async fn get(authority: &str, path: &str, patience: Duration) -> Option<Bytes> {
    tokio::time::timeout(patience, exchange(authority, path)).await.ok()?.ok()?
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

/// The version, which only something that speaks Ollama's API has.
pub(super) async fn version(authority: &str) -> Option<String> {
    let body = get(authority, "/api/version", PATIENCE).await?;
    let version = serde_json::from_slice::<Version>(&body).ok()?.version;
    Some(version.chars().filter(|c| c.is_ascii_graphic()).take(40).collect())
}

async fn exchange(authority: &str, path: &str) -> anyhow::Result<Option<Bytes>> {
    let stream = TcpStream::connect(authority).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path).header(HOST, authority).body(Empty::<Bytes>::new())?;
    let asked = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        anyhow::Ok((status == StatusCode::OK).then_some(body))
    };
    tokio::pin!(asked, connection);
    // The connection has to be driven while the answer is awaited, and ends with it.
    tokio::select! {
        answer = &mut asked => answer,
        ended = &mut connection => {
            ended?;
            asked.await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn answered_with(response: &'static str) -> Option<Bytes> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1_024];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(response.as_bytes()).await.unwrap();
        };
        tokio::join!(get(&address, "/api/version", Duration::from_secs(5)), server).0
    }

    #[tokio::test]
    async fn only_a_good_answer_counts() {
        let good = answered_with("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await;
        assert_eq!(good.as_deref(), Some(&b"hi"[..]));
        for bad in [
            "HTTP/1.1 404 No\r\ncontent-length: 2\r\n\r\nhi",
            "SSH-2.0-x\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi",
        ] {
            assert_eq!(answered_with(bad).await, None, "{bad}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_no_answer() {
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
        assert_eq!(get(&address, "/", Duration::from_secs(5)).await, None);
    }
}

//! One short question to a model runtime.
//!
//! Why here: `up` and `init` have to know whether Ollama is there and which models it has, and `up` whether the engine
//! still answers. A client with pools and redirects would be too much for that.
//!
//! Never here: TLS, keys.

use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

/// On this machine or beside it; who does not answer within this is not there.
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
    read_version(&get(authority, "/api/version", PATIENCE).await?)
}

/// The version in an answer to `/api/version`, fit for a screen.
pub(super) fn read_version(body: &[u8]) -> Option<String> {
    let version = serde_json::from_slice::<Version>(body).ok()?.version;
    Some(version.chars().filter(|c| c.is_ascii_graphic()).take(40).collect())
}

#[derive(Deserialize)]
struct Tags {
    models: Vec<Tag>,
}

/// A model as the runtime lists it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) name: String,
    #[serde(default)]
    pub(super) size: u64,
}

/// The models in an answer to `/api/tags`; names that no screen or file should carry are left out.
pub(super) fn read_models(body: &[u8]) -> Option<Vec<Tag>> {
    let tags = serde_json::from_slice::<Tags>(body).ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
    Some(tags.models.into_iter().filter(|tag| !tag.name.is_empty() && tag.name.chars().all(plain)).collect())
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

    #[test]
    fn lists_of_models_hold_names_fit_for_a_screen() {
        let body =
            br#"{"models":[{"name":"qwen3:32b","size":7},{"name":"a\u001b[2J"},{"name":""},{"name":"b"}]}"#;
        let names: Vec<_> = read_models(body).unwrap().into_iter().map(|tag| (tag.name, tag.size)).collect();
        assert_eq!(names, [("qwen3:32b".to_owned(), 7), ("b".to_owned(), 0)]);
        assert_eq!(read_models(b"{}"), None);
    }

    #[tokio::test]
    async fn nobody_there_is_no_answer() {
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
        assert_eq!(get(&address, "/", Duration::from_secs(5)).await, None);
    }
}

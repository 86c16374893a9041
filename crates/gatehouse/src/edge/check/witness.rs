//! What was seen behind the site: the gateway's counters and its audit file, and nginx's access log.
//!
//! Why here: whether a spoofed address had an effect, whether a path arrived as it was sent, whether connections are used
//! again, only the other side knows. It is asked where this machine lets us.
//!
//! Never here: writing, keys, and showing anything of lines that other requests left.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// A line appears within this, or not at all: some logs are buffered.
const PATIENCE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(20);
const TAIL_BYTES_MAX: u64 = 8 << 20;
const METRICS_BYTES_MAX: u64 = 4 << 20;

/// The end of a file that others write, from a moment on.
#[derive(Clone, Debug)]
pub(crate) struct Tail {
    path: PathBuf,
    from: u64,
}

impl Tail {
    /// From now on; a file that is not there yet may still come.
    pub(crate) async fn begin(path: &Path) -> io::Result<Self> {
        let from = match File::open(path).await {
            Ok(file) => file.metadata().await?.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(Self { path: path.to_owned(), from })
    }

    /// The whole line that holds this text.
    pub(crate) async fn line_with(&self, text: &str) -> Option<String> {
        let late = Instant::now() + PATIENCE;
        loop {
            let read = self.read().await.unwrap_or_default();
            let whole = read.rsplit_once('\n').map_or("", |(whole, _)| whole);
            if let Some(line) = whole.lines().find(|line| line.contains(text)) {
                return Some(line.to_owned());
            }
            if Instant::now() > late {
                return None;
            }
            sleep(POLL).await;
        }
    }

    async fn read(&self) -> io::Result<String> {
        let mut file = File::open(&self.path).await?;
        // A shorter file is a new one: it was rotated away.
        let from = if file.metadata().await?.len() < self.from { 0 } else { self.from };
        file.seek(io::SeekFrom::Start(from)).await?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES_MAX).read_to_end(&mut bytes).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// What the gateway has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub connections: u64,
    pub requests: u64,
}

/// Asks the gateway's admin listener.
pub(crate) async fn counts(admin: SocketAddr) -> Result<Counts, String> {
    let asked = timeout(PATIENCE, scrape(admin)).await;
    let text = match asked {
        Err(_) => return Err(format!("the gateway's admin listener {admin} does not answer")),
        Ok(Err(error)) => return Err(format!("the gateway's admin listener {admin}: {error}")),
        Ok(Ok(text)) => text,
    };
    counted(&text).ok_or_else(|| format!("the gateway at {admin} does not count its connections"))
}

async fn scrape(admin: SocketAddr) -> io::Result<String> {
    let mut wire = TcpStream::connect(admin).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    wire.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    wire.take(METRICS_BYTES_MAX).read_to_end(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn counted(text: &str) -> Option<Counts> {
    let values = |name: &'static str| {
        text.lines()
            .filter(move |line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
    };
    let connections = values("gatehouse_connections_total").next()?;
    Some(Counts { connections, requests: values("gatehouse_http_requests_total").sum() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_among_others() {
        let text = concat!(
            "# TYPE gatehouse_connections counter\n",
            "gatehouse_connections_open 7\n",
            "gatehouse_connections_total 12\n",
            "gatehouse_http_requests_total{route=\"/v1/models\",code=\"401\"} 3\n",
            "gatehouse_http_requests_total{route=\"none\",code=\"404\"} 4\n",
        );
        assert_eq!(counted(text), Some(Counts { connections: 12, requests: 7 }));
        assert_eq!(counted("HTTP/1.1 404 Not Found"), None);
    }

    #[tokio::test]
    async fn only_new_whole_lines_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("log");
        std::fs::write(&file, "old token\n").unwrap();
        let tail = Tail::begin(&file).await.unwrap();
        std::fs::write(&file, "old token\nother\nnew token\npart tok").unwrap();
        assert_eq!(tail.line_with("token").await.as_deref(), Some("new token"));
        std::fs::write(&file, "a token\n").unwrap();
        assert_eq!(tail.line_with("token").await.as_deref(), Some("a token"), "a shorter file is a new one");
    }
}

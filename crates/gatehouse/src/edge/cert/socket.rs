//! Connections that end in time, and one small HTTP request over them.
//!
//! Why here: what is asked here stands on this machine, or is a CA; none of them may hold a command for longer than it says.
//!
//! Never here: what an answer means.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// More of an answer is not read.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Where nginx listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Door {
    pub at: SocketAddr,
    /// It wants to be told first who comes.
    pub proxy_protocol: bool,
}

/// A socket with one deadline for everything.
#[derive(Debug)]
pub(crate) struct Timed {
    socket: TcpStream,
    end: Instant,
}

impl Timed {
    pub(crate) fn connect(at: SocketAddr, patience: Duration) -> io::Result<Self> {
        let end = Instant::now() + patience;
        Ok(Self { socket: TcpStream::connect_timeout(&at, patience)?, end })
    }

    pub(crate) fn open(door: Door, patience: Duration) -> io::Result<Self> {
        let mut open = Self::connect(door.at, patience)?;
        if door.proxy_protocol {
            // The word for a check of one's own: no address follows.
            open.write_all(b"PROXY UNKNOWN\r\n")?;
        }
        Ok(open)
    }

    fn rest(&self) -> io::Result<Duration> {
        let rest = self.end.saturating_duration_since(Instant::now());
        if rest.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(rest) }
    }
}

/// A socket's own word for a time that has passed.
fn late(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(self.rest()?))?;
        self.socket.read(buffer).map_err(late)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(self.rest()?))?;
        self.socket.write(bytes).map_err(late)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// An answer, as far as anybody here looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub status: u16,
    headers: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let (head, rest) = bytes.split_at(end);
        let head = String::from_utf8_lossy(head);
        let (first, headers) = head.split_once("\r\n").unwrap_or((&head, ""));
        let status = first.strip_prefix("HTTP/1.")?.split_whitespace().nth(1)?.parse().ok()?;
        Some(Self { status, headers: headers.to_owned(), body: rest.get(4..)?.to_vec() })
    }
}

/// Asks for a path. HTTP/1.0: the answer ends when the server closes, and its body is not in pieces.
pub(crate) fn get(mut stream: impl Read + Write, host: &str, path: &str) -> io::Result<Answer> {
    let agent = concat!("gatehouse/", env!("CARGO_PKG_VERSION"));
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {host}\r\nuser-agent: {agent}\r\naccept: */*\r\n\r\n")?;
    stream.flush()?;
    let mut bytes = Vec::new();
    match stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes) {
        Ok(_) => {}
        // A server that closes without TLS's goodbye has said all that is wanted here.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !bytes.is_empty() => {}
        Err(error) => return Err(error),
    }
    Answer::read(&bytes).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn an_answer_is_read_apart() {
        let read =
            Answer::read(b"HTTP/1.1 308 Permanent\r\nLocation: https://a/\r\nDATE:  x \r\n\r\nbody").unwrap();
        assert_eq!((read.status, read.header("location")), (308, Some("https://a/")));
        assert_eq!((read.header("date"), read.body.as_slice()), (Some("x"), &b"body"[..]));
        for wrong in ["", "HTTP/1.1 200 OK\r\n", "SSH-2.0\r\n\r\n", "HTTP/1.1 x\r\n\r\n"] {
            assert_eq!(Answer::read(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_server_that_says_nothing_is_left_in_time() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let began = Instant::now();
        let open = Timed::connect(silent.local_addr().unwrap(), Duration::from_millis(50)).unwrap();
        let error = get(open, "a", "/").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_door_that_wants_to_be_told_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            let mut first = [0; 32];
            let mut got = 0;
            while !first[..got].windows(4).any(|w| w == b"GET ") {
                got += peer.read(&mut first[got..]).unwrap();
            }
            peer.write_all(b"HTTP/1.1 200 OK\r\n\r\nhello").unwrap();
            first[..got].to_vec()
        });
        let open = Timed::open(Door { at, proxy_protocol: true }, Duration::from_secs(10)).unwrap();
        // The server closes with our request half read: what it said counts nevertheless, or the reset does.
        let _ = get(open, "a", "/");
        assert!(server.join().unwrap().starts_with(b"PROXY UNKNOWN\r\nGET "));
    }
}

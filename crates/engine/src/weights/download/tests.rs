//! The download against a server that cuts, lies, moves and refuses.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::*;

/// What the server does with one connection.
#[derive(Clone, Copy)]
enum Act {
    /// Answers the range that was asked for, as it should.
    Right,
    /// The same, cut after so many bytes of the body.
    Cut(usize),
    /// Answers the whole file with 200, whatever was asked for.
    Whole,
    /// Other bytes of the right length.
    Wrong,
    /// A range that was not asked for.
    OtherRange,
    /// A length that is not the file's.
    OtherLength,
    Status(u16),
    /// To another path of the same server.
    Redirect,
}

struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

fn file() -> Vec<u8> {
    (0..100_000_u32).flat_map(u32::to_le_bytes).collect()
}

/// Serves one connection for each act, then none.
fn server(acts: &[Act]) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/model.gguf", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (acts, seen) = (acts.to_vec(), Arc::clone(&asked));
    std::thread::spawn(move || {
        for act in acts {
            let (stream, _) = listener.accept().unwrap();
            // The client may end the connection first; the test looks at what it made of it.
            let _ = play(&stream, act, &seen);
        }
    });
    Server { url, asked }
}

fn play(mut stream: &TcpStream, act: Act, asked: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut from = 0;
    let mut path = String::new();
    for line in BufReader::new(stream).lines() {
        let line = line?;
        if line.starts_with("GET") {
            path.clone_from(&line);
        }
        if let Some(range) = line.to_lowercase().strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    asked.lock().unwrap().push(format!("{} from {from}", path.split(' ').nth(1).unwrap()));
    let whole = file();
    let total = whole.len();
    let partial = |from: usize, body: &[u8]| {
        let range = format!("bytes {from}-{}/{total}", total - 1);
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: {range}\r\nConnection: close\r\n\r\n",
            total - from
        );
        [head.as_bytes(), body].concat()
    };
    let answer = match act {
        Act::Right => partial(from, &whole[from..]),
        Act::Cut(after) => partial(from, &whole[from..from + after]),
        Act::Wrong => partial(from, &vec![7; total - from]),
        Act::OtherRange => partial(from + 1, &whole[from + 1..]),
        Act::Whole => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\nConnection: close\r\n\r\n");
            [head.as_bytes(), &whole].concat()
        }
        Act::OtherLength => {
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlogin".to_vec()
        }
        Act::Status(status) => {
            format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into_bytes()
        }
        Act::Redirect => {
            b"HTTP/1.1 302 Found\r\nLocation: /moved\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                .to_vec()
        }
    };
    stream.write_all(&answer)
}

struct Silent;

impl Progress for Silent {
    fn note(&mut self, _: &str) {}
    fn bytes(&mut self, _: u64, _: u64) {}
    fn end(&mut self) {}
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gatehouse-download-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
    fn part(&self) -> PathBuf {
        self.0.join("model.gguf.part")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn right_hash() -> String {
    let mut hash = Sha256::new();
    hash.update(file());
    hex(hash)
}

/// Plays `acts`, and says how the fetch ended, what was asked for, and what lies on the disk.
fn check(name: &str, before: &[u8], acts: &[Act]) -> (Result<(), Failure>, Vec<String>, Option<Vec<u8>>) {
    let folder = Folder::new(name);
    if !before.is_empty() {
        std::fs::write(folder.part(), before).unwrap();
    }
    let server = server(acts);
    let wanted = Wanted { url: &server.url, bytes: file().len() as u64, sha256: &right_hash() };
    let result = fetch(&wanted, &folder.part(), &mut Silent, |_| {});
    let asked = server.asked.lock().unwrap().clone();
    (result, asked, std::fs::read(folder.part()).ok())
}

#[test]
fn a_file_that_is_cut_is_resumed_where_it_ended() {
    let (result, asked, disk) = check("cut", b"", &[Act::Cut(1000), Act::Cut(5000), Act::Right]);
    assert_eq!(result, Ok(()));
    assert_eq!(asked, ["/model.gguf from 0", "/model.gguf from 1000", "/model.gguf from 6000"]);
    assert_eq!(disk, Some(file()));
}

#[test]
fn a_part_of_an_earlier_run_is_used() {
    let (result, asked, disk) = check("part", &file()[..123_456], &[Act::Right]);
    assert_eq!((result, disk), (Ok(()), Some(file())));
    assert_eq!(asked, ["/model.gguf from 123456"]);
}

#[test]
fn a_server_without_ranges_starts_anew() {
    let (result, _, disk) = check("whole", &file()[..1000], &[Act::Whole]);
    assert_eq!((result, disk), (Ok(()), Some(file())));
}

#[test]
fn redirects_are_followed() {
    let (result, asked, _) = check("moved", b"", &[Act::Redirect, Act::Right]);
    assert_eq!(result, Ok(()));
    assert_eq!(asked, ["/model.gguf from 0", "/moved from 0"]);
}

#[test]
fn wrong_bytes_are_deleted_and_told() {
    let (result, _, disk) = check("wrong", b"", &[Act::Wrong]);
    assert!(matches!(&result, Err(Failure::Lied(text)) if text.contains(&right_hash())), "{result:?}");
    assert_eq!(disk, None);
    let (result, ..) = check("wrong-part", &[1; 5000], &[Act::Right]);
    assert!(matches!(result, Err(Failure::Lied(_))), "bytes of an earlier run are not believed either");
}

#[test]
fn another_file_is_noticed_before_it_is_written() {
    for (name, act) in [("range", Act::OtherRange), ("length", Act::OtherLength)] {
        let (result, ..) = check(name, b"", &[act]);
        assert!(matches!(result, Err(Failure::Lied(_))), "{name}: {result:?}");
    }
}

#[test]
fn three_attempts_that_bring_nothing_are_enough() {
    let (result, asked, _) =
        check("busy", b"", &[Act::Status(503), Act::Status(429), Act::Status(500), Act::Right]);
    assert!(matches!(&result, Err(Failure::Unavailable(text)) if text.contains("500")), "{result:?}");
    assert_eq!(asked.len(), 3);
    let (result, ..) = check("busy-once", b"", &[Act::Status(503), Act::Right]);
    assert_eq!(result, Ok(()));
}

#[test]
fn a_refusal_is_not_repeated() {
    for status in [401, 403, 404] {
        let (result, asked, _) = check(&format!("no-{status}"), b"", &[Act::Status(status), Act::Right]);
        assert!(matches!(result, Err(Failure::Unavailable(_))));
        assert_eq!(asked.len(), 1);
    }
}

#[test]
fn a_host_that_is_not_there_is_left_at_once() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = Folder::new("closed");
    let url = format!("http://{closed}/model.gguf");
    let wanted = Wanted { url: &url, bytes: 10, sha256: "" };
    let pauses = |_| panic!("nothing was to be waited for");
    let result = fetch(&wanted, &folder.part(), &mut Silent, pauses);
    assert!(matches!(result, Err(Failure::Unavailable(_))), "{result:?}");
}

#[test]
fn a_part_that_is_longer_than_the_file_starts_anew() {
    let long = [file(), vec![0; 10]].concat();
    let (result, _, disk) = check("long", &long, &[Act::Status(416), Act::Right]);
    assert_eq!((result, disk), (Ok(()), Some(file())));
}

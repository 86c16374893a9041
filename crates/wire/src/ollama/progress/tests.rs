//! Lines of work: what of them a client sees, and how they end.

use crate::error::{ErrorBody, ErrorType};
use crate::{ManageStream, Progress, UpstreamFaultKind, read_manage_answer};

/// What was written and how it ended, the same for every way of cutting.
fn run(bytes: &[u8]) -> (String, Progress) {
    let feed = |size: usize| {
        let mut stream = ManageStream::new(512);
        let mut out = Vec::new();
        for piece in bytes.chunks(size) {
            stream.push(piece, &mut out);
        }
        let progress = stream.end(&mut out);
        (String::from_utf8(out).expect("UTF-8"), progress)
    };
    let whole = feed(bytes.len().max(1));
    for size in [1, 7] {
        assert_eq!(feed(size), whole);
    }
    whole
}

#[track_caller]
fn line(given: &str, expected: &str) {
    let (text, progress) = run(format!("{given}\n{{\"status\":\"success\"}}").as_bytes());
    assert_eq!(text, format!("{expected}\n{{\"status\":\"success\"}}\n"), "{given}");
    assert_eq!(progress, Progress::Complete);
}

#[test]
fn plain_words_digests_and_counts_pass() {
    let digest = format!("sha256:{}", "0f".repeat(32));
    line(
        &format!(r#"{{"status":"pulling 0f0f0f0f0f0f","digest":"{digest}","total":5,"completed":2,"x":1}}"#),
        &format!(r#"{{"status":"pulling 0f0f0f0f0f0f","digest":"{digest}","total":5,"completed":2}}"#),
    );
    line(
        r#"{"status":"quantizing F16 model to Q4_K_M (50%)"}"#,
        r#"{"status":"quantizing F16 model to Q4_K_M (50%)"}"#,
    );
    line(r#"{"status":"copying /var/lib/x","digest":"/x","total":-1}"#, r#"{"status":"working"}"#);
    line(r#"{"status":"a\\b"}"#, r#"{"status":"working"}"#);
    line("{}", r#"{"status":"working"}"#);
}

#[test]
fn only_success_is_an_end() {
    #[track_caller]
    fn check(text: &str, written: usize, kind: UpstreamFaultKind) {
        let (out, progress) = run(text.as_bytes());
        assert_eq!(out.lines().count(), written, "{text}");
        let Progress::Failed(fault) = progress else { panic!("{progress:?}") };
        assert_eq!(fault.kind, kind, "{text}");
        assert!(!fault.message.contains("secret"));
    }
    check("", 0, UpstreamFaultKind::Broken);
    check("{\"status\":\"a\"}\n", 1, UpstreamFaultKind::Broken);
    check("{\"status\":\"a\"}\n{\"error\":\"secret host\"}\n", 1, UpstreamFaultKind::Broken);
    check("{\"error\":\"pull model manifest: file does not exist\"}\n", 0, UpstreamFaultKind::ModelNotFound);
    check("<html>\n", 0, UpstreamFaultKind::Protocol);
    check(&format!("{{\"status\":\"{}\"}}\n", "a".repeat(600)), 0, UpstreamFaultKind::Protocol);
    // What follows the last word is for nobody.
    let (out, progress) = run(b"{\"status\":\"success\"}\n{\"error\":\"x\"}\n");
    assert_eq!((out.as_str(), progress), ("{\"status\":\"success\"}\n", Progress::Complete));
}

#[test]
fn a_failure_is_the_last_line() {
    let mut stream = ManageStream::new(512);
    let mut out = Vec::new();
    assert_eq!(stream.push(b"{\"status\":\"a\"}\n", &mut out), Progress::Flowing);
    stream.fail(&ErrorBody::new(ErrorType::Server, "no", 502), &mut out);
    assert_eq!(String::from_utf8_lossy(&out), "{\"status\":\"a\"}\n{\"error\":\"no\"}\n");
    assert!(matches!(stream.push(b"{\"status\":\"success\"}\n", &mut out), Progress::Failed(_)));
}

#[test]
fn answers_that_came_whole() {
    #[track_caller]
    fn check(body: &str, expected: Option<&str>) {
        let mut out = Vec::new();
        let read = read_manage_answer(body.as_bytes(), &mut out);
        assert_eq!(read.is_ok(), expected.is_some(), "{body}");
        assert_eq!(String::from_utf8_lossy(&out), expected.unwrap_or(""), "{body}");
    }
    check("", Some(""));
    check(" \n", Some(""));
    check("{\"status\":\"success\"}", Some("{\"status\":\"success\"}"));
    check("{\"status\":\"pulling\"}", None);
    check("{\"error\":\"x\"}", None);
    check("[]", None);
}

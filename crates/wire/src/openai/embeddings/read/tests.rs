//! Lists of servers, some of which are none.

use super::read;
use crate::UpstreamFaultKind;

#[track_caller]
fn check(body: &str, expected: &[&str], prompt_tokens: Option<u64>) {
    let vectors = read(body.as_bytes()).unwrap_or_else(|fault| panic!("{body}: {fault:?}"));
    let list: Vec<&str> = vectors.list.iter().map(|vector| vector.as_str()).collect();
    assert_eq!((list, vectors.prompt_tokens), (expected.to_vec(), prompt_tokens), "{body}");
}

#[track_caller]
fn failed(body: &str, expected: UpstreamFaultKind) {
    assert_eq!(read(body.as_bytes()).expect_err(body).kind, expected, "{body}");
}

#[test]
fn each_vector_at_its_place() {
    check(r#"{"data":[]}"#, &[], None);
    check(r#"{"data":[{"embedding":[1]},{"embedding":[2]}],"usage":{}}"#, &["[1]", "[2]"], None);
    check(
        r#"{"usage":{"prompt_tokens":3},"data":[{"index":2,"embedding":[3]},{"embedding":[1],"index":0,"x":{}},{"index":1,"embedding":[2]}]}"#,
        &["[1]", "[2]", "[3]"],
        Some(3),
    );
    check(r#"{"data":[{"embedding":[1]}],"usage":{"prompt_tokens":99999999999}}"#, &["[1]"], None);
    for data in [
        r#"[{"index":1,"embedding":[1]}]"#,
        r#"[{"index":0,"embedding":[1]},{"index":0,"embedding":[2]}]"#,
        r#"[{"index":-1,"embedding":[1]}]"#,
        r#"[{"index":0}]"#,
        "[[1,2]]",
    ] {
        failed(&format!(r#"{{"data":{data}}}"#), UpstreamFaultKind::Protocol);
    }
}

#[test]
fn what_is_no_list() {
    for body in ["", "<html>", "[]", "{}", r#"{"data":null}"#, r#"{"data":[]} x"#] {
        failed(body, UpstreamFaultKind::Protocol);
    }
    failed(r#"{"error":{"message":"x","code":500}}"#, UpstreamFaultKind::Broken);
    failed(r#"{"object":"error","message":"x","code":503,"data":[]}"#, UpstreamFaultKind::Overloaded);
}

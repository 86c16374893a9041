//! What may be asked of a runtime, and in which words.

use crate::{Fault, Manage, ReadLimits, read_manage, write_manage};

const LIMITS: ReadLimits = ReadLimits { depth: 32, messages: 2, tools: 2, images: 2, image_bytes: 64 };

fn write(which: Manage, body: &str) -> Result<(String, Vec<String>, bool, usize), Fault> {
    let request = read_manage(which, body.as_bytes(), &LIMITS)?;
    let mut out = Vec::new();
    write_manage(&request, &mut out);
    let text = String::from_utf8(out).expect("UTF-8");
    assert!(crate::json::accepts(text.as_bytes(), 64), "{text}");
    let models = request.models().map(String::from).collect();
    Ok((text, models, request.stream(), request.dropped().len()))
}

#[track_caller]
fn becomes(which: Manage, body: &str, expected: &str, models: &[&str], stream: bool, dropped: usize) {
    let models = models.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(write(which, body), Ok((expected.to_owned(), models, stream, dropped)), "{body}");
}

#[track_caller]
fn refused(which: Manage, body: &str, code: &str, param: Option<&str>) {
    let fault = write(which, body).expect_err(body);
    assert_eq!((fault.code, fault.param.as_deref()), (code, param), "{body}");
}

#[test]
fn only_known_fields_pass() {
    becomes(
        Manage::Pull,
        r#"{"name":"a:b","username":"u","password":"p","insecure":true}"#,
        r#"{"model":"a:b","insecure":true,"stream":true}"#,
        &["a:b"],
        true,
        1,
    );
    becomes(
        Manage::Push,
        r#"{"stream":false,"model":"u/a"}"#,
        r#"{"model":"u/a","stream":false}"#,
        &["u/a"],
        false,
        0,
    );
    becomes(
        Manage::Copy,
        r#"{"source":"a","destination":"b","stream":true}"#,
        r#"{"source":"a","destination":"b"}"#,
        &["a", "b"],
        false,
        1,
    );
    becomes(Manage::Delete, r#"{"name":"a"}"#, r#"{"model":"a"}"#, &["a"], false, 0);
    let digest = format!("sha256:{}", "0f".repeat(32));
    becomes(
        Manage::Create,
        &format!(
            r#"{{"model":"n","from":"b","files":{{"a.gguf":"{digest}"}},"adapters":{{}},"template":"t","license":["l"],"system":"s","parameters":{{"stop":["x"],"num_ctx":5}},"messages":[{{"role":"user","content":"hi","images":[]}}],"quantize":"q4_K_M","path":"/etc","modelfile":"FROM x","stream":null}}"#
        ),
        &format!(
            r#"{{"model":"n","from":"b","files":{{"a.gguf":"{digest}"}},"adapters":{{}},"template":"t","license":["l"],"system":"s","parameters":{{"stop":["x"],"num_ctx":5}},"messages":[{{"role":"user","content":"hi"}}],"quantize":"q4_K_M","stream":true}}"#
        ),
        &["n", "b"],
        true,
        1,
    );
}

#[test]
fn what_is_refused() {
    refused(Manage::Pull, "{}", "missing_required_parameter", Some("model"));
    refused(Manage::Pull, r#"{"model":""}"#, "invalid_value", Some("model"));
    refused(Manage::Pull, r#"{"model":"a\nb"}"#, "invalid_value", Some("model"));
    refused(Manage::Pull, r#"{"model":"a","name":"a"}"#, "duplicate_parameter", Some("model"));
    refused(Manage::Pull, r#"{"model":"a","Model":"b"}"#, "ambiguous_parameter", Some("model"));
    refused(Manage::Pull, r#"{"model":"a","insecure":"no"}"#, "invalid_type", Some("insecure"));
    refused(Manage::Copy, r#"{"source":"a"}"#, "missing_required_parameter", Some("destination"));
    refused(Manage::Delete, "{} x", "invalid_json", None);
    refused(Manage::Blobs, "{}", "unsupported_format", None);
    refused(Manage::Other, "{}", "unsupported_format", None);
    let digest = "0f".repeat(32);
    for (field, param) in [
        (r#""files":{"a":"b"}"#.to_owned(), "files"),
        (format!(r#""files":{{"a":"sha256:{digest}","\u0061":"sha256:{digest}"}}"#), "files"),
        (r#""parameters":{"a":{"b":1}}"#.to_owned(), "parameters"),
        (r#""parameters":{"a":[[1]]}"#.to_owned(), "parameters"),
    ] {
        refused(Manage::Create, &format!(r#"{{"model":"a",{field}}}"#), "invalid_value", Some(param));
    }
    let three = [r#"{"role":"user","content":""}"#; 3].join(",");
    refused(
        Manage::Create,
        &format!(r#"{{"model":"a","messages":[{three}]}}"#),
        "array_above_max_length",
        Some("messages"),
    );
    refused(
        Manage::Create,
        r#"{"model":"a","messages":[{"content":""}]}"#,
        "missing_required_parameter",
        Some("messages[0].role"),
    );
}

//! The client's bytes, edited in two places at most.

use crate::{Format, Lane, Outbound, ReadLimits, read_chat, write_chat};

const LIMITS: ReadLimits = ReadLimits { depth: 16, messages: 4, tools: 2, images: 2, image_bytes: 64 };

fn splice(body: &str) -> Result<String, &'static str> {
    let request = read_chat(Format::OpenAi, body.as_bytes(), &LIMITS).expect(body);
    let to = Outbound::to("srv/\"m\"");
    let mut out = Vec::new();
    match write_chat(Lane::Relay, Format::OpenAi, &request, &to, &mut out) {
        Ok(dropped) => {
            assert!(dropped.is_empty());
            Ok(String::from_utf8(out).expect("UTF-8"))
        }
        Err(fault) => Err(fault.code),
    }
}

const MESSAGES: &str = r#""messages":[{"role":"user","content":"model"}]"#;

#[track_caller]
fn check(body: &str, expected: &str) {
    let fill = |text: &str| text.replace('@', MESSAGES).replace('#', r#""srv/\"m\"""#);
    assert_eq!(splice(&fill(body)).as_deref(), Ok(fill(expected).as_str()));
}

#[test]
fn only_the_model_changes() {
    check(r#"{"model":"a",@}"#, r#"{"model":#,@}"#);
    check(r#" { @ , "model" : "a" , "x_future" : [ 1 ] } "#, r#" { @ , "model" : # , "x_future" : [ 1 ] } "#);
    check(
        r#"{"metadata":{"model":"a"},@,"m\u006fdel":"b","n":2}"#,
        r#"{"metadata":{"model":"a"},@,"m\u006fdel":#,"n":2}"#,
    );
    check(
        r#"{"model":"a",@,"stream_options":{"include_usage":false}}"#,
        r#"{"model":#,@,"stream_options":{"include_usage":false}}"#,
    );
}

#[test]
fn a_stream_always_asks_for_usage() {
    let usage = r#""stream_options":{"include_usage":true}"#;
    check(r#"{"model":"a",@,"stream":true}"#, &format!(r#"{{"model":#,{usage},@,"stream":true}}"#));
    check(
        r#"{"stream":true,"stream_options":null,"model":"a",@}"#,
        &format!(r#"{{"stream":true,{usage},"model":#,@}}"#),
    );
    check(
        r#"{"stream":true,"stream_options":{},"model":"a",@}"#,
        &format!(r#"{{"stream":true,{usage},"model":#,@}}"#),
    );
    check(
        r#"{"model":"a","stream":true,"stream_options":{ "include_usage" : false },@}"#,
        r#"{"model":#,"stream":true,"stream_options":{ "include_usage" : true },@}"#,
    );
    check(
        r#"{"model":"a","stream":true,"stream_options":{"include_usage":null},@}"#,
        r#"{"model":#,"stream":true,"stream_options":{"include_usage":true},@}"#,
    );
    check(
        r#"{"model":"a","stream":true,"stream_options":{"x":1},@}"#,
        r#"{"model":#,"stream":true,"stream_options":{"include_usage":true,"x":1},@}"#,
    );
    check(
        &format!(r#"{{"model":"a","stream":true,{usage},@}}"#),
        &format!(r#"{{"model":#,"stream":true,{usage},@}}"#),
    );
}

#[test]
fn keys_that_differ_by_case_only_are_refused() {
    for extra in [
        r#""Model":"b""#,
        r#""MESSAGES":[]"#,
        r#""stream_options":{"Include_Usage":false}"#,
        r#""\u017ftream":true"#,
    ] {
        assert_eq!(
            splice(&format!(r#"{{"model":"a",{MESSAGES},{extra}}}"#)),
            Err("ambiguous_parameter"),
            "{extra}"
        );
    }
}

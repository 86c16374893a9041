//! The client's bytes, edited where they must be and nowhere else.

use crate::{Dropped, Format, Operation, Outbound, ReadLimits, read_request, write_request};

fn chat(upstream: Format) -> crate::Cell {
    crate::cell(Format::OpenAi, upstream, Operation::Chat).expect("a cell")
}

const LIMITS: ReadLimits = ReadLimits { depth: 16, messages: 4, tools: 2, images: 2, image_bytes: 64 };

fn splice_for(body: &str, to: &Outbound<'_>) -> Result<(String, Dropped), &'static str> {
    let request = read_request(Format::OpenAi, Operation::Chat, body.as_bytes(), &LIMITS).expect(body);
    let mut out = Vec::new();
    let dropped = write_request(chat(Format::OpenAi), &request, to, &mut out).map_err(|fault| fault.code)?;
    assert!(crate::json::accepts(&out, 64), "{}", String::from_utf8_lossy(&out));
    Ok((String::from_utf8(out).expect("UTF-8"), dropped))
}

fn splice(body: &str) -> Result<String, &'static str> {
    let (text, dropped) = splice_for(body, &TO)?;
    assert!(dropped.is_empty(), "{dropped:?}");
    Ok(text)
}

const TO: Outbound<'_> = Outbound::to("srv/\"m\"");

const MESSAGES: &str = r#""messages":[{"role":"user","content":"model"}]"#;

#[track_caller]
fn check(body: &str, expected: &str) {
    let fill = |text: &str| text.replace('@', MESSAGES).replace('#', r#""srv/\"m\"""#);
    assert_eq!(splice(&fill(body)).as_deref(), Ok(fill(expected).as_str()));
}

#[test]
fn only_the_model_changes() {
    check(r#"{"model":"a",@}"#, r#"{"model":#,@}"#);
    check(
        r#" { @ , "model" : "a" , "verbosity" : [ 1 ] } "#,
        r#" { @ , "model" : # , "verbosity" : [ 1 ] } "#,
    );
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

#[track_caller]
fn cuts(options: &[&str], body: &str, expected: &str, dropped: &[&str]) {
    let options: Vec<String> = options.iter().map(|name| (*name).to_owned()).collect();
    let fill = |text: &str| text.replace('@', MESSAGES).replace('#', r#""srv/\"m\"""#);
    let to = Outbound { options: &options, ..TO };
    let (text, got) = splice_for(&fill(body), &to).expect(body);
    assert_eq!((text, got), (fill(expected), dropped.to_vec()));
}

#[test]
fn what_is_not_of_the_format_is_cut_out() {
    cuts(&[], r#"{"x":1,"model":"a",@}"#, r#"{"model":#,@}"#, &["(unknown)"]);
    cuts(&[], r#"{"model":"a","x":{"y":[","]},@}"#, r#"{"model":#,@}"#, &["(unknown)"]);
    cuts(&[], r#"{"model":"a",@,"x":1}"#, r#"{"model":#,@}"#, &["(unknown)"]);
    cuts(
        &[],
        r#"{ "x" : 1 , "keep_alive":0 , "model":"a" , "y" : 2 , "top_k":5, @ , "z" : null }"#,
        r#"{ "model":#, @ }"#,
        &["(unknown)", "keep_alive", "top_k"],
    );
    cuts(
        &[],
        r#"{"model":"a","x":1,"stream":true,@}"#,
        r#"{"model":#,"stream_options":{"include_usage":true},"stream":true,@}"#,
        &["(unknown)"],
    );
    cuts(&[], r#"{"_debug_render_only":true,"x":null,"model":"a",@}"#, r#"{"model":#,@}"#, &["(unknown)"]);
}

#[test]
fn what_a_caller_may_send_stays() {
    cuts(
        &["top_k", "guided_regex"],
        r#"{"guided_regex":"a","x":1,"model":"a","top_k":5,"min_p":0.1,@}"#,
        r#"{"guided_regex":"a","model":#,"top_k":5,@}"#,
        &["(unknown)", "min_p"],
    );
    let never = [
        "options",
        "template",
        "raw",
        "system",
        "context",
        "web_search",
        "_debug_render_only",
        "chat_template",
    ];
    for name in never {
        let body = format!(r#"{{"model":"a","{name}":{{"num_ctx":1}},@}}"#);
        let named = if name == "options" { "options" } else { "(unknown)" };
        cuts(&never, &body, r#"{"model":#,@}"#, &[named]);
    }
    let options = ["x".to_owned()];
    let twice = format!(r#"{{"model":"a","x":1,"x":2,{MESSAGES}}}"#);
    let to = Outbound { options: &options, ..TO };
    assert_eq!(splice_for(&twice, &to), Err("duplicate_parameter"));
}

#[test]
fn the_answer_is_capped() {
    #[track_caller]
    fn check(field: &str, expected: &str) {
        let fill = |field: &str, model: &str| format!(r#"{{"model":{model}{field},{MESSAGES}}}"#);
        let to = Outbound { output_tokens_max: Some(50), ..TO };
        let (text, _) = splice_for(&fill(field, "\"a\""), &to).expect(field);
        assert_eq!(text, fill(expected, r#""srv/\"m\"""#));
    }
    check("", r#","max_tokens":50"#);
    check(r#","max_tokens":50"#, r#","max_tokens":50"#);
    check(r#","max_tokens":51"#, r#","max_tokens":50"#);
    check(r#","max_tokens":7"#, r#","max_tokens":7"#);
    check(r#","max_completion_tokens":900"#, r#","max_completion_tokens":50"#);
    check(r#","max_tokens":60,"max_completion_tokens":5"#, r#","max_tokens":50,"max_completion_tokens":5"#);
    check(r#","max_tokens":null"#, r#","max_tokens":50"#);
    check(
        r#","max_completion_tokens":null,"max_tokens":5"#,
        r#","max_completion_tokens":null,"max_tokens":5"#,
    );
    check(
        r#","stream":true,"x":1"#,
        r#","stream_options":{"include_usage":true},"max_tokens":50,"stream":true"#,
    );
}

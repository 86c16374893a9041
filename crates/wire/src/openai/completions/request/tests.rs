//! What is refused and how it is named, what the neutral request holds, what each upstream is sent.

use crate::openai::completions::request::KNOWN;
use crate::{Dropped, Fault, Format, ModelRequest, Operation, Outbound, ReadLimits};
use crate::{read_request, write_request};

const LIMITS: ReadLimits = ReadLimits { depth: 16, messages: 1, tools: 0, images: 0, image_bytes: 0 };

fn read(body: &str) -> Result<ModelRequest<'_>, Fault> {
    read_request(Format::OpenAi, Operation::Complete, body.as_bytes(), &LIMITS)
}

/// A body with these fields and a model.
fn asking(fields: &str) -> String {
    format!(r#"{{"model":"m",{fields}}}"#)
}

/// A body with one more field.
fn with(field: &str) -> String {
    asking(&format!(r#""prompt":"Hello",{field}"#))
}

#[track_caller]
fn refused(body: &str, code: &str, param: &str) {
    let fault = read(body).expect_err(body);
    assert_eq!((fault.code, fault.param.as_deref().unwrap_or("")), (code, param), "{body}\n{fault}");
    assert!(!fault.message.is_empty());
}

#[track_caller]
fn taken(body: &str) -> ModelRequest<'_> {
    read(body).unwrap_or_else(|fault| panic!("{body}: {fault:?}"))
}

fn write(upstream: Format, body: &str, to: &Outbound<'_>) -> Result<(String, Dropped), Fault> {
    let request = taken(body);
    let cell = crate::cell(Format::OpenAi, upstream, Operation::Complete).expect("a cell");
    let mut out = Vec::new();
    let dropped = write_request(cell, &request, to, &mut out)?;
    let text = String::from_utf8(out).expect("UTF-8");
    assert!(crate::json::accepts(text.as_bytes(), 64), "{text}");
    Ok((text, dropped))
}

const PLAIN: Outbound<'_> = Outbound::to("up");

#[test]
fn what_must_be_there() {
    refused("{}", "missing_required_parameter", "model");
    refused(r#"{"prompt":"x"}"#, "missing_required_parameter", "model");
    refused(r#"{"model":"m"}"#, "missing_required_parameter", "prompt");
    refused(r#"{"model":"m","prompt":null}"#, "missing_required_parameter", "prompt");
    refused(r#"{"model":"m","Prompt":"x"}"#, "missing_required_parameter", "prompt");
    refused("[]", "invalid_type", "");
    refused(r#"{"model":"m","prompt":"x""#, "invalid_json", "");
    refused(r#"{"model":"m","prompt":[1,"#, "unsupported_value", "prompt");
}

#[test]
fn one_prompt_and_as_text() {
    for (prompt, code, param) in [
        (r#""""#, "invalid_value", "prompt"),
        (r#"[""]"#, "invalid_value", "prompt"),
        ("[]", "empty_array", "prompt"),
        (r#"["a","b"]"#, "unsupported_value", "prompt"),
        (r#"["a",""]"#, "unsupported_value", "prompt"),
        ("[1,2]", "unsupported_value", "prompt"),
        ("[[1,2],[3]]", "unsupported_value", "prompt"),
        (r#"["a",1]"#, "unsupported_value", "prompt"),
        ("[null]", "invalid_type", "prompt[0]"),
        ("7", "invalid_type", "prompt"),
        ("{}", "invalid_type", "prompt"),
    ] {
        refused(&asking(&format!(r#""prompt":{prompt}"#)), code, param);
    }
    for prompt in [r#""a\n\u00e9""#, r#" [ "a\n\u00e9" ] "#] {
        let body = asking(&format!(r#""prompt":{prompt},"suffix":"bc""#));
        let request = taken(&body);
        assert_eq!((request.prompt_chars(), request.choices(), request.stream()), (5, 1, false));
        let mut texts = Vec::new();
        request.opening(&mut |text| texts.push(text.to_owned()));
        assert_eq!(texts, [r"a\n\u00e9"]);
        assert!(request.prompt_tokens().high <= request.prompt_bytes());
        assert!(
            request.prompt_tokens().high > taken(&asking(r#""prompt":"a\n\u00e9""#)).prompt_tokens().high
        );
    }
}

#[test]
fn types_and_ranges() {
    for (field, code, param) in [
        (r#""prompt":"x""#, "duplicate_parameter", "prompt"),
        (r#""suffix":["a"]"#, "invalid_type", "suffix"),
        (r#""stream":"yes""#, "invalid_type", "stream"),
        (r#""stream_options":{"include_usage":1}"#, "invalid_type", "stream_options.include_usage"),
        (r#""max_tokens":0"#, "invalid_value", "max_tokens"),
        (r#""max_tokens":1.5"#, "invalid_type", "max_tokens"),
        (r#""temperature":2.1"#, "invalid_value", "temperature"),
        (r#""top_p":-0.1"#, "invalid_value", "top_p"),
        (r#""frequency_penalty":-2.5"#, "invalid_value", "frequency_penalty"),
        (r#""presence_penalty":"1""#, "invalid_type", "presence_penalty"),
        (r#""seed":0.5"#, "invalid_type", "seed"),
        (r#""stop":["a",7]"#, "invalid_type", "stop[1]"),
        (r#""n":0"#, "invalid_value", "n"),
        (r#""n":129"#, "invalid_value", "n"),
        (r#""best_of":21"#, "invalid_value", "best_of"),
        (r#""best_of":"2""#, "invalid_type", "best_of"),
        (r#""logprobs":6"#, "invalid_value", "logprobs"),
        (r#""logprobs":-1"#, "invalid_value", "logprobs"),
        (r#""logprobs":true"#, "invalid_type", "logprobs"),
        (r#""echo":1"#, "invalid_type", "echo"),
        (r#""logit_bias":[]"#, "invalid_type", "logit_bias"),
    ] {
        refused(&with(field), code, param);
    }
}

#[test]
fn what_ollama_is_asked() {
    #[track_caller]
    fn check(fields: &str, expected: &str) {
        let (text, dropped) = write(Format::Ollama, &asking(fields), &PLAIN).expect(fields);
        assert_eq!(text, format!(r#"{{"model":"up",{expected}}}"#));
        assert_eq!(dropped, Dropped::new());
    }
    check(r#""prompt":"a""#, r#""prompt":"a","stream":false"#);
    check(r#""prompt":["\u0061"],"stream":true"#, r#""prompt":"\u0061","stream":true"#);
    check(r#""prompt":"a","suffix":"b\n""#, r#""prompt":"a","suffix":"b\n","stream":false"#);
    check(r#""prompt":"a","suffix":"","stop":[],"echo":false"#, r#""prompt":"a","stream":false"#);
    check(
        r#""prompt":"a","logprobs":0,"best_of":1,"n":1,"logit_bias":{}"#,
        r#""prompt":"a","stream":false,"logprobs":true,"top_logprobs":0"#,
    );
    check(
        r#""prompt":"a","logprobs":5,"max_tokens":9,"seed":-1,"temperature":0,"stop":"x""#,
        r#""prompt":"a","stream":false,"logprobs":true,"top_logprobs":5,"options":{"temperature":0,"seed":-1,"num_predict":9,"stop":["x"]}"#,
    );
    check(r#""prompt":"a","logprobs":null,"suffix":null,"best_of":0"#, r#""prompt":"a","stream":false"#);
    let to = Outbound { sampling_defaults: true, ..PLAIN };
    let (text, _) = write(Format::Ollama, &with(r#""top_p":0.5"#), &to).expect("written");
    let expected =
        r#""options":{"temperature":1.0,"top_p":0.5,"frequency_penalty":0.0,"presence_penalty":0.0}}"#;
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn what_ollama_cannot_do_a_compatible_server_may() {
    for (field, code, param) in [
        (r#""n":2"#, "unsupported_value", "n"),
        (r#""best_of":2"#, "unsupported_value", "best_of"),
        (r#""echo":true"#, "unsupported_value", "echo"),
        (r#""logit_bias":{"50256":-100}"#, "unsupported_value", "logit_bias"),
    ] {
        let fault = write(Format::Ollama, &with(field), &PLAIN).expect_err(field);
        assert_eq!((fault.code, fault.param.as_deref()), (code, Some(param)), "{field}");
        let (text, _) = write(Format::OpenAi, &with(field), &PLAIN).expect(field);
        assert_eq!(text, with(field).replacen(r#""m""#, r#""up""#, 1));
    }
    // Each draft is made, whoever sees it.
    assert_eq!(taken(&with(r#""n":2,"best_of":5"#)).choices(), 5);
    assert_eq!(taken(&with(r#""n":2"#)).choices(), 2);
}

#[test]
fn a_relayed_body_is_spliced_as_a_chats_is() {
    #[track_caller]
    fn check(fields: &str, expected: &str, dropped: &[&str]) {
        let options = ["top_k", "prompt_embeds", "system"].map(str::to_owned);
        let to = Outbound { options: &options, output_tokens_max: Some(50), ..PLAIN };
        let (text, got) = write(Format::OpenAi, &asking(fields), &to).expect(fields);
        assert_eq!(text, format!(r#"{{"model":"up",{expected}}}"#));
        assert_eq!(got, dropped);
    }
    let (prompt, cap) = (r#""prompt":["a"],"suffix":"b","echo":true"#, r#""max_tokens":50"#);
    check(prompt, &format!("{cap},{prompt}"), &[]);
    check(&format!(r#"{prompt},"max_tokens":60"#), &format!(r#"{prompt},{cap}"#), &[]);
    check(&format!(r#"{prompt},"max_tokens":6"#), &format!(r#"{prompt},"max_tokens":6"#), &[]);
    check(
        &format!(r#""x":1,{prompt},"prompt_embeds":"AAAA","system":"s","top_k":5,"stream":true"#),
        &format!(r#""stream_options":{{"include_usage":true}},{cap},{prompt},"top_k":5,"stream":true"#),
        &["(unknown)"],
    );
    let fault = write(Format::OpenAi, &with(r#""Prompt":"b""#), &PLAIN).expect_err("two prompts");
    assert_eq!((fault.code, fault.param.as_deref()), ("ambiguous_parameter", Some("prompt")));
}

#[test]
fn what_nobody_carries_is_named() {
    let options = ["keep_alive".to_owned()];
    let to = Outbound { options: &options, ..PLAIN };
    let body = with(
        r#""user":"u","keep_alive":"5m","think":true,"raw":true,"context":[1],"template":"t","stop":["","a"]"#,
    );
    let (text, dropped) = write(Format::Ollama, &body, &to).expect("written");
    assert_eq!(
        text,
        r#"{"model":"up","prompt":"Hello","stream":false,"keep_alive":"5m","options":{"stop":["a"]}}"#
    );
    assert_eq!(dropped, ["user", "stop", "think", "(unknown)"]);
}

#[test]
fn what_is_outside_the_format_is_known_by_name() {
    let outside: Vec<_> =
        KNOWN.iter().filter(|name| !crate::openai::fields::is_of_the_format(name)).collect();
    assert_eq!(outside, crate::openai::fields::EXTENSIONS.iter().collect::<Vec<_>>());
}

//! What is refused and how it is named, what is counted, what each upstream is sent.

use crate::openai::embeddings::request::KNOWN;
use crate::{
    Channel, Dropped, Fault, Format, ModelRequest, Operation, Outbound, ReadLimits, Screen, Verdict,
};
use crate::{read_request, write_request};

/// The limits of chats are not those of texts.
const LIMITS: ReadLimits = ReadLimits { depth: 16, messages: 1, tools: 0, images: 0, image_bytes: 0 };

fn read(body: &str) -> Result<ModelRequest<'_>, Fault> {
    read_request(Format::OpenAi, Operation::Embed, body.as_bytes(), &LIMITS)
}

fn asking(fields: &str) -> String {
    format!(r#"{{"model":"m",{fields}}}"#)
}

#[track_caller]
fn refused(fields: &str, code: &str, param: &str) {
    let body = asking(fields);
    let fault = read(&body).expect_err(fields);
    assert_eq!((fault.code, fault.param.as_deref().unwrap_or("")), (code, param), "{fields}\n{fault}");
    assert!(!fault.message.is_empty());
}

#[track_caller]
fn taken(body: &str) -> ModelRequest<'_> {
    read(body).unwrap_or_else(|fault| panic!("{body}: {fault:?}"))
}

#[test]
fn what_is_refused() {
    assert_eq!(read(r#"{"input":"x"}"#).expect_err("no model").param.as_deref(), Some("model"));
    for (fields, code, param) in [
        (r#""x":1"#, "missing_required_parameter", "input"),
        (r#""input":null"#, "missing_required_parameter", "input"),
        (r#""input":[]"#, "missing_required_parameter", "input"),
        (r#""input":7"#, "invalid_type", "input"),
        (r#""input":{}"#, "invalid_type", "input"),
        (r#""input":["a",null]"#, "invalid_type", "input[1]"),
        (r#""input":[1,2,3]"#, "unsupported_value", "input"),
        (r#""input":[[1,2],[3]]"#, "unsupported_value", "input"),
        (r#""input":["a",7]"#, "unsupported_value", "input"),
        (r#""input":"x","input":"y""#, "duplicate_parameter", "input"),
        (r#""input":"x","dimensions":0"#, "invalid_value", "dimensions"),
        (r#""input":"x","dimensions":1.0"#, "invalid_type", "dimensions"),
        (r#""input":"x","dimensions":"8""#, "invalid_type", "dimensions"),
        (r#""input":"x","encoding_format":"hex""#, "invalid_value", "encoding_format"),
        (r#""input":"x","encoding_format":"""#, "invalid_value", "encoding_format"),
        (r#""input":"x","encoding_format":7"#, "invalid_type", "encoding_format"),
    ] {
        refused(fields, code, param);
    }
    let body = asking(r#""input":[[1]]"#);
    assert!(read(&body).expect_err("tokens").message.contains("check_embedding_ctx_length=False"));
}

#[test]
fn texts_are_many_and_counted() {
    let texts = |count: usize| asking(&format!(r#""input":[{}]"#, vec![r#""ab\n""#; count].join(",")));
    let body = texts(2048);
    let request = taken(&body);
    assert_eq!((request.prompt_chars(), request.manner().vectors), (3 * 2048, Some(2048)));
    let estimate = request.prompt_tokens();
    assert!(estimate.low >= 2048 && estimate.high <= request.prompt_bytes());
    assert_eq!(read(&texts(2049)).expect_err("too many").code, "array_above_max_length");
    for (input, vectors) in [(r#""""#, 1), (r#""x""#, 1), (r#"["x"]"#, 1), (r#"["",""]"#, 2)] {
        let body = asking(&format!(r#""input":{input}"#));
        let request = taken(&body);
        assert_eq!((request.manner().vectors, request.stream()), (Some(vectors), false), "{input}");
    }
}

#[test]
fn the_encoding_is_asked_for_in_any_case() {
    for (format, base64) in [
        (r#""base64""#, true),
        (r#""Base64""#, true),
        (r#""\u0042ASE64""#, true),
        (r#""FLOAT""#, false),
        ("null", false),
    ] {
        let body = asking(&format!(r#""input":"x","encoding_format":{format}"#));
        assert_eq!(taken(&body).manner().base64, base64, "{format}");
    }
    assert!(!taken(&asking(r#""input":"x""#)).manner().base64);
}

#[track_caller]
fn check(upstream: Format, fields: &str, options: &[&str], expected: &str, dropped: &[&str]) {
    let body = asking(fields);
    let request = taken(&body);
    let cell = crate::cell(Format::OpenAi, upstream, Operation::Embed).expect("a cell");
    let options: Vec<String> = options.iter().map(|name| (*name).to_owned()).collect();
    let to = Outbound {
        sampling_defaults: true,
        output_tokens_max: Some(9),
        options: &options,
        ..Outbound::to("up")
    };
    let mut out = Vec::new();
    let got = write_request(cell, &request, &to, &mut out).expect(fields);
    assert_eq!(String::from_utf8_lossy(&out), format!(r#"{{"model":"up",{expected}}}"#));
    assert_eq!(got, dropped);
}

#[test]
fn what_is_asked_of_each_upstream() {
    let float = r#""encoding_format":"float""#;
    for (input, ollama) in [
        (r#""a\u00e9""#, r#""a\u00e9""#),
        // A bare empty text would be none to it.
        (r#""""#, r#"[""]"#),
        (r#"["a","","c"]"#, r#"["a","","c"]"#),
    ] {
        check(Format::Ollama, &format!(r#""input":{input}"#), &[], &format!(r#""input":{ollama}"#), &[]);
        check(
            Format::OpenAi,
            &format!(r#""input":{input},"encoding_format":"base64""#),
            &[],
            &format!(r#""input":{input},{float}"#),
            &[],
        );
    }
    let fields = r#""input":["a"],"dimensions":256,"user":"u","keep_alive":"5m","truncate":false,"x":1,"num_ctx":null"#;
    check(
        Format::Ollama,
        fields,
        &["keep_alive", "truncate"],
        r#""input":["a"],"dimensions":256,"truncate":false,"keep_alive":"5m""#,
        &["user", "(unknown)"],
    );
    check(
        Format::OpenAi,
        fields,
        &["keep_alive", "truncate"],
        &format!(r#""input":["a"],{float},"dimensions":256"#),
        &["user", "keep_alive", "truncate", "(unknown)"],
    );
}

/// Masks "key".
#[derive(Debug, Default)]
struct Recorder(Vec<String>);

impl Screen for Recorder {
    fn push(&mut self, _: Channel, text: &str, out: &mut String) -> Verdict {
        self.0.push(text.to_owned());
        out.push_str(&text.replace("key", "***"));
        Verdict::Pass
    }

    fn finish(&mut self, _: Channel, _: &mut String) -> Verdict {
        Verdict::Pass
    }
}

#[test]
fn a_screen_is_shown_each_text() {
    let body = asking(r#""input":["a key","no","\u006bey"],"user":"key""#);
    for upstream in [Format::Ollama, Format::OpenAi] {
        let mut request = taken(&body);
        let mut recorder = Recorder::default();
        assert_eq!(request.screen(&mut recorder), Verdict::Pass);
        assert_eq!(recorder.0, ["a key", "no", "key"]);
        let cell = crate::cell(Format::OpenAi, upstream, Operation::Embed).expect("a cell");
        let mut out = Vec::new();
        let dropped = write_request(cell, &request, &Outbound::to("up"), &mut out).expect("written");
        let text = String::from_utf8(out).expect("UTF-8");
        assert!(text.contains(r#""input":["a ***","no","***"]"#), "{text}");
        assert_eq!(dropped, Dropped::from(["user"]));
    }
}

#[test]
fn what_is_outside_the_format_is_known_by_name() {
    let outside: Vec<_> =
        KNOWN.iter().filter(|name| !crate::openai::fields::is_of_the_format(name)).collect();
    assert_eq!(outside, crate::openai::fields::EXTENSIONS.iter().collect::<Vec<_>>());
}

//! One line of the audit log.
//!
//! Why here: the line's fields are a promise to whoever reads logs by program, and everything in it that a caller wrote is
//! made harmless in this one place: no line break, no terminal command, no text that reads differently than it is.
//!
//! Never here: prompt or answer text, keys, headers other than the user agent.

use std::fmt::{self, Display, Write as _};
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::auth::deceptive;

const METHOD_CHARS_MAX: usize = 16;
const MODEL_CHARS_MAX: usize = 128;
const USER_AGENT_CHARS_MAX: usize = 256;

/// What is recorded of a request. Fields that are not known are left out of the line.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Record {
    /// Arrival, given by the log.
    #[serde(serialize_with = "rfc3339_ms")]
    pub(crate) ts: Timestamp,
    /// Order of the lines, given by the log; a gap is a lost record.
    pub(crate) seq: u64,
    #[serde(serialize_with = "shown")]
    pub request_id: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shown_if_some")]
    pub key_id: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shown_if_some")]
    pub user_id: Option<Arc<str>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) method: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub route: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<String>,
    /// 0: the client left before there was one.
    pub status: u16,
    pub stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_chars: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ms_queued: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ms_first_byte: Option<u64>,
    pub ms_total: u64,
    /// `complete`, `client_gone`, `upstream_cut`, `filtered`, `deadline`, `refused`, `failed` or `drained`.
    pub end: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
    /// What the translation left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shown_if_some")]
    pub upstream: Option<Arc<str>>,
    /// Upstreams that failed it before.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: u32,
    /// The runtime read less than the prompt holds.
    #[serde(skip_serializing_if = "is_false")]
    pub truncated: bool,
    /// Rules of the content filter that found something.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filtered: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user_agent: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Record {
    /// The record of a request that has just arrived.
    pub fn of(request_id: Arc<str>) -> Self {
        Self { request_id, ..Self::default() }
    }

    pub fn set_method(&mut self, method: &str) {
        self.method = tamed(method, METHOD_CHARS_MAX);
    }

    pub fn set_model(&mut self, model: &str) {
        self.model = Some(tamed(model, MODEL_CHARS_MAX));
    }

    /// Takes the header's bytes as they came.
    pub fn set_user_agent(&mut self, agent: &[u8]) {
        // Four bytes a character at most: what lies beyond cannot show, so it is not even decoded.
        let head = agent.get(..(USER_AGENT_CHARS_MAX + 1) * 4).unwrap_or(agent);
        self.user_agent = Some(tamed(&String::from_utf8_lossy(head), USER_AGENT_CHARS_MAX));
    }

    /// Appends the record as one line of JSON.
    pub(super) fn write_line(&self, out: &mut Vec<u8>) {
        let start = out.len();
        if serde_json::to_writer(&mut *out, self).is_err() {
            // No field refuses to be written; a line that says so is better than a gap nobody can explain.
            out.truncate(start);
            out.extend_from_slice(
                format!(r#"{{"seq":{},"error":"unwritable_record"}}"#, self.seq).as_bytes(),
            );
        }
        out.push(b'\n');
    }
}

/// A caller's text, capped, with every character that hides or commands spelled out. JSON's own escapes would not do: who
/// decodes the line and prints it would see the character again.
fn tamed(text: &str, chars_max: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(chars_max));
    for (place, c) in text.chars().enumerate() {
        if place == chars_max {
            shown.push('…');
            break;
        }
        if deceptive(c) {
            // Writing to a string cannot fail.
            let _ = write!(shown, "<U+{:04X}>", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    shown
}

fn rfc3339_ms<S: Serializer>(ts: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{ts:.3}"))
}

fn shown<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Shown(text))
}

fn shown_if_some<S: Serializer>(text: &Option<Arc<str>>, serializer: S) -> Result<S::Ok, S::Error> {
    match text {
        Some(text) => shown(text, serializer),
        None => serializer.serialize_none(),
    }
}

/// Shared text, checked where it was taken in; a second look costs little and holds for callers to come.
struct Shown<'a>(&'a str);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if deceptive(c) { f.write_char('\u{fffd}')? } else { f.write_char(c)? }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(record: &Record) -> String {
        let mut out = Vec::new();
        record.write_line(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_whole_line_is_this() {
        let mut record = Record {
            ts: "2026-11-22T17:00:01.0129Z".parse().unwrap(),
            seq: 7,
            request_id: "req_1".into(),
            client: Some("10.0.0.9".parse().unwrap()),
            key_id: Some("chat".into()),
            user_id: Some("ann".into()),
            route: "/v1/chat/completions",
            status: 200,
            stream: true,
            prompt_chars: Some(12),
            prompt_tokens: Some(5),
            output_tokens: Some(9),
            ms_queued: Some(1),
            ms_first_byte: Some(40),
            ms_total: 900,
            end: "upstream_cut",
            error: Some("upstream_error"),
            dropped: vec!["logit_bias", "user"],
            upstream: Some("gpu1".into()),
            ..Record::default()
        };
        record.set_method("POST");
        record.set_model("qwen3:32b");
        record.set_user_agent(b"curl/8");
        let expected = concat!(
            r#"{"ts":"2026-11-22T17:00:01.012Z","seq":7,"request_id":"req_1","client":"10.0.0.9","key_id":"chat","#,
            r#""user_id":"ann","method":"POST","route":"/v1/chat/completions","model":"qwen3:32b","status":200,"#,
            r#""stream":true,"prompt_chars":12,"prompt_tokens":5,"output_tokens":9,"ms_queued":1,"ms_first_byte":40,"#,
            r#""ms_total":900,"end":"upstream_cut","error":"upstream_error","dropped":["logit_bias","user"],"#,
            r#""upstream":"gpu1","user_agent":"curl/8"}"#,
            "\n"
        );
        assert_eq!(line(&record), expected);
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let record = Record { request_id: "r".into(), end: "client_gone", ..Record::default() };
        let expected = r#"{"ts":"1970-01-01T00:00:00.000Z","seq":0,"request_id":"r","status":0,"stream":false,"ms_total":0,"end":"client_gone"}"#;
        assert_eq!(line(&record).trim_end(), expected);
    }

    /// Whatever a caller writes: one line, valid JSON, and nothing in the *decoded* text that hides or commands.
    #[test]
    fn hostile_text_is_made_harmless() {
        let hostile: [&[u8]; 14] = [
            b"a\r\nb",
            b"{\"seq\":1}\n{\"seq\":2}",
            b"\x1b[2J\x1b]52;c;aGk=\x07",
            b"\x9b31m",
            "\u{9b}31m".as_bytes(),
            "\u{202e}gpj.exe".as_bytes(),
            "a\u{2028}b\u{2029}c\u{85}d".as_bytes(),
            "\u{200b}\u{200d}\u{feff}\u{2066}x\u{2069}\u{e0041}".as_bytes(),
            b"\x00\x01\x7f\x08",
            b"\xff\xfe\xc3\x28\xed\xa0\x80",
            b"\"\\\"},{\"",
            b"<script>alert(1)</script>",
            "\u{a0}\u{3000}\u{ad}".as_bytes(),
            b"",
        ];
        for bytes in hostile {
            let text = String::from_utf8_lossy(bytes);
            let mut record = Record {
                request_id: text.as_ref().into(),
                key_id: Some(text.as_ref().into()),
                user_id: Some(text.as_ref().into()),
                upstream: Some(text.as_ref().into()),
                ..Record::default()
            };
            record.set_method(&text);
            record.set_model(&text);
            record.set_user_agent(bytes);
            let line = line(&record);
            let (body, rest) = line.split_once('\n').unwrap();
            assert_eq!(rest, "", "{bytes:?}");
            let decoded: serde_json::Map<String, serde_json::Value> = serde_json::from_str(body).unwrap();
            for (name, value) in &decoded {
                let shown = value.as_str().unwrap_or_default();
                assert!(!shown.chars().any(deceptive), "{name}: {shown:?}");
            }
        }
        assert_eq!(tamed("a\u{202e}b\nc", 64), "a<U+202E>b<U+000A>c");
    }

    #[test]
    fn long_text_is_capped() {
        let mut record = Record::default();
        record.set_user_agent(&vec![b'a'; 10 << 20]);
        record.set_model(&"é".repeat(1 << 20));
        record.set_method(&"X".repeat(1 << 20));
        let expected = |c: &str, count| Some(format!("{}…", c.repeat(count)));
        assert_eq!(record.user_agent, expected("a", 256));
        assert_eq!(record.model, expected("é", 128));
        assert_eq!(Some(record.method.clone()), expected("X", 16));
        record.user_agent = None;
        record.set_user_agent("é".repeat(256).as_bytes());
        assert_eq!(record.user_agent, Some("é".repeat(256)));
    }
}

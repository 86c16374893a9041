//! Vectors as clients get them, from either upstream, and what is no answer to what was asked.

use crate::reply::Manner;
use crate::{Format, Operation, Reply, StopReason, UpstreamFaultKind, Usage, read_answer};

fn answer(upstream: Format, base64: bool, texts: usize, body: &str) -> Result<String, UpstreamFaultKind> {
    let cell = crate::cell(Format::OpenAi, upstream, Operation::Embed).expect("a cell");
    let manner = Manner { base64, vectors: Some(texts), ..Manner::default() };
    let reply = Reply { manner, ..Reply::new("0123456789abcdef01234567", "m") };
    let mut out = b"x".to_vec();
    let metered = read_answer(cell, &reply, None, body.as_bytes(), &mut out);
    let text = String::from_utf8(out).expect("UTF-8");
    let text = text.strip_prefix('x').expect("what was there stays").to_owned();
    match metered {
        Ok(metered) => {
            assert_eq!((metered.stop, metered.deltas), (Some(StopReason::Stop), 0));
            assert_eq!(metered.upstream_bytes, body.len() as u64);
            assert!(crate::json::accepts(text.as_bytes(), 16), "{text}");
            let counted = metered.usage.map_or(0, |usage| usage.prompt_tokens);
            assert!(
                metered.usage.is_none_or(|usage| usage == Usage { prompt_tokens: counted, output_tokens: 0 })
            );
            let usage =
                format!(r#""model":"m","usage":{{"prompt_tokens":{counted},"total_tokens":{counted}}}}}"#);
            let data =
                text.strip_prefix(r#"{"object":"list","data":"#).and_then(|rest| rest.strip_suffix(&usage));
            Ok(data.unwrap_or_else(|| panic!("{text}")).to_owned())
        }
        Err(fault) => {
            assert_eq!(text, "", "a failure writes nothing");
            Err(fault.kind)
        }
    }
}

/// The same vectors as each upstream tells them.
fn spoken(upstream: Format, vectors: &[&str]) -> String {
    if upstream == Format::Ollama {
        return format!(r#"{{"model":"up","embeddings":[{}],"prompt_eval_count":7}}"#, vectors.join(","));
    }
    // In any order.
    let entries = vectors.iter().enumerate().rev();
    let entries: Vec<String> = entries
        .map(|(index, vector)| format!(r#"{{"object":"embedding","embedding":{vector},"index":{index}}}"#))
        .collect();
    format!(
        r#"{{"object":"list","model":"up","data":[{}],"usage":{{"prompt_tokens":7,"total_tokens":7}}}}"#,
        entries.join(",")
    )
}

#[test]
fn numbers_as_written_or_as_base64() {
    for upstream in [Format::Ollama, Format::OpenAi] {
        let body = spoken(upstream, &["[0.1,-0.2, 0.3]", "[1E-9,-0,12]"]);
        assert_eq!(
            answer(upstream, false, 2, &body).expect("taken"),
            r#"[{"object":"embedding","index":0,"embedding":[0.1,-0.2, 0.3]},{"object":"embedding","index":1,"embedding":[1E-9,-0,12]}],"#
        );
        assert_eq!(
            answer(upstream, true, 2, &body).expect("taken"),
            r#"[{"object":"embedding","index":0,"embedding":"zczMPc3MTL6amZk+"},{"object":"embedding","index":1,"embedding":"X3CJMAAAAIAAAEBB"}],"#
        );
        let body = spoken(upstream, &["[]"]);
        assert_eq!(
            answer(upstream, true, 1, &body).expect("taken"),
            r#"[{"object":"embedding","index":0,"embedding":""}],"#
        );
    }
}

#[test]
fn not_as_many_vectors_as_texts() {
    for upstream in [Format::Ollama, Format::OpenAi] {
        for (vectors, texts) in [(0, 1), (1, 2), (3, 2)] {
            let body = spoken(upstream, &vec!["[1]"; vectors]);
            assert_eq!(answer(upstream, false, texts, &body), Err(UpstreamFaultKind::Protocol));
        }
    }
}

#[test]
fn what_is_no_vector() {
    for upstream in [Format::Ollama, Format::OpenAi] {
        for vector in
            ["null", "\"zczMPQ==\"", "[\"1\"]", "[null]", "[[1]]", "[1e999]", "[-1E+999]", "{}", "[NaN]"]
        {
            for base64 in [false, true] {
                let body = spoken(upstream, &[vector]);
                assert_eq!(answer(upstream, base64, 1, &body), Err(UpstreamFaultKind::Protocol), "{vector}");
            }
        }
        let long = format!("[{}]", "9".repeat(400));
        assert_eq!(answer(upstream, false, 1, &spoken(upstream, &[&long])), Err(UpstreamFaultKind::Protocol));
        // Held by 64 bits and not by 32.
        let body = spoken(upstream, &["[1]", "[1e39]"]);
        assert!(answer(upstream, false, 2, &body).is_ok());
        assert_eq!(answer(upstream, true, 2, &body), Err(UpstreamFaultKind::Protocol));
    }
}

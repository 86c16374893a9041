//! Names, owners, and what lists say.

use super::*;

#[test]
fn public_names_lose_a_registry_host_and_only_that() {
    #[track_caller]
    fn check(name: &str, public: &str, owner: &str) {
        let entry = ModelEntry::new(name, 0, false);
        assert_eq!((entry.public_name(), entry.owner()), (public, owner), "{name}");
    }
    check("qwen3:32b", "qwen3:32b", "library");
    check("registry.internal/qwen3:32b", "qwen3:32b", "library");
    check("localhost/qwen3", "qwen3", "library");
    check("localhost:5000/team/qwen3:1", "team/qwen3:1", "team");
    check("10.0.0.1/qwen3", "qwen3", "library");
    check("team/qwen3.5:1", "team/qwen3.5:1", "team");
    check("hf.co/a/b/c:Q4", "a/b/c:Q4", "a/b");
    check("library/test", "library/test", "library");
}

#[test]
fn remote_models_are_marked() {
    for (name, remote) in
        [("m:cloud", true), ("m:120b-cloud", true), ("cloud:1b", false), ("m:cloudy", false)]
    {
        assert_eq!(ModelEntry::new(name, 0, false).remote, remote, "{name}");
    }
    let tags = br#"{"models":[{"model":"a","remote_host":"https://x:443","remote_model":"y"},{"model":"b","remote_host":""}]}"#;
    let remote: Vec<bool> =
        read_models(Format::Ollama, tags).unwrap().iter().map(|entry| entry.remote).collect();
    assert_eq!(remote, [true, false]);
}

#[test]
fn lists() {
    let tags = br#"{"models":[{"name":"n","model":"","modified_at":"2009-02-13T23:31:30.123456789+00:00","details":{"x":[{}]}},{}]}"#;
    let expected = vec![ModelEntry::new("n", 1_234_567_890, false)];
    assert_eq!(read_models(Format::Ollama, tags).unwrap(), expected);
    let compatible = br#"{"object":"list","data":[{"id":"n","object":"model","created":1234567890,"owned_by":"vllm","permission":[]}]}"#;
    assert_eq!(read_models(Format::OpenAi, compatible).unwrap(), expected);
    assert_eq!(read_model(Format::OpenAi, "n", br#"{"id":"n","created":1234567890}"#).unwrap(), expected[0]);
    for bad in [&b""[..], b"[]", b"{}", b"<html>", b"{\"models\":7}", b"{\"data\":7}"] {
        assert!(read_models(Format::Ollama, bad).is_err() && read_models(Format::OpenAi, bad).is_err());
    }
    let mut out = Vec::new();
    write_models(Format::OpenAi, expected.iter().map(ModelEntry::listed), &mut out);
    let listed = br#"{"object":"list","data":[{"id":"n","object":"model","created":1234567890,"owned_by":"library"}]}"#;
    assert_eq!(out, listed);
}

#[test]
fn anthropics_lists_are_one_page() {
    #[track_caller]
    fn check(names: &[(&str, u64)], expected: &str) {
        let models: Vec<ModelEntry> =
            names.iter().map(|(name, created)| ModelEntry::new(name, *created, false)).collect();
        let mut out = Vec::new();
        write_models(Format::Anthropic, models.iter().map(ModelEntry::listed), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
    let model = |name: &str, time: &str| {
        format!(r#"{{"type":"model","id":"{name}","display_name":"{name}","created_at":"{time}"}}"#)
    };
    check(&[], r#"{"data":[],"has_more":false,"first_id":null,"last_id":null}"#);
    let one = model("a:1", "2009-02-13T23:31:30Z");
    check(
        &[("a:1", 1_234_567_890)],
        &format!(r#"{{"data":[{one}],"has_more":false,"first_id":"a:1","last_id":"a:1"}}"#),
    );
    let (unknown, never) = (model("b", "1970-01-01T00:00:00Z"), model("c", "1970-01-01T00:00:00Z"));
    check(
        &[("a:1", 1_234_567_890), ("b", 0), ("h.x/c", u64::MAX)],
        &format!(r#"{{"data":[{one},{unknown},{never}],"has_more":false,"first_id":"a:1","last_id":"c"}}"#),
    );
    let mut out = Vec::new();
    write_model(Format::Anthropic, &ModelEntry::new("b", 0, false).listed(), &mut out);
    assert_eq!(String::from_utf8_lossy(&out), unknown);
}

#[test]
fn what_is_in_memory() {
    let ps = br#"{"models":[{"name":"n","model":"n","size":10,"size_vram":4,"context_length":4096,"expires_at":"x"},{"name":"o","context_length":0},{"size":-1,"model":"p"},{}]}"#;
    let resident = |name: &str, context_tokens, size_bytes, vram_bytes| Resident {
        name: name.into(),
        context_tokens,
        size_bytes,
        vram_bytes,
        ..Resident::default()
    };
    let expected = [resident("n", Some(4096), 10, 4), resident("o", None, 0, 0), resident("p", None, 0, 0)];
    assert_eq!(read_resident(ps).unwrap(), expected);
    assert_eq!(read_resident(br#"{"models":null}"#).unwrap(), []);
    assert!(read_resident(b"{}").is_err());
}

#[test]
fn loads_ask_for_what_requests_will_ask_for() {
    #[track_caller]
    fn check(keep_alive: Option<&str>, num_ctx: Option<u64>, expected: &str) {
        let mut out = Vec::new();
        write_load(Format::Ollama, "h/m\"", keep_alive, num_ctx, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
    check(None, None, r#"{"model":"h/m\"","stream":false}"#);
    check(
        Some("30m"),
        Some(8192),
        r#"{"model":"h/m\"","stream":false,"keep_alive":"30m","options":{"num_ctx":8192}}"#,
    );
    check(Some("-1"), None, r#"{"model":"h/m\"","stream":false,"keep_alive":-1}"#);
    let mut out = Vec::new();
    write_load(Format::OpenAi, "m", None, None, &mut out);
    assert_eq!((load_path(Format::OpenAi), out.len()), (None, 0));
}

#[test]
fn capabilities_are_none_when_not_said() {
    assert_eq!(read_capabilities(br#"{"details":{}}"#), Ok(None));
    assert_eq!(read_capabilities(br#"{"capabilities":[]}"#), Ok(Some(Capabilities::default())));
    let thinking = Capabilities { thinking: true, tools: true, vision: false };
    assert_eq!(
        read_capabilities(br#"{"capabilities":["completion","tools",7,"thinking"]}"#),
        Ok(Some(thinking))
    );
    assert!(read_capabilities(b"nonsense").is_err());
}

/// Ollama's own program cuts the first letters off, without looking whether there are any.
const NO_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const DETAILS: &str = r#""details":{"parent_model":"/var/lib/x","format":"gguf","family":"qwen3","families":["qwen3","a/b"],"parameter_size":"32.8B","quantization_level":"Q4_K_M","context_length":40960,"embedding_length":5120}"#;
const TOLD: &str = r#""details":{"format":"gguf","family":"qwen3","families":["qwen3"],"parameter_size":"32.8B","quantization_level":"Q4_K_M","context_length":40960,"embedding_length":5120}"#;

#[test]
fn a_list_for_ollamas_clients_tells_what_theirs_does() {
    let digest = "0f".repeat(32);
    let tags = format!(
        r#"{{"models":[{{"name":"r.internal/qwen3:32b","model":"r.internal/qwen3:32b","modified_at":"2026-01-02T05:04:05.5+02:00","size":20201253588,"digest":"{digest}",{DETAILS},"capabilities":["completion","tools",7,"/x"]}},{{"name":"old"}}]}}"#
    );
    let entries = read_models(Format::Ollama, tags.as_bytes()).unwrap();
    let mut out = Vec::new();
    write_models(Format::Ollama, entries.iter().map(ModelEntry::listed), &mut out);
    let nothing =
        r#""details":{"format":"","family":"","families":[],"parameter_size":"","quantization_level":""}"#;
    assert_eq!(
        String::from_utf8_lossy(&out),
        format!(
            r#"{{"models":[{{"name":"qwen3:32b","model":"qwen3:32b","modified_at":"2026-01-02T03:04:05Z","size":20201253588,"digest":"{digest}",{TOLD},"capabilities":["completion","tools"]}},{{"name":"old","model":"old","modified_at":"1970-01-01T00:00:00Z","size":0,"digest":"{NO_DIGEST}",{nothing}}}]}}"#
        )
    );
    // A list of another dialect tells less.
    let compatible = read_models(Format::OpenAi, br#"{"data":[{"id":"n","created":1767323045}]}"#).unwrap();
    out.clear();
    write_models(Format::Ollama, compatible.iter().map(ModelEntry::listed), &mut out);
    assert_eq!(
        String::from_utf8_lossy(&out),
        format!(
            r#"{{"models":[{{"name":"n","model":"n","modified_at":"2026-01-02T03:04:05Z","size":0,"digest":"{NO_DIGEST}",{nothing}}}]}}"#
        )
    );
}

#[test]
fn what_is_in_memory_is_told_under_public_names() {
    let ps = format!(
        r#"{{"models":[{{"name":"r.internal/q","model":"r.internal/q","size":10,"size_vram":4,"digest":"0123456789ab",{DETAILS},"expires_at":"2318-12-31T00:00:00+00:00","context_length":4096}},{{"name":"o","expires_at":"soon"}}]}}"#
    );
    let resident = read_resident(ps.as_bytes()).unwrap();
    let mut out = Vec::new();
    write_resident(["q", "o"].into_iter().zip(&resident), &mut out);
    let nothing =
        r#""details":{"format":"","family":"","families":[],"parameter_size":"","quantization_level":""}"#;
    assert_eq!(
        String::from_utf8_lossy(&out),
        format!(
            r#"{{"models":[{{"name":"q","model":"q","size":10,"digest":"0123456789ab",{TOLD},"expires_at":"2318-12-31T00:00:00Z","size_vram":4,"context_length":4096}},{{"name":"o","model":"o","size":0,"digest":"{NO_DIGEST}",{nothing},"size_vram":0}}]}}"#
        )
    );
    out.clear();
    write_resident(std::iter::empty(), &mut out);
    assert_eq!(out, b"{\"models\":[]}");
}

#[test]
fn a_model_is_shown_with_its_texts_or_without() {
    let long = "x".repeat(300);
    let show = format!(
        r#"{{"license":"L","modelfile":"FROM /var/lib/x","parameters":"stop x","template":"T","system":"S\n",{DETAILS},"messages":[{{"role":"user","content":"hi","images":["AAAA"]}},7],"model_info":{{"general.architecture":"qwen3","qwen3.context_length":40960,"general.tags":["a"],"tokenizer.chat_template":"T","tokenizer.ggml.tokens":null,"long":"{long}","b":true}},"tensors":[{{"name":"t"}}],"projector_info":{{"a":1}},"capabilities":["completion"],"modified_at":"2026-01-02T03:04:05Z","remote_host":"https://x"}}"#
    );
    let shown = read_show(Format::Ollama, "r.internal/q", show.as_bytes()).unwrap();
    assert!(shown.entry.remote);
    let told = format!(
        r#"{TOLD},"model_info":{{"general.architecture":"qwen3","qwen3.context_length":40960,"b":true}},"capabilities":["completion"],"modified_at":"2026-01-02T03:04:05Z"}}"#
    );
    let write = |client, with_texts| {
        let mut out = Vec::new();
        write_show(client, &shown, with_texts, &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(write(Format::Ollama, false), format!("{{{told}"));
    assert_eq!(
        write(Format::Ollama, true),
        format!(
            r#"{{"license":"L","modelfile":"FROM /var/lib/x","parameters":"stop x","template":"T","system":"S\n","messages":[{{"role":"user","content":"hi"}}],{told}"#
        )
    );
    let object = r#"{"id":"q","object":"model","created":1767323045,"owned_by":"library"}"#;
    assert_eq!(write(Format::OpenAi, true), object, "a dialect without texts");
    for bad in ["[]", "{", "{} {}", r#"{"model_info":{"a":}}"#] {
        assert!(read_show(Format::Ollama, "q", bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn a_model_of_another_dialect_is_shown_as_far_as_it_is_known() {
    let shown = read_show(Format::OpenAi, "n", br#"{"id":"n","created":1767323045}"#).unwrap();
    let mut out = Vec::new();
    write_show(Format::Ollama, &shown, true, &mut out);
    assert_eq!(
        String::from_utf8_lossy(&out),
        r#"{"details":{"format":"","family":"","families":[],"parameter_size":"","quantization_level":""},"model_info":{},"modified_at":"2026-01-02T03:04:05Z"}"#
    );
    out.clear();
    write_version("0.33.0", &mut out);
    assert_eq!(out, br#"{"version":"0.33.0"}"#);
}

//! Names, owners, and what lists say.

use super::{read_capabilities, read_model, read_models, read_resident, write_models};
use crate::format::Format;
use crate::models::{Capabilities, ModelEntry};

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
    let expected = vec![ModelEntry { name: "n".into(), created: 1_234_567_890, remote: false }];
    assert_eq!(read_models(Format::Ollama, tags).unwrap(), expected);
    let compatible = br#"{"object":"list","data":[{"id":"n","object":"model","created":1234567890,"owned_by":"vllm","permission":[]}]}"#;
    assert_eq!(read_models(Format::OpenAi, compatible).unwrap(), expected);
    assert_eq!(read_model(Format::OpenAi, "n", br#"{"id":"n","created":1234567890}"#).unwrap(), expected[0]);
    assert_eq!(read_resident(br#"{"models":[{"name":"n","model":"n"}]}"#).unwrap(), ["n"]);
    for bad in [&b""[..], b"[]", b"{}", b"<html>", b"{\"models\":7}", b"{\"data\":7}"] {
        assert!(read_models(Format::Ollama, bad).is_err() && read_models(Format::OpenAi, bad).is_err());
    }
    let mut out = Vec::new();
    write_models(Format::OpenAi, expected.iter().map(ModelEntry::listed), &mut out);
    let listed = br#"{"object":"list","data":[{"id":"n","object":"model","created":1234567890,"owned_by":"library"}]}"#;
    assert_eq!(out, listed);
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

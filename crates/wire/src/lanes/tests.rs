//! Every cell of the table that is filled has code behind it.

use super::{Lane, lane, upstream_path};
use crate::{ChatStream, Format, Operation, Progress, Reply, Strip, UpstreamFaultKind};

#[test]
fn chat_cells() {
    assert_eq!(lane(Format::OpenAi, Format::Ollama, Operation::Chat), Some(Lane::Translate));
    assert_eq!(lane(Format::OpenAi, Format::OpenAi, Operation::Chat), Some(Lane::Relay));
    assert_eq!(lane(Format::Ollama, Format::Ollama, Operation::Chat), None);
    assert_eq!(upstream_path(Format::Ollama, Operation::ListModels), "/api/tags");
}

#[test]
fn an_empty_cell_fails_without_writing() {
    let reply = Reply {
        id: "x".into(),
        model: "m".into(),
        include_usage: false,
        strip: Strip::default(),
        created: 0,
        reasoning_alias: false,
        line_bytes_max: 64,
        output_tokens_max: None,
        output_bytes_max: None,
    };
    let mut stream = ChatStream::new(Lane::Relay, Format::Ollama, Format::Ollama, reply, None);
    let mut out = Vec::new();
    let Progress::Failed(fault) = stream.push(b"{}\n", &mut out) else { panic!("an empty cell answered") };
    assert_eq!(fault.kind, UpstreamFaultKind::Protocol);
    assert!(out.is_empty());
}

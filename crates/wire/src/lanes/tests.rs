//! What the table says, and that every cell that is filled has code behind it.

use super::{Entry, Lane, UPSTREAMS, cell, entry, upstream_path};
use crate::{Format, Operation};

#[test]
fn lanes_of_chat() {
    let lane = |client, upstream| cell(client, upstream, Operation::Chat).map(super::Cell::lane);
    assert_eq!(lane(Format::OpenAi, Format::Ollama), Some(Lane::Translate));
    assert_eq!(lane(Format::OpenAi, Format::OpenAi), Some(Lane::Relay));
    assert_eq!(lane(Format::Ollama, Format::Ollama), Some(Lane::Translate));
    assert_eq!(lane(Format::OpenAi, Format::Anthropic), None);
    assert_eq!(upstream_path(Format::Ollama, Operation::ListModels), "/api/tags");
}

#[test]
fn a_place_without_a_cell_has_a_reason() {
    for client in Format::ALL {
        for upstream in Format::ALL {
            for operation in [Operation::Chat, Operation::Complete, Operation::Embed, Operation::EmbedOne] {
                match entry(client, upstream, operation) {
                    Entry::Refused(why) => {
                        assert!(!why.is_empty());
                        assert_eq!(cell(client, upstream, operation), None);
                    }
                    _ => assert!(UPSTREAMS.contains(&upstream)),
                }
            }
        }
    }
}

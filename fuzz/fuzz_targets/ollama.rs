//! The readers of Ollama's clients, and every writer behind them.
#![no_main]

use wire::{Format, Operation};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    for operation in [Operation::Chat, Operation::Complete, Operation::Embed, Operation::EmbedOne] {
        wire_fuzz::requests(Format::Ollama, operation, input);
    }
});

//! The reader of texts to embed, and both writers behind it; vectors of either upstream.
#![no_main]

use wire::{Format, Operation};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    wire_fuzz::request(Operation::Embed, input);
    for upstream in [Format::Ollama, Format::OpenAi] {
        wire_fuzz::answer(Operation::Embed, upstream, input);
    }
});

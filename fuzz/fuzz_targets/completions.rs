//! The reader of completions, and both writers behind it; answers of either upstream.
#![no_main]

use wire::{Format, Operation};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    wire_fuzz::request(Operation::Complete, input);
    for upstream in [Format::Ollama, Format::OpenAi] {
        wire_fuzz::answer(Operation::Complete, upstream, input);
        wire_fuzz::stream(wire_fuzz::cell(Operation::Complete, upstream), input);
    }
});

//! Whole answers of either upstream, to every client.
#![no_main]

use wire::Format;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    wire_fuzz::answers(Format::Ollama, input);
    wire_fuzz::answers(Format::OpenAi, input);
});

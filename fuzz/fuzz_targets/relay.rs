//! A compatible server's stream to OpenAI's chunks.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    wire_fuzz::stream(wire::Lane::Relay, wire::Format::OpenAi, input);
});

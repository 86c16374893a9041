//! A compatible server's stream to every client's.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| wire_fuzz::streams(wire::Format::OpenAi, input));

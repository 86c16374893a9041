//! A compatible server's stream to OpenAI's chunks.
#![no_main]

use wire::{Format, Operation};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    wire_fuzz::stream(wire_fuzz::cell(Operation::Chat, Format::OpenAi), input);
});

//! The reader of chats, and both writers behind it.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| wire_fuzz::request(wire::Operation::Chat, input));

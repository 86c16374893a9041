//! The reader of completions, and every writer behind it.
#![no_main]

use wire::{Format, Operation};

libfuzzer_sys::fuzz_target!(|input: &[u8]| wire_fuzz::requests(Format::OpenAi, Operation::Complete, input));

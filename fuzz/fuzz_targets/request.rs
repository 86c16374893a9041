//! The reader of OpenAI's chats, and both writers behind it.
#![no_main]

use wire::{Format, Operation};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let chats = |cell: &wire::Cell| (cell.client(), cell.operation()) == (Format::OpenAi, Operation::Chat);
    wire_fuzz::cells().filter(chats).for_each(|cell| wire_fuzz::request(cell, input));
});

//! Ollama's clients: readers of questions, both writers behind them, whole answers.
#![no_main]

use wire::Format;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    for cell in wire_fuzz::cells().filter(|cell| cell.client() == Format::Ollama) {
        wire_fuzz::request(cell, input);
        wire_fuzz::answer(cell, input);
    }
});

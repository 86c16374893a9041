//! The readers of Anthropic's requests, and every writer behind them.
#![no_main]

use wire::{Format, Operation};
use wire_fuzz::LIMITS;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    wire_fuzz::requests(Format::Anthropic, Operation::Chat, input);
    let Ok(request) = wire::read_request(Format::Anthropic, Operation::Chat, input, &LIMITS) else { return };
    // Who may be answered may be counted.
    let counted = wire::read_request(Format::Anthropic, Operation::CountTokens, input, &LIMITS);
    assert_eq!(counted.expect("the same body").counted_tokens(), request.counted_tokens());
});

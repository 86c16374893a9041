//! The readers of Anthropic's requests, and every writer behind them.
#![no_main]

use wire::{Format, Operation};
use wire_fuzz::LIMITS;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    wire_fuzz::requests(Format::Anthropic, Operation::Chat, input);
    let Ok(request) = wire::read_request(Format::Anthropic, Operation::Chat, input, &LIMITS) else { return };
    // Who may be answered may be counted; a misspelt key is refused when it would be written, and so it is here.
    match wire::read_request(Format::Anthropic, Operation::CountTokens, input, &LIMITS) {
        Ok(counted) => assert_eq!(counted.counted_tokens(), request.counted_tokens()),
        Err(fault) => assert_eq!(fault.code, "ambiguous_parameter"),
    }
});

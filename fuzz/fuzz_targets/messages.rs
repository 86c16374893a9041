//! No body makes the reader of Anthropic's requests panic, and what a writer makes of an accepted one is JSON that a
//! compatible server's reader takes.
#![no_main]

use wire::{Format, Operation};
use wire_fuzz::{LIMITS, UPSTREAM_MODEL};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let counted = wire::read_request(Format::Anthropic, Operation::CountTokens, input, &LIMITS);
    let Ok(request) = wire::read_request(Format::Anthropic, Operation::Chat, input, &LIMITS) else { return };
    // Who may be answered may be counted.
    assert_eq!(counted.expect("the same body").counted_tokens(), request.counted_tokens());
    wire_fuzz::write(Format::Anthropic, &request, |cell, out| {
        // A picture is labelled by its first bytes, whatever its sender called it.
        let is_gif = String::from_utf8_lossy(out).contains("data:image/gif");
        if cell.upstream() == Format::OpenAi && !is_gif {
            let limits = wire::ReadLimits { depth: 128, messages: 9, ..LIMITS };
            let again = wire::read_request(Format::OpenAi, Operation::Chat, out, &limits);
            let again = again.expect("what is written reads in its own dialect");
            assert_eq!((again.model(), again.stream()), (UPSTREAM_MODEL, request.stream()));
            assert_eq!(again.images(), request.images());
        }
    });
});

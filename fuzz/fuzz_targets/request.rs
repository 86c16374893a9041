//! No body makes the reader panic, and what a writer makes of an accepted one is JSON.
#![no_main]

use wire::{Format, Lane, Operation};
use wire_fuzz::{LIMITS, UPSTREAM_MODEL};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Ok(request) = wire::read_request(Format::OpenAi, Operation::Chat, input, &LIMITS) else { return };
    wire_fuzz::write(Format::OpenAi, &request, |cell, out| {
        if cell.lane() == Lane::Relay {
            // What the upstream reads is what we read, under its own name for the model.
            let again = wire::read_request(Format::OpenAi, Operation::Chat, out, &LIMITS);
            let again = again.expect("the spliced body reads as well");
            assert_eq!(again.model(), UPSTREAM_MODEL);
            assert_eq!((again.stream(), again.prompt_chars()), (request.stream(), request.prompt_chars()));
            assert!(again.include_usage() || !again.stream());
            assert!(again.max_output_tokens().is_some_and(|cap| cap <= 9));
        }
    });
});

//! No body makes the reader of requests for responses panic, and what a writer makes of an accepted one is JSON that a
//! compatible server's reader takes.
#![no_main]

use wire::{Format, Operation};
use wire_fuzz::{LIMITS, UPSTREAM_MODEL};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Ok(request) = wire::read_request(Format::Responses, Operation::Chat, input, &LIMITS) else { return };
    wire_fuzz::write(Format::Responses, &request, |cell, out| {
        if cell.upstream() == Format::OpenAi {
            // Instructions are a message more, a thought may be one, and a picture is labelled by its first bytes.
            let limits = wire::ReadLimits { depth: 128, messages: 17, ..LIMITS };
            if String::from_utf8_lossy(out).contains("data:image/gif") {
                return;
            }
            let again = wire::read_request(Format::OpenAi, Operation::Chat, out, &limits);
            let again = again.expect("what is written reads in its own dialect");
            assert_eq!((again.model(), again.stream()), (UPSTREAM_MODEL, request.stream()));
            // One that stands in a part of another kind is counted, and goes nowhere.
            assert!(again.images() <= request.images());
        }
    });
    let reply = wire::Reply { manner: request.manner(), ..wire::Reply::new("0123456789abcdef01234567", "m") };
    let mut out = Vec::new();
    wire::Opening::new(Format::Responses, Operation::Chat, reply).fail(
        &wire::ErrorBody::new(wire::ErrorType::Server, "failed", 502),
        &mut out,
    );
    // What a response repeats of its request stays within its line.
    let line = out.strip_prefix(b"event: response.failed\ndata: ").and_then(|line| line.strip_suffix(b"\n\n"));
    let line = line.expect("one event");
    assert!(wire::json::accepts(line, 128) && !line.contains(&b'\n') && !line.contains(&b'\r'));
});

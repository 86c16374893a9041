//! The reader of requests for responses, every writer behind it, and what a response repeats of its request.
#![no_main]

use wire::{ErrorBody, ErrorType, Format, Opening, Operation, Reply};
use wire_fuzz::LIMITS;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    wire_fuzz::requests(Format::Responses, Operation::Chat, input);
    let Ok(request) = wire::read_request(Format::Responses, Operation::Chat, input, &LIMITS) else { return };
    let reply = Reply { manner: request.manner(), ..Reply::new("0123456789abcdef01234567", "m") };
    let mut out = Vec::new();
    let error = ErrorBody::new(ErrorType::Server, "failed", 502);
    Opening::new(Format::Responses, Operation::Chat, reply).fail(&error, &mut out);
    let line = out.strip_prefix(b"event: response.failed\ndata: ").and_then(|line| line.strip_suffix(b"\n\n"));
    let line = line.expect("one event");
    assert!(wire::json::accepts(line, 128) && !line.contains(&b'\n') && !line.contains(&b'\r'));
});

//! Whatever an upstream refuses with, the text for the caller is ours and the detail is bounded.
#![no_main]

use wire::Format;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((status, body)) = input.split_at_checked(2) else { return };
    let status = u16::from_le_bytes([status[0], status[1]]) % 700;
    for upstream in [Format::Ollama, Format::OpenAi] {
        let fault = wire::read_refusal(upstream, status, None, body);
        assert!(fault.message.len() < 200 && fault.message.is_ascii());
        assert!(fault.detail.len() <= 2048 && !fault.detail.contains('\n'));
    }
});

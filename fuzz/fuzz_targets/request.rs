//! No body makes the reader panic, and what a writer makes of an accepted one is JSON.
#![no_main]

use wire::{Format, Lane, Outbound, ReadLimits};

const LIMITS: ReadLimits = ReadLimits { depth: 16, messages: 8, tools: 4, images: 2, image_bytes: 64 };

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Ok(request) = wire::read_request(Format::OpenAi, input, &LIMITS) else { return };
    let estimate = request.prompt_tokens();
    assert!(estimate.low <= estimate.high && estimate.high <= request.prompt_bytes());
    let options = ["keep_alive", "num_ctx", "top_k", "think", "format", "options", "x"].map(str::to_owned);
    let to = Outbound {
        sampling_defaults: true,
        options: &options,
        num_ctx: Some(4096),
        keep_alive: Some("5m"),
        output_tokens_max: Some(9),
        refuse_truncation: true,
        ..Outbound::to("up\"\n")
    };
    for (lane, upstream) in [(Lane::Translate, Format::Ollama), (Lane::Relay, Format::OpenAi)] {
        let mut out = Vec::new();
        if wire::write_request(lane, upstream, &request, &to, &mut out).is_err() {
            continue;
        }
        assert!(wire::json::accepts(&out, 128));
        if lane == Lane::Relay {
            // What the upstream reads is what we read, under its own name for the model.
            let again = wire::read_request(Format::OpenAi, &out, &LIMITS).expect("the spliced body reads as well");
            assert_eq!(again.model(), to.model);
            assert_eq!((again.stream(), again.prompt_chars()), (request.stream(), request.prompt_chars()));
            assert!(again.include_usage() || !again.stream());
            assert!(again.max_output_tokens().is_some_and(|cap| cap <= 9));
        }
    }
});

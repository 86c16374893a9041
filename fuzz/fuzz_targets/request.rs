//! No body makes the reader panic, and what a writer makes of an accepted one is JSON.
#![no_main]

use wire::{Format, Lane, Outbound, ReadLimits};

const LIMITS: ReadLimits = ReadLimits { depth: 16, messages: 8, tools: 4, images: 2, image_bytes: 64 };

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Ok(request) = wire::read_chat(Format::OpenAi, input, &LIMITS) else { return };
    let to = Outbound { openai_sampling_defaults: true, ..Outbound::to("up\"\n") };
    for (lane, upstream) in [(Lane::Translate, Format::Ollama), (Lane::Relay, Format::OpenAi)] {
        let mut out = Vec::new();
        if wire::write_chat(lane, upstream, &request, &to, &mut out).is_err() {
            continue;
        }
        assert!(wire::json::accepts(&out, 128));
        if lane == Lane::Relay {
            // What the upstream reads is what we read, under its own name for the model.
            let again = wire::read_chat(Format::OpenAi, &out, &LIMITS).expect("the spliced body reads as well");
            assert_eq!(again.model(), to.model);
            assert_eq!((again.stream(), again.prompt_chars()), (request.stream(), request.prompt_chars()));
            assert!(again.include_usage() || !again.stream());
        }
    }
});

//! What a runtime tells of its models and of work on them, and who asks for such work.
#![no_main]

use wire::{AnswerStream, Format, Manage, ModelEntry, Progress, Reply};
use wire_fuzz::{LIMITS, cut};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    told(input);
    for which in Manage::GRANTED {
        if let Ok(request) = wire::read_manage(which, input, &LIMITS) {
            assert!(request.models().all(|name| !name.is_empty() && !name.contains(char::is_control)));
            let mut out = Vec::new();
            wire::write_manage(&request, &mut out);
            assert!(wire::json::accepts(&out, 128));
        }
    }
    let _named = wire::read_show_request(input, &LIMITS);
    let (size, bytes) = cut(input);
    let whole = work(bytes, bytes.len().max(1));
    assert_eq!(whole, work(bytes, size));
    for line in whole.0.lines() {
        assert!(wire::json::accepts(line.as_bytes(), 8) && !line.contains(['/', '\\']));
    }
});

fn told(input: &[u8]) {
    let mut out = Vec::new();
    for upstream in [Format::Ollama, Format::OpenAi] {
        if let Ok(models) = wire::read_models(upstream, input) {
            for client in Format::ALL {
                out.clear();
                wire::write_models(client, models.iter().map(ModelEntry::listed), &mut out);
                assert!(wire::json::accepts(&out, 128));
            }
        }
        if let Ok(shown) = wire::read_show(upstream, "m", input) {
            for with_texts in [false, true] {
                out.clear();
                wire::write_show(Format::Ollama, &shown, with_texts, &mut out);
                assert!(wire::json::accepts(&out, 128));
            }
        }
    }
    if let Ok(models) = wire::read_resident(input) {
        out.clear();
        wire::write_resident(models.iter().map(|model| (model.name.as_str(), model)), &mut out);
        assert!(wire::json::accepts(&out, 128));
    }
}

fn work(bytes: &[u8], size: usize) -> (String, Progress) {
    let mut stream = AnswerStream::of_work(Reply { line_bytes_max: 512, ..Reply::new("x", "m") });
    let mut out = Vec::new();
    for piece in bytes.chunks(size) {
        stream.push(piece, &mut out);
    }
    let progress = stream.end(&mut out);
    (String::from_utf8(out).expect("UTF-8 goes to clients"), progress)
}

//! What a request and a token cost: read and write a request of 18 KB, translate a stream chunk, relay a stream chunk.
//!
//! The stream is kept alive between rounds and the buffer is reused, as on a live connection.

#![allow(clippy::unwrap_used, reason = "a benchmark stops by panicking")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wire::{AnswerStream, Format, Operation, Outbound, ReadLimits, Reply};

/// The cell of a chat that came in OpenAI's format.
fn chat(upstream: Format) -> wire::Cell {
    wire::cell(Format::OpenAi, upstream, Operation::Chat).unwrap()
}

const LIMITS: ReadLimits =
    ReadLimits { depth: 64, messages: 1024, tools: 128, images: 8, image_bytes: 1 << 24 };

/// 21 messages and 6 tools.
fn request_body() -> String {
    let text = "The quick brown fox said: \\\"jump\\\" over the lazy dog.\\n".repeat(12);
    let messages: Vec<String> = (0..21)
        .map(|turn| {
            format!(
                r#"{{"role":"{}","content":"{turn} {text}"}}"#,
                if turn % 2 == 0 { "user" } else { "assistant" }
            )
        })
        .collect();
    let tool = r#"{"type":"function","function":{"name":"search","description":"Searches a catalogue of things by name, size and colour","parameters":{"type":"object","properties":{"name":{"type":"string"},"size":{"type":"integer"},"colour":{"type":"string","enum":["red","green","blue"]}},"required":["name"]}}}"#;
    let tools = [tool; 6].join(",");
    format!(
        r#"{{"model":"m","messages":[{}],"tools":[{tools}],"stream":true,"temperature":0.7}}"#,
        messages.join(",")
    )
}

fn requests(criterion: &mut Criterion) {
    let body = request_body();
    let to = Outbound { sampling_defaults: true, ..Outbound::to("registry.internal/m:32b") };
    let mut group = criterion.benchmark_group("request");
    group.throughput(Throughput::Bytes(u64::try_from(body.len()).unwrap()));
    let mut out = Vec::with_capacity(body.len() * 2);
    for (name, upstream) in [("translate", Format::Ollama), ("relay", Format::OpenAi)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                let request =
                    wire::read_request(Format::OpenAi, Operation::Chat, black_box(body.as_bytes()), &LIMITS)
                        .unwrap();
                wire::write_request(chat(upstream), &request, &to, &mut out).unwrap();
                black_box(out.len())
            });
        });
    }
    group.finish();
}

fn chunks(criterion: &mut Criterion) {
    let reply = Reply {
        created: 1_700_000_000,
        line_bytes_max: 1 << 20,
        ..Reply::new("0123456789abcdef01234567", "m")
    };
    let native = "{\"model\":\"registry.internal/m:32b\",\"created_at\":\"2026-01-02T03:04:05.678901Z\",\"message\":{\"role\":\"assistant\",\"content\":\" world\"},\"done\":false}\n";
    let compatible = "data: {\"id\":\"chatcmpl-up\",\"object\":\"chat.completion.chunk\",\"created\":1767323045,\"model\":\"served\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" world\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n";
    let mut group = criterion.benchmark_group("chunk");
    for (client, upstream, chunk) in [
        (Format::OpenAi, Format::Ollama, native),
        (Format::Responses, Format::Ollama, native),
        (Format::Anthropic, Format::Ollama, native),
        (Format::Ollama, Format::Ollama, native),
        (Format::OpenAi, Format::OpenAi, compatible),
        (Format::Anthropic, Format::OpenAi, compatible),
    ] {
        let cell = wire::cell(client, upstream, Operation::Chat).unwrap();
        let name = format!("{} on {}", client.as_str(), upstream.as_str());
        // One that remembers its text would grow without end here.
        let reply = Reply { line_bytes_max: usize::MAX, ..reply.clone() };
        let mut stream = AnswerStream::new(cell, reply, None);
        let mut out = Vec::with_capacity(1024);
        group.throughput(Throughput::Bytes(u64::try_from(chunk.len()).unwrap()));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                black_box(stream.push(black_box(chunk.as_bytes()), &mut out));
                black_box(out.len())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, requests, chunks);
criterion_main!(benches);

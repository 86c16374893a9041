//! A token costs no allocation, on either lane, escapes and cut records included, once the buffers have grown.
//!
//! Never here: time. Alone in its file, because the counting allocator counts for the whole process.

#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "an allocator can only be counted by being one; a test fails by panicking"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use wire::{AnswerStream, Format, Operation, Progress, Reply};

fn cell(client: Format, operation: Operation, upstream: Format) -> wire::Cell {
    wire::cell(client, upstream, operation).unwrap()
}

thread_local! {
    // By thread: the test harness allocates on its own.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn check(client: Format, operation: Operation, upstream: Format, chunk: &str) {
    let count = counted(cell(client, operation, upstream), chunk);
    assert_eq!(count, 0, "allocations in 200 chunks of {chunk} for {client:?}");
}

/// Allocations in 200 chunks, after the first ones.
fn counted(cell: wire::Cell, chunk: &str) -> u64 {
    let reply = Reply {
        include_usage: true,
        created: 1_700_000_000,
        reasoning_alias: true,
        line_bytes_max: 1 << 16,
        ..Reply::new("0123456789abcdef01234567", "m")
    };
    let mut stream = AnswerStream::new(cell, reply, None);
    let mut out = Vec::with_capacity(1 << 16);
    let (head, tail) = chunk.as_bytes().split_at(chunk.len() / 2);
    let mut round = || {
        out.clear();
        for piece in [chunk.as_bytes(), head, tail] {
            assert_eq!(stream.push(piece, &mut out), Progress::Flowing);
        }
    };
    round();
    let before = COUNT.with(Cell::get);
    (0..100).for_each(|_| round());
    COUNT.with(Cell::get) - before
}

#[test]
fn translating_a_token() {
    for message in
        [r#""content":" world""#, r#""content":"\u003cb\u003e \"é\" \n""#, r#""content":"a","thinking":"b""#]
    {
        let line = format!(
            "{{\"model\":\"up\",\"created_at\":\"2026-01-02T03:04:05.678901Z\",\"message\":{{\"role\":\"assistant\",{message}}},\"done\":false,\"logprobs\":[{{\"token\":\"x\",\"logprob\":-0.5,\"bytes\":[1]}}]}}\n"
        );
        for client in [Format::OpenAi, Format::Ollama, Format::Anthropic] {
            check(client, Operation::Chat, Format::Ollama, &line);
        }
    }
}

#[test]
fn relaying_a_token() {
    for delta in [
        r#""content":" wor\u003cld""#,
        r#""reasoning_content":"a""#,
        r#""tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]"#,
    ] {
        let event = format!(
            "data: {{\"id\":\"up\",\"created\":5,\"model\":\"up\",\"choices\":[{{\"index\":0,\"delta\":{{{delta}}},\"finish_reason\":null}}],\"usage\":{{\"prompt_tokens\":1,\"completion_tokens\":2}}}}\n\n"
        );
        check(Format::OpenAi, Operation::Chat, Format::OpenAi, &event);
    }
}

#[test]
fn a_token_of_a_completion() {
    let logprobs = r#"[{"token":" x","logprob":-0.5,"top_logprobs":[{"token":" x","logprob":-0.5},{"token":"é","logprob":-2}]}]"#;
    for said in [r#""response":" wor\u003cld""#, r#""response":"","thinking":"b""#] {
        let line = format!(
            "{{\"model\":\"up\",\"created_at\":\"2026-01-02T03:04:05.678901Z\",{said},\"done\":false,\"logprobs\":{logprobs}}}\n"
        );
        check(Format::OpenAi, Operation::Complete, Format::Ollama, &line);
    }
    let lists = r#"{"tokens":[" x"],"token_logprobs":[-0.5],"top_logprobs":[{" x":-0.5}],"text_offset":[7]}"#;
    for spelt in [lists.to_owned(), format!("{{\"content\":{logprobs}}}"), "null".to_owned()] {
        let event = format!(
            "data: {{\"id\":\"up\",\"created\":5,\"choices\":[{{\"index\":0,\"text\":\" wor\\u003cld\",\"logprobs\":{spelt},\"finish_reason\":null}}]}}\n\n"
        );
        check(Format::OpenAi, Operation::Complete, Format::OpenAi, &event);
    }
}

#[test]
fn translating_a_compatible_servers_token() {
    for delta in [r#""content":" wor\u003cld""#, r#""reasoning_content":"a""#] {
        let event = format!(
            "data: {{\"id\":\"up\",\"created\":5,\"model\":\"up\",\"choices\":[{{\"index\":0,\"delta\":{{{delta}}},\"finish_reason\":null}}]}}\n\n"
        );
        for client in [Format::Ollama, Format::Anthropic] {
            check(client, Operation::Chat, Format::OpenAi, &event);
        }
    }
}

#[test]
fn remembering_a_token() {
    // The text is told once more at its end: the buffers that hold it are doubled a few times, whatever the count of tokens.
    for message in [r#""content":" wor\u003cld""#, r#""thinking":"a""#] {
        let line = format!("{{\"message\":{{\"role\":\"assistant\",{message}}},\"done\":false}}\n");
        let cell = wire::cell(Format::Responses, Format::Ollama, Operation::Chat).unwrap();
        assert!(counted(cell, &line) <= 8, "{line}");
    }
}

//! Numbers: bounds on input, the four clocks, the rate window, memory, queue, audit and answer settings.
//!
//! Why here: each is one line from a key to a field, and they are only safe together (an idle clock longer than the total
//! one never fires).
//!
//! Never here: defaults. Those stand in the settings' rows and are compared with the gateway's by a test.

use std::time::Duration;

use gateway::config::{
    Admission, Answer, Audit, AuditPolicy, Clocks, InputLimits, Liveness, Memory, Rate, RetryAfter, Upstream,
};

use crate::config::Context;
use crate::config::section::{Section, clipped};

/// A numeric key as this program counts in memory. Every row read here has a default, so absence cannot happen.
fn count(section: &Section<'_>, key: &str) -> usize {
    usize::try_from(whole(section, key)).unwrap_or(usize::MAX)
}

fn whole(section: &Section<'_>, key: &str) -> u64 {
    section.number(key).map(|at| at.value).unwrap_or_default()
}

fn millis(section: &Section<'_>, key: &str) -> Duration {
    Duration::from_millis(whole(section, key))
}

/// The window under `key`; `None` when absent or switched off.
pub(super) fn rate(parent: &Section<'_>, key: &str) -> Option<Rate> {
    let section = parent.section(key);
    let enabled = section.flag("enabled").value;
    let requests_max = u32::try_from(whole(&section, "max_requests")).unwrap_or(u32::MAX);
    let window = Duration::from_secs(whole(&section, "window_seconds"));
    let retry_after = retry_after(&section);
    (parent.has(key) && enabled).then_some(Rate { requests_max, window, retry_after })
}

pub(super) fn retry_after(section: &Section<'_>) -> RetryAfter {
    match section.choice("retry_after").value {
        "window" => RetryAfter::Window,
        _ => RetryAfter::Exact,
    }
}

pub(super) fn input(section: &Section<'_>) -> InputLimits {
    InputLimits {
        prompt_chars_max: count(section, "prompt_chars"),
        body_bytes_max: count(section, "body_bytes"),
        header_bytes_max: count(section, "header_bytes"),
        headers_max: count(section, "headers"),
        uri_bytes_max: count(section, "uri_bytes"),
        json_depth_max: count(section, "json_depth"),
        messages_max: count(section, "messages"),
        tools_max: count(section, "tools"),
        images_max: count(section, "images"),
        image_bytes_max: count(section, "image_bytes"),
        header_time: millis(section, "header_ms"),
        body_time: millis(section, "body_ms"),
        connections_max: count(section, "connections"),
    }
}

pub(super) fn answer(response: &Section<'_>) -> Answer {
    let mut answer = Answer {
        reasoning_alias: response.flag("reasoning_alias").value,
        model_sampling_defaults: response.flag("model_sampling_defaults").value,
        lenient_tool_choice: response.flag("lenient_tool_choice").value,
        output_tokens_max: response.number("output_tokens_max").map(|at| at.value),
        truncate: response.flag("truncate").value,
        ..Answer::default()
    };
    for field in response.texts("strip").map(|at| at.value).unwrap_or_default() {
        match field.value.as_str() {
            "model" => answer.strip.model = true,
            "created" => answer.strip.created = true,
            other => {
                let what = format!("`{}` cannot be stripped", clipped(other));
                response.report().error(&field.place, what, "give `model`, `created`, or both");
            }
        }
    }
    answer
}

pub(super) fn clocks(timeouts: &Section<'_>) -> Clocks {
    let clocks = Clocks {
        connect: millis(timeouts, "connect_ms"),
        first_byte: millis(timeouts, "first_byte_ms"),
        idle: millis(timeouts, "idle_ms"),
        total: millis(timeouts, "total_ms"),
        client_write: millis(timeouts, "client_write_ms"),
        queue: millis(timeouts, "queue_ms"),
        load: millis(timeouts, "load_ms"),
        heartbeat: millis(timeouts, "heartbeat_ms"),
        drain: millis(timeouts, "drain_ms"),
    };
    for (key, clock) in [("first_byte_ms", clocks.first_byte), ("idle_ms", clocks.idle)] {
        if clock > clocks.total {
            let what = "is longer than `total_ms`, so it could never fire";
            timeouts.report().error(&timeouts.place_of(key), what, "make it shorter, or `total_ms` longer");
        }
    }
    clocks
}

/// What the program itself takes, and what an allocator does not give back at once: seen in the soak.
const PROGRAM_BYTES: u64 = 40 << 20;

pub(super) fn memory(section: &Section<'_>, input: &InputLimits) -> Memory {
    let ceiling_bytes = whole(section, "ceiling_bytes");
    let memory = Memory { buffer_bytes_max: ceiling_bytes.saturating_sub(PROGRAM_BYTES) };
    let body_bytes_max = u64::try_from(input.body_bytes_max).unwrap_or(u64::MAX);
    if memory.buffer_bytes_max < body_bytes_max {
        // The longest body that is allowed could never be read.
        let what = format!("leaves no room for one request body (`input.body_bytes`: {body_bytes_max})");
        let fix = "make it larger, or `input.body_bytes` smaller";
        section.report().error(&section.place_of("ceiling_bytes"), what, fix);
    }
    memory
}

pub(super) fn admission(section: &Section<'_>, upstreams: &[Upstream]) -> Admission {
    let in_flight_per_user = section.number("in_flight_per_user").map(|at| (at.value, at.place));
    let slots = upstreams.iter().map(|u| u.slots).try_fold(0_usize, |sum, slots| Some(sum + slots?));
    let in_flight_per_user = in_flight_per_user.map(|(max, place)| {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        if slots.is_some_and(|slots| slots > 0 && max >= slots) {
            let what =
                "is not below the slots of all upstreams together, so it could never hold anybody back";
            section.report().warning(&place, what, "make it smaller, or leave it out");
        }
        max
    });
    Admission { in_flight_per_user, ageing: millis(section, "ageing_ms") }
}

pub(super) fn liveness(section: &Section<'_>) -> Liveness {
    let liveness = Liveness {
        probe_every: millis(section, "probe_every_ms"),
        dead_after: millis(section, "dead_after_ms"),
    };
    if liveness.dead_after < liveness.probe_every * 2 {
        let what = "leaves no room for two probes, so one lost probe would stop the service";
        let fix = "make it at least twice `probe_every_ms`";
        section.report().error(&section.place_of("dead_after_ms"), what, fix);
    }
    liveness
}

pub(super) fn audit(section: &Section<'_>, context: &Context<'_>) -> Audit {
    Audit {
        file: section.text("file").map(|file| context.path(&file.value)),
        rotate_bytes: whole(section, "rotate_bytes"),
        keep_files: count(section, "keep_files"),
        buffer_records: count(section, "buffer_records"),
        on_error: match section.choice("on_error").value {
            "drop" => AuditPolicy::Drop,
            _ => AuditPolicy::Refuse,
        },
    }
}

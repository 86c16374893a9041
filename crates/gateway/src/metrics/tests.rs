//! What a scrape shows.

use std::collections::HashSet;

use wire::{Fault, UpstreamFault, UpstreamFaultKind};

use super::*;
use crate::config::{Counts, FilterAction};
use crate::standing::{Refusal, Remedy};

fn scrape(metrics: &Metrics) -> String {
    let mut out = String::new();
    metrics.encode(&mut out);
    out
}

/// The value of one series, written as a scrape writes it.
fn value(metrics: &Metrics, series: &str) -> f64 {
    let text = scrape(metrics);
    let line = text.lines().find_map(|line| line.strip_prefix("gatehouse_")?.strip_prefix(series));
    line.unwrap_or_else(|| panic!("no {series} in\n{text}")).trim().parse().unwrap()
}

fn record(status: u16, end: &'static str) -> Record {
    Record { status, end, ..Record::default() }
}

const CHAT: &str = "/v1/chat/completions";

#[test]
fn known_series_begin_at_zero() {
    let metrics = Metrics::new();
    for series in [
        r#"http_requests_total{route="/v1/chat/completions",code="200"}"#,
        r#"http_requests_total{route="none",code="200"}"#,
        "requests_in_flight",
        "connections_open",
        "connections_total",
        "queue_wait_seconds_count",
        "time_to_first_token_seconds_count",
        r#"request_duration_seconds_count{route="/v1/chat/completions"}"#,
        r#"tokens_total{direction="prompt",model="other"}"#,
        r#"tokens_total{direction="output",model="other"}"#,
        r#"limit_rejections_total{reason="key_requests"}"#,
        r#"limit_rejections_total{reason="user_requests"}"#,
        r#"limit_rejections_total{reason="users"}"#,
        r#"limit_rejections_total{reason="queue_full"}"#,
        r#"limit_rejections_total{reason="queue_timeout"}"#,
        r#"auth_failures_total{reason="bad_key"}"#,
        r#"auth_failures_total{reason="two_credentials"}"#,
        r#"auth_failures_total{reason="address"}"#,
        r#"upstream_errors_total{phase="first_byte",kind="down"}"#,
        r#"upstream_errors_total{phase="stream",kind="cut"}"#,
        r#"cancelled_total{phase="queued"}"#,
        r#"cancelled_total{phase="first_byte"}"#,
        r#"cancelled_total{phase="stream"}"#,
        "panics_total",
        "audit_records_total",
        "audit_errors_total",
        "audit_lost_total",
    ] {
        assert_eq!(value(&metrics, series), 0.0, "{series}");
    }
    assert_eq!(value(&metrics, concat!(r#"build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""}"#)), 1.0);
    assert_eq!(value(&metrics, "config_last_reload_successful"), 1.0);
    assert!(value(&metrics, "config_last_reload_success_timestamp_seconds") > 1.7e9);
    assert!(scrape(&metrics).ends_with("# EOF\n"));
}

#[test]
fn every_family_has_one_name_a_help_and_the_prefix() {
    let metrics = Metrics::new();
    metrics.upstream_state(&"gpu1".into(), 0);
    metrics.queues(std::iter::empty());
    metrics.filtered(&"secrets".into(), FilterAction::Mask, 1);
    let text = scrape(&metrics);
    let mut names = HashSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap();
        assert!(name.starts_with("gatehouse_") && names.insert(name), "{name}");
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
    }
    assert_eq!(names.len(), 25);
    let mut series = HashSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert!(series.insert(line.rsplit_once(' ').unwrap().0), "{line}");
    }
}

#[test]
fn a_request_is_counted_from_begin_to_end() {
    let metrics = Metrics::new();
    let connection = metrics.connection_opened();
    metrics.request_began();
    assert_eq!((value(&metrics, "requests_in_flight"), value(&metrics, "connections_open")), (1.0, 1.0));
    metrics.queued_for(Duration::from_millis(3));
    metrics.first_byte_after(Duration::from_millis(300));
    metrics.request_ended(CHAT, &record(200, "complete"), Duration::from_secs(3));
    drop(connection);
    for (series, expected) in [
        ("requests_in_flight", 0.0),
        ("connections_open", 0.0),
        ("connections_total", 1.0),
        (r#"http_requests_total{route="/v1/chat/completions",code="200"}"#, 1.0),
        (r#"queue_wait_seconds_bucket{le="0.005"}"#, 1.0),
        (r#"queue_wait_seconds_bucket{le="0.001"}"#, 0.0),
        (r#"time_to_first_token_seconds_bucket{le="0.5"}"#, 1.0),
        (r#"request_duration_seconds_bucket{le="5.0",route="/v1/chat/completions"}"#, 1.0),
        (r#"request_duration_seconds_bucket{le="2.5",route="/v1/chat/completions"}"#, 0.0),
        (r#"request_duration_seconds_sum{route="/v1/chat/completions"}"#, 3.0),
    ] {
        assert_eq!(value(&metrics, series), expected, "{series}");
    }
}

#[test]
fn ends_and_refusals_go_to_their_series() {
    let refusal = |reason| {
        Error::RateLimited(Refusal {
            rule: None,
            counts: Counts::Requests,
            limit: 1,
            remaining: 0,
            requested: 1,
            reset: Duration::ZERO,
            wait: Duration::ZERO,
            retry_after_s: 1,
            remedy: Remedy::Wait,
            reason,
        })
    };
    let upstream = |kind| Error::Upstream(UpstreamFault { kind, message: "m".into(), detail: "d".into() });
    let cases = [
        (refusal(Reason::KeyRequests), r#"limit_rejections_total{reason="key_requests"}"#),
        (refusal(Reason::UserRequests), r#"limit_rejections_total{reason="user_requests"}"#),
        (refusal(Reason::Users), r#"limit_rejections_total{reason="users"}"#),
        (Error::Busy, r#"limit_rejections_total{reason="queue_full"}"#),
        (Error::Deadline(Clock::Queue), r#"limit_rejections_total{reason="queue_timeout"}"#),
        (Error::BadKey, r#"auth_failures_total{reason="bad_key"}"#),
        (Error::TwoCredentials, r#"auth_failures_total{reason="two_credentials"}"#),
        (Error::AddressRefused, r#"auth_failures_total{reason="address"}"#),
        (Error::UpstreamDown, r#"upstream_errors_total{phase="first_byte",kind="down"}"#),
        (Error::Deadline(Clock::FirstByte), r#"upstream_errors_total{phase="first_byte",kind="timeout"}"#),
        (upstream(UpstreamFaultKind::Overloaded), r#"upstream_errors_total{phase="first_byte",kind="busy"}"#),
        (upstream(UpstreamFaultKind::Broken), r#"upstream_errors_total{phase="first_byte",kind="broken"}"#),
    ];
    for (error, series) in cases {
        let metrics = Metrics::new();
        metrics.refused(&error);
        assert_eq!(value(&metrics, series), 1.0, "{series}");
        assert_eq!(refusals(&metrics), 1.0, "{series}");
    }
    let fault = Fault { code: "invalid_value", param: None, message: "m".into() };
    for error in [Error::Request(fault), Error::NoRoute, upstream(UpstreamFaultKind::ModelNotFound)] {
        let metrics = Metrics::new();
        metrics.refused(&error);
        assert_eq!(refusals(&metrics), 0.0, "{error}");
    }
}

/// All refusals and upstream errors together.
fn refusals(metrics: &Metrics) -> f64 {
    let names = ["gatehouse_limit_", "gatehouse_auth_", "gatehouse_upstream_errors_"];
    let text = scrape(metrics);
    let lines = text.lines().filter(|line| names.iter().any(|name| line.starts_with(name)));
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
}

#[test]
fn how_far_a_request_came_is_read_from_its_record() {
    let cases = [
        ("client_gone", None, None, r#"cancelled_total{phase="queued"}"#),
        ("client_gone", Some(1), None, r#"cancelled_total{phase="first_byte"}"#),
        ("client_gone", Some(1), Some(2), r#"cancelled_total{phase="stream"}"#),
        ("upstream_cut", Some(1), Some(2), r#"upstream_errors_total{phase="stream",kind="cut"}"#),
        ("deadline", Some(1), Some(2), r#"upstream_errors_total{phase="stream",kind="timeout"}"#),
    ];
    for (end, ms_queued, ms_first_byte, series) in cases {
        let metrics = Metrics::new();
        metrics.request_began();
        let record = Record { ms_queued, ms_first_byte, ..record(200, end) };
        metrics.request_ended(CHAT, &record, Duration::ZERO);
        assert_eq!(value(&metrics, series), 1.0, "{series}");
    }
}

/// A caller's model name is a label only if it is one of ours.
#[test]
fn tokens_are_counted_for_served_models_only() {
    let metrics = Metrics::new();
    metrics.serve_models(["qwen3:32b", "a\"b\\c\nd"]);
    let spend = |model: &str| {
        metrics.request_began();
        let mut record = Record { prompt_tokens: Some(5), output_tokens: Some(7), ..record(200, "complete") };
        record.model = Some(model.to_owned());
        metrics.request_ended(CHAT, &record, Duration::ZERO);
    };
    for model in ["qwen3:32b", "qwen3:32b", "made-up-1", "made-up-2", "made-up-3", "a\"b\\c\nd"] {
        spend(model);
    }
    metrics.serve_models(["qwen3:32b"]);
    for (series, expected) in [
        (r#"tokens_total{direction="prompt",model="qwen3:32b"}"#, 10.0),
        (r#"tokens_total{direction="output",model="qwen3:32b"}"#, 14.0),
        (r#"tokens_total{direction="prompt",model="other"}"#, 15.0),
        (r#"tokens_total{direction="output",model="other"}"#, 21.0),
        (r#"tokens_total{direction="output",model="a\"b\\c\nd"}"#, 7.0),
    ] {
        assert_eq!(value(&metrics, series), expected, "{series}");
    }
    assert!(!scrape(&metrics).contains("made-up"));
}

#[test]
fn the_number_of_models_is_bounded() {
    let metrics = Metrics::new();
    let names: Vec<String> = (0..10_000).map(|number| format!("m{number}")).collect();
    metrics.serve_models(names.iter().map(String::as_str));
    let series = scrape(&metrics).lines().filter(|line| line.starts_with("gatehouse_tokens_total")).count();
    assert_eq!(series, 2 * (MODELS_MAX + 1));
}

#[test]
fn upstreams_come_and_go() {
    let metrics = Metrics::new();
    let name: Arc<str> = "gpu1".into();
    metrics.upstream_state(&name, 2);
    assert_eq!(value(&metrics, r#"breaker_state{upstream="gpu1"}"#), 2.0);
    metrics.upstream_gone(&name);
    assert!(!scrape(&metrics).contains("gpu1"));
}

/// A caller's own words for a model are no label.
#[test]
fn queues_of_models_without_series_count_together() {
    let metrics = Metrics::new();
    metrics.serve_models(["qwen3:32b"]);
    let names: [Arc<str>; 3] = ["qwen3:32b".into(), "made-up".into(), "another".into()];
    metrics.queues(names.iter().zip([17, 2, 3]));
    assert_eq!(value(&metrics, r#"queue_depth{model="qwen3:32b"}"#), 17.0);
    assert_eq!(value(&metrics, r#"queue_depth{model="other"}"#), 5.0);
    metrics.queues(std::iter::empty());
    assert_eq!(value(&metrics, r#"queue_depth{model="qwen3:32b"}"#), 0.0);
    assert_eq!(value(&metrics, r#"queue_depth{model="other"}"#), 0.0);
    assert!(!scrape(&metrics).contains("made-up"));
}

#[test]
fn a_failed_reload_keeps_the_time_of_the_good_one() {
    let metrics = Metrics::new();
    let at = value(&metrics, "config_last_reload_success_timestamp_seconds");
    metrics.reloaded(false);
    assert_eq!(value(&metrics, "config_last_reload_successful"), 0.0);
    assert_eq!(value(&metrics, "config_last_reload_success_timestamp_seconds"), at);
    metrics.panicked();
    assert_eq!(value(&metrics, "panics_total"), 1.0);
}

#[tokio::test]
async fn the_audit_log_is_taken_over_at_a_scrape() {
    let metrics = Metrics::new();
    let log = crate::audit::AuditLog::start(&crate::config::Audit::default()).unwrap();
    log.reserve().unwrap().write(record(200, "complete"));
    let late = log.reserve().unwrap();
    log.close().await;
    late.write(record(200, "complete"));
    for _ in 0..2 {
        metrics.audit_state(&log);
        assert_eq!((value(&metrics, "audit_records_total"), value(&metrics, "audit_lost_total")), (1.0, 1.0));
    }
    assert_eq!(value(&metrics, "audit_errors_total"), 0.0);
}

//! What a reload may change on an upstream that stays.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use http::uri::Authority;

use super::*;
use crate::config::Secret;
use crate::dial::Stream;

/// A server that is not there.
struct Nowhere;

impl Dial for Nowhere {
    fn dial(&self, _: &Authority) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>> {
        Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
    }
}

fn config() -> config::Upstream {
    config::Upstream {
        name: "gpu".into(),
        authority: Authority::from_static("upstream.test:11434"),
        base_path: String::new(),
        format: Format::Ollama,
        slots: Some(2),
        queue_max: 64,
        drain: false,
        bearer: None,
    }
}

fn changed(change: impl FnOnce(&mut config::Upstream)) -> config::Upstream {
    let mut config = config();
    change(&mut config);
    config
}

#[tokio::test]
async fn a_reload_changes_settings_and_keeps_the_server() {
    let upstream = Upstream::new(config(), Arc::new(Nowhere));
    assert!(upstream.takes());
    assert!(upstream.adopt(&changed(|config| {
        config.slots = None;
        config.queue_max = 7;
        config.drain = true;
    })));
    assert_eq!(upstream.settings(), Settings { slots: None, queue_max: 7, drain: true });
    assert!(!upstream.takes());
    assert!(upstream.adopt(&config()));
    assert_eq!(upstream.settings(), Settings { slots: Some(2), queue_max: 64, drain: false });
    assert!(upstream.takes());
}

#[tokio::test]
async fn an_upstream_of_this_machine_is_known_by_its_address() {
    for (authority, here) in [
        ("127.0.0.1:1", true),
        ("localhost:1", true),
        ("[::1]:1", true),
        ("[::ffff:127.0.0.1]:1", true),
        ("10.0.0.9:1", false),
        ("upstream.test:1", false),
    ] {
        let config = changed(|config| config.authority = Authority::from_static(authority));
        assert_eq!(Upstream::new(config, Arc::new(Nowhere)).pool.is_here(), here, "{authority}");
    }
}

#[tokio::test]
async fn another_server_is_not_adopted() {
    let upstream = Upstream::new(config(), Arc::new(Nowhere));
    let other_slots = |config: &mut config::Upstream| config.slots = Some(9);
    for (other, same_id) in [
        (changed(|config| config.name = "other".into()), false),
        (changed(|config| config.authority = Authority::from_static("upstream.test:11435")), false),
        (changed(|config| config.base_path = "/v2".into()), false),
        (changed(|config| config.format = Format::OpenAi), false),
        // The same server, but every connection has to be made anew.
        (changed(|config| config.bearer = Some(Secret("s".into()))), true),
    ] {
        let mut wanted = other.clone();
        other_slots(&mut wanted);
        assert!(!upstream.adopt(&wanted));
        assert_eq!(upstream.settings().slots, Some(2), "nothing is taken over from another");
        let anew = Upstream::new(wanted, Arc::new(Nowhere));
        assert_eq!(anew.id() == upstream.id(), same_id, "{other:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_send_it_out_for_a_while() {
    let upstream = Upstream::new(config(), Arc::new(Nowhere));
    let out = || upstream.is_ejected(Instant::now());
    for _ in 0..4 {
        upstream.failed();
    }
    upstream.succeeded();
    for _ in 0..4 {
        upstream.failed();
    }
    assert!(!out());
    upstream.failed();
    assert!(out());
    assert!(upstream.takes(), "whether it can be spared is for its pool to say");
    // Jitter takes a fifth off at most.
    tokio::time::advance(Duration::from_secs(23)).await;
    assert!(out());
    tokio::time::advance(Duration::from_secs(7)).await;
    assert!(!out());
}

#[test]
fn releases_are_compared_by_number() {
    assert!(release_numbers("0.9.6") < release_numbers("0.12.0"));
    assert!(release_numbers("0.30.0-rc1") <= release_numbers("0.30.0"));
    assert!(release_numbers("0.30.0") < release_numbers("1.0"));
}

#[tokio::test]
async fn a_server_that_does_not_say_its_release_is_a_late_one() {
    let upstream = Upstream::new(config(), Arc::new(Nowhere));
    assert!(upstream.is_since("0.22"));
    for (release, since) in [("0.21.9", false), ("0.22.0-rc1", true), ("0.22.0", true), ("1.0", true)] {
        upstream.says_release(Some(release.to_owned()));
        assert_eq!(upstream.is_since("0.22"), since, "{release}");
    }
}

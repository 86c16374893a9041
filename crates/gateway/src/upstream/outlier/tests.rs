//! When an upstream is sent out, for how long, and who is never sent out.

use super::*;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Fails until it is sent out; for how many seconds that is.
fn eject(record: &mut Record, now: Instant) -> u64 {
    for _ in 1..FAILURES_MAX {
        assert_eq!(record.failed(now, 0.0), None);
        assert!(!record.is_ejected(now));
    }
    let ejection = record.failed(now, 0.0).expect("one too many");
    assert!(record.is_ejected(now) && !record.is_ejected(now + ejection));
    ejection.as_secs()
}

#[test]
fn only_failures_in_a_row_count() {
    let outlier = Outlier::new(Instant::now());
    let now = outlier.born;
    for _ in 0..100 {
        for _ in 1..FAILURES_MAX {
            assert_eq!(outlier.failed(now, 0.0), None);
        }
        outlier.succeeded();
    }
    assert_eq!(outlier.ejected_until(now), None);
    for _ in 1..FAILURES_MAX {
        assert_eq!(outlier.failed(now, 0.0), None);
    }
    assert_eq!(outlier.failed(now, 0.0), Some(EJECTION_TIME));
    assert_eq!(outlier.ejected_until(now), Some(now + EJECTION_TIME));
    outlier.succeeded();
    assert!(outlier.ejected_until(now).is_some(), "an answer that was under way is no proof");
    assert_eq!(outlier.ejected_until(now + EJECTION_TIME), None);
}

#[test]
fn each_ejection_lasts_longer_up_to_five_minutes() {
    let mut record = Record::default();
    let mut now = Instant::now();
    let mut lasted = Vec::new();
    for _ in 0..12 {
        let ejection = eject(&mut record, now);
        lasted.push(ejection);
        now += seconds(ejection);
    }
    assert_eq!(lasted, [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]);
}

#[test]
fn good_behaviour_is_remembered_too() {
    for (behaved, expected) in [(59, 120), (60, 90), (120, 60), (180, 30), (100_000, 30)] {
        let mut record = Record::default();
        let mut now = Instant::now();
        for _ in 0..3 {
            now += seconds(eject(&mut record, now));
        }
        assert_eq!(eject(&mut record, now + seconds(behaved)), expected, "after {behaved} s");
    }
}

#[test]
fn stragglers_do_not_count_towards_the_next_time() {
    let mut record = Record::default();
    let now = Instant::now();
    let ejection = eject(&mut record, now);
    for _ in 0..100 {
        assert_eq!(record.failed(now, 0.0), None);
    }
    let back = now + seconds(ejection);
    assert_eq!(record.failed(back, 0.0), None, "it is given as many as before");
}

#[test]
fn jitter_only_shortens() {
    for (chance, expected_ms) in [(0.0, 30_000), (0.5, 27_000), (1.0, 24_000), (7.0, 24_000), (-1.0, 30_000)]
    {
        let mut record = Record::default();
        let now = Instant::now();
        let ejection = (0..FAILURES_MAX).find_map(|_| record.failed(now, chance)).unwrap();
        assert_eq!(ejection.as_millis(), expected_ms, "{chance}");
    }
}

#[test]
fn a_pardon_ends_it_but_not_its_count() {
    let outlier = Outlier::new(Instant::now());
    let now = Instant::now();
    let ejection = |now| (0..FAILURES_MAX).find_map(|_| outlier.failed(now, 0.0)).unwrap();
    assert_eq!(ejection(now), EJECTION_TIME);
    outlier.pardon();
    let later = Instant::now();
    assert_eq!(outlier.ejected_until(later), None);
    assert_eq!(ejection(later), EJECTION_TIME * 2);
}

#[test]
fn never_the_last_one_and_at_most_half() {
    let now = Instant::now();
    // For each upstream of a pool the seconds for which it is ejected; who stays usable.
    for (ejected, expected) in [
        (vec![], vec![]),
        (vec![0], vec![0]),
        (vec![9], vec![0]),
        (vec![0, 0], vec![0, 1]),
        (vec![9, 0], vec![1]),
        (vec![9, 5], vec![1]),
        (vec![5, 9], vec![0]),
        (vec![5, 5], vec![0]),
        (vec![9, 5, 0], vec![1, 2]),
        (vec![9, 5, 7], vec![1, 2]),
        (vec![1, 2, 3, 4], vec![0, 1]),
        (vec![0, 2, 3, 0], vec![0, 3]),
        (vec![4, 1, 3, 2, 5], vec![1, 2, 3]),
    ] {
        let mut pool: Vec<usize> = (0..ejected.len()).collect();
        usable(&mut pool, |index| (ejected[*index] > 0).then(|| now + seconds(ejected[*index])));
        assert_eq!(pool, expected, "{ejected:?}");
    }
}

#[test]
fn who_is_to_blame() {
    let fault =
        |kind| Error::Upstream(wire::UpstreamFault { kind, message: "".into(), detail: String::new() });
    for (error, expected) in [
        (fault(UpstreamFaultKind::Broken), true),
        (fault(UpstreamFaultKind::Protocol), true),
        (Error::UpstreamDown, true),
        (fault(UpstreamFaultKind::InvalidRequest { code: "invalid_value", param: None }), false),
        (fault(UpstreamFaultKind::ModelNotFound), false),
        (fault(UpstreamFaultKind::RateLimited), false),
        (fault(UpstreamFaultKind::Overloaded), false),
        (Error::Deadline(crate::error::Clock::FirstByte), false),
        (Error::Busy, false),
        (Error::Draining, false),
        (Error::Internal, false),
    ] {
        assert_eq!(is_failure(&error), expected, "{error}");
    }
}

//! Times as Ollama writes them: RFC 3339.
//!
//! Never here: a clock.

use crate::json::Text;

/// With any fraction and offset.
pub(super) fn unix_seconds(time: Text<'_>) -> Option<u64> {
    let stamp: jiff::Timestamp = time.decode().parse().ok()?;
    u64::try_from(stamp.as_second()).ok()
}

/// A member's value, with quotes. What no calendar has is the beginning of the count.
pub(super) fn write(seconds: u64, out: &mut Vec<u8>) {
    let stamp = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    out.push(b'"');
    out.extend_from_slice(stamp.unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string().as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        #[track_caller]
        fn check(given: &str, seconds: Option<u64>, written: &str) {
            assert_eq!(unix_seconds(Text::of_json(given)), seconds, "{given}");
            let mut out = Vec::new();
            write(seconds.unwrap_or(u64::MAX), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), format!("\"{written}\""));
        }
        check("2026-01-02T03:04:05.678901Z", Some(1_767_323_045), "2026-01-02T03:04:05Z");
        check("2026-01-02T05:04:05+02:00", Some(1_767_323_045), "2026-01-02T03:04:05Z");
        check("2318-12-31T00:00:00Z", Some(11_013_235_200), "2318-12-31T00:00:00Z");
        check("0001-01-01T00:00:00Z", None, "1970-01-01T00:00:00Z");
        check("yesterday", None, "1970-01-01T00:00:00Z");
    }
}

//! Where a caller stands with the limits, in the headers of its dialect.
//!
//! Why here: the numbers are those that decide, and each dialect has its own names and its own spelling of a time.
//!
//! Never here: which limit is told (`limit`).

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use wire::Format;

use crate::config::Counts;
use crate::standing::Standing;

/// What a set of headers is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rated {
    Requests,
    Tokens,
}

impl Rated {
    /// What a refusal counted; concurrency has no headers.
    pub fn of(counts: Counts) -> Option<Self> {
        match counts {
            Counts::Requests => Some(Self::Requests),
            Counts::PromptTokens | Counts::OutputTokens | Counts::Tokens => Some(Self::Tokens),
            Counts::Concurrency => None,
        }
    }
}

/// Limit, remaining and reset: in Anthropic's names with a time of the clock, in OpenAI's with a duration for all others.
pub fn rate_headers(format: Format, standing: &Standing, rated: Rated, headers: &mut HeaderMap) {
    let ([limit, remaining, reset], text) = match format {
        Format::Anthropic => (anthropic(rated), time_text(standing.reset)),
        Format::OpenAi | Format::Responses | Format::Ollama => (openai(rated), duration_text(standing.reset)),
    };
    headers.insert(limit, HeaderValue::from(standing.limit));
    headers.insert(remaining, HeaderValue::from(standing.remaining));
    if let Ok(text) = HeaderValue::try_from(text) {
        headers.insert(reset, text);
    }
}

fn openai(rated: Rated) -> [HeaderName; 3] {
    match rated {
        Rated::Requests => [
            HeaderName::from_static("x-ratelimit-limit-requests"),
            HeaderName::from_static("x-ratelimit-remaining-requests"),
            HeaderName::from_static("x-ratelimit-reset-requests"),
        ],
        Rated::Tokens => [
            HeaderName::from_static("x-ratelimit-limit-tokens"),
            HeaderName::from_static("x-ratelimit-remaining-tokens"),
            HeaderName::from_static("x-ratelimit-reset-tokens"),
        ],
    }
}

fn anthropic(rated: Rated) -> [HeaderName; 3] {
    match rated {
        Rated::Requests => [
            HeaderName::from_static("anthropic-ratelimit-requests-limit"),
            HeaderName::from_static("anthropic-ratelimit-requests-remaining"),
            HeaderName::from_static("anthropic-ratelimit-requests-reset"),
        ],
        Rated::Tokens => [
            HeaderName::from_static("anthropic-ratelimit-tokens-limit"),
            HeaderName::from_static("anthropic-ratelimit-tokens-remaining"),
            HeaderName::from_static("anthropic-ratelimit-tokens-reset"),
        ],
    }
}

/// As OpenAI writes them: `17ms`, `1s`, `6m0s`.
fn duration_text(reset: Duration) -> String {
    let seconds = reset.as_secs();
    match seconds {
        0 => format!("{}ms", reset.subsec_millis()),
        1..=59 => format!("{seconds}s"),
        _ => format!("{}m{}s", seconds / 60, seconds % 60),
    }
}

/// The second after which it will have passed.
fn time_text(reset: Duration) -> String {
    let at = SystemTime::now() + reset + Duration::from_millis(999);
    Timestamp::try_from(at)
        .and_then(|at| Timestamp::from_second(at.as_second()))
        .map_or_else(|_| String::new(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_like_openai_s() {
        for (ms, expected) in [(17, "17ms"), (1_000, "1s"), (59_900, "59s"), (360_000, "6m0s")] {
            assert_eq!(duration_text(Duration::from_millis(ms)), expected);
        }
    }

    #[test]
    fn each_dialect_has_its_names() {
        let standing = Standing { limit: 10, remaining: 3, reset: Duration::from_secs(61) };
        let mut headers = HeaderMap::new();
        rate_headers(Format::Ollama, &standing, Rated::Tokens, &mut headers);
        assert_eq!(headers["x-ratelimit-reset-tokens"], "1m1s");
        rate_headers(Format::Anthropic, &standing, Rated::Requests, &mut headers);
        assert_eq!(headers["anthropic-ratelimit-requests-remaining"], "3");
        let reset: Timestamp =
            headers["anthropic-ratelimit-requests-reset"].to_str().unwrap().parse().unwrap();
        assert_eq!(reset.subsec_nanosecond(), 0);
    }
}

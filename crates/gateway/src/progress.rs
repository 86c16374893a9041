//! Where a request that has no byte yet stands: queued, loading, reading.
//!
//! Why here: a caller that asks (`x-gatehouse-progress: 1`) is told in comments of its event stream, which every SSE client
//! ignores and ours reads. The stage is set by the pipeline and read by the body.
//!
//! Never here: deciding anything.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

/// Header by which a caller asks for progress comments.
pub const HEADER: &str = "x-gatehouse-progress";

/// Shared between the request that waits and the body that tells.
// A mutex will do: it is touched twice a second, and never by a passing token.
#[derive(Clone, Debug)]
pub struct Stage(Arc<Mutex<State>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Queued { position: usize, estimate: Option<Duration> },
    Loading { since: Instant, estimate: Option<Duration> },
    Reading,
}

impl Stage {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State::Reading)))
    }

    /// 1 is the next in line; the estimate is of the wait that is left.
    pub fn queued(&self, position: usize, estimate: Option<Duration>) {
        *self.lock() = State::Queued { position, estimate };
    }

    /// The model is being brought into memory; the estimate is of the whole load.
    pub fn loading(&self, since: Instant, estimate: Option<Duration>) {
        *self.lock() = State::Loading { since, estimate };
    }

    pub fn reading(&self) {
        *self.lock() = State::Reading;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends the comment, as far as the dialect has comments.
    pub fn write_comment(&self, opening: &wire::Opening, out: &mut Vec<u8>) {
        let state = *self.lock();
        let told = serde_json::to_string(&Told::of(state)).unwrap_or_default();
        opening.comment(&format!("progress {told}"), out);
    }
}

/// What a caller reads.
#[derive(Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
enum Told {
    Queued {
        position: usize,
        /// Seconds until it runs, where earlier requests tell.
        #[serde(skip_serializing_if = "Option::is_none")]
        estimate_s: Option<u64>,
    },
    Loading {
        elapsed_s: u64,
        /// Seconds that the whole load will take, where earlier loads tell.
        #[serde(skip_serializing_if = "Option::is_none")]
        estimate_s: Option<u64>,
    },
    Reading,
}

impl Told {
    fn of(state: State) -> Self {
        // Rounded up: whoever is told 0 thinks he is next.
        let seconds = |estimate: Option<Duration>| {
            estimate.map(|estimate| estimate.as_secs() + u64::from(estimate.subsec_nanos() > 0))
        };
        match state {
            State::Queued { position, estimate } => Self::Queued { position, estimate_s: seconds(estimate) },
            State::Loading { since, estimate } => {
                Self::Loading { elapsed_s: since.elapsed().as_secs(), estimate_s: seconds(estimate) }
            }
            State::Reading => Self::Reading,
        }
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{Format, Opening, Operation, Reply};

    fn opening(client: Format) -> Opening {
        Opening::new(client, Operation::Chat, Reply::new("x", "m"))
    }

    #[tokio::test(start_paused = true)]
    async fn comments_tell_the_stage() {
        let stage = Stage::new();
        let told = |stage: &Stage| {
            let mut out = Vec::new();
            stage.write_comment(&opening(Format::OpenAi), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(told(&stage), ": progress {\"state\":\"reading\"}\n\n");
        stage.queued(3, None);
        assert_eq!(told(&stage), ": progress {\"state\":\"queued\",\"position\":3}\n\n");
        stage.queued(2, Some(Duration::from_millis(11_200)));
        assert_eq!(told(&stage), ": progress {\"state\":\"queued\",\"position\":2,\"estimate_s\":12}\n\n");
        let began = Instant::now();
        tokio::time::advance(Duration::from_secs(4)).await;
        stage.loading(began, Some(Duration::from_secs(30)));
        let expected = ": progress {\"state\":\"loading\",\"elapsed_s\":4,\"estimate_s\":30}\n\n";
        assert_eq!(told(&stage), expected);
    }

    #[test]
    fn a_dialect_without_comments_is_not_told() {
        let mut out = Vec::new();
        Stage::new().write_comment(&opening(Format::Ollama), &mut out);
        assert!(out.is_empty());
    }
}

//! Where a request that has no byte yet stands: queued, loading, reading.
//!
//! Why here: a caller that asks (`x-gatehouse-progress: 1`) is told in comments of its event stream, which every SSE client
//! ignores and ours reads. The stage is set by the pipeline and read by the body.
//!
//! Never here: deciding anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

/// Header by which a caller asks for progress comments.
pub const HEADER: &str = "x-gatehouse-progress";

/// Shared between the request that waits and the body that tells.
#[derive(Clone, Debug)]
pub struct Stage(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    // Kind in the upper half, place in the queue or milliseconds since `born` in the lower: one word, no lock.
    state: AtomicU64,
    born: Instant,
}

const QUEUED: u64 = 0;
const LOADING: u64 = 1;
const READING: u64 = 2;

impl Stage {
    pub fn new() -> Self {
        Self(Arc::new(Inner { state: AtomicU64::new(READING << 32), born: Instant::now() }))
    }

    pub fn queued(&self, position: usize) {
        self.set(QUEUED, position as u64);
    }

    /// The model is being brought into memory; repeated calls keep the first time.
    pub fn loading(&self) {
        if self.0.state.load(Ordering::Relaxed) >> 32 != LOADING {
            self.set(LOADING, u64::try_from(self.0.born.elapsed().as_millis()).unwrap_or(u64::MAX));
        }
    }

    pub fn reading(&self) {
        self.set(READING, 0);
    }

    fn set(&self, kind: u64, value: u64) {
        self.0.state.store(kind << 32 | value.min(u64::from(u32::MAX)), Ordering::Relaxed);
    }

    /// Appends the SSE comment.
    pub fn write_comment(&self, out: &mut Vec<u8>) {
        let state = self.0.state.load(Ordering::Relaxed);
        let value = state & u64::from(u32::MAX);
        let text = match state >> 32 {
            QUEUED => format!(r#"{{"state":"queued","position":{value}}}"#),
            LOADING => {
                let now = u64::try_from(self.0.born.elapsed().as_millis()).unwrap_or(u64::MAX);
                format!(r#"{{"state":"loading","elapsed_s":{}}}"#, now.saturating_sub(value) / 1_000)
            }
            _ => r#"{"state":"reading"}"#.to_owned(),
        };
        out.extend_from_slice(b": progress ");
        out.extend_from_slice(text.as_bytes());
        out.extend_from_slice(b"\n\n");
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

    #[tokio::test(start_paused = true)]
    async fn comments_tell_the_stage() {
        let stage = Stage::new();
        let told = |stage: &Stage| {
            let mut out = Vec::new();
            stage.write_comment(&mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(told(&stage), ": progress {\"state\":\"reading\"}\n\n");
        stage.queued(3);
        assert_eq!(told(&stage), ": progress {\"state\":\"queued\",\"position\":3}\n\n");
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        stage.loading();
        tokio::time::advance(std::time::Duration::from_secs(4)).await;
        stage.loading();
        assert_eq!(told(&stage), ": progress {\"state\":\"loading\",\"elapsed_s\":4}\n\n");
    }
}

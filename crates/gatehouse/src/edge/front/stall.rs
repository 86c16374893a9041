//! Streams of an HTTP/2 connection, each with an end to the patience with a client that takes nothing of it.
//!
//! Why here: a window that stays shut blocks one stream and not its connection, so the socket's clock does not see it. The
//! library runs each stream as a task and waits for the window for ever; here the task is given up, which resets the
//! stream and drops the answer's body.
//!
//! Never here: what is sent.

use std::sync::{Arc, Mutex, PoisonError};

use hyper::rt::Executor;
use tokio::time::{Duration, Instant, sleep_until};

tokio::task_local! {
    static STREAM: Arc<Stall>;
}

/// Runs streams.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streams {
    patience: Duration,
}

impl Streams {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let stall = Arc::new(Stall::default());
        let patience = self.patience;
        tokio::spawn(STREAM.scope(Arc::clone(&stall), async move {
            tokio::select! {
                () = stream => {}
                () = stall.lasts(patience) => tracing::debug!("a stream that nobody reads is given up"),
            }
        }));
    }
}

/// Since when a piece waits to be taken.
#[derive(Debug, Default)]
pub(super) struct Stall {
    since: Mutex<Option<Instant>>,
}

impl Stall {
    /// That of the stream whose task this is; `None` on HTTP/1, where the socket's clock sees it.
    pub(super) fn of_this_stream() -> Option<Arc<Self>> {
        STREAM.try_with(Arc::clone).ok()
    }

    /// A piece was handed over; the next question for one says that it was taken.
    pub(super) fn handed(&self) {
        self.set(Some(Instant::now()));
    }

    pub(super) fn taken(&self) {
        self.set(None);
    }

    fn set(&self, since: Option<Instant>) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// Resolves when a piece has waited for `patience`, or up to twice that: a timer per piece would cost more.
    async fn lasts(&self, patience: Duration) {
        loop {
            let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            if since.is_some_and(|since| since + patience <= now) {
                return;
            }
            sleep_until(since.unwrap_or(now) + patience).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;
    use tokio::time::{sleep, timeout};

    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_is_not_read_is_given_up() {
        let (kept, given_up) = oneshot::channel::<()>();
        Streams::new(PATIENCE).execute(async move {
            let _kept = kept;
            Stall::of_this_stream().unwrap().handed();
            std::future::pending::<()>().await;
        });
        assert!(timeout(PATIENCE * 2 + Duration::from_secs(1), given_up).await.unwrap().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_waits_for_the_model_or_is_read_slowly_is_not() {
        let (done, ended) = oneshot::channel();
        Streams::new(PATIENCE).execute(async move {
            let stall = Stall::of_this_stream().unwrap();
            sleep(PATIENCE * 10).await;
            for _ in 0..10 {
                stall.handed();
                sleep(PATIENCE - Duration::from_secs(1)).await;
                stall.taken();
            }
            done.send(()).unwrap();
        });
        ended.await.unwrap();
    }

    #[tokio::test]
    async fn elsewhere_there_is_none() {
        assert!(Stall::of_this_stream().is_none());
    }
}

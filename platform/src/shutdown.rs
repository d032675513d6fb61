//! Orderly shutdown: one signal for all of a process's tasks, and a bound on how long they may take.
//!
//! SIGTERM or SIGINT → (an API says that it is not ready, and serves on until load balancers have heard) → every task sees `requested()` → stops taking, finishes what it holds, returns → the process
//! ends. What has not returned within the grace is dropped: unacked messages go to the next worker.

use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Handed to every task of a process. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    leaving: CancellationToken,
    token: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// One that nothing has triggered yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether stopping was asked for.
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Whether it will stop soon: nothing new should be sent here.
    pub fn is_leaving(&self) -> bool {
        self.leaving.is_cancelled() || self.is_requested()
    }

    /// Resolves once stopping was asked for.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// Asks everything to stop.
    pub fn request(&self) {
        self.token.cancel();
    }

    /// Runs a task that [`Shutdown::finish`] waits for.
    pub fn spawn<F>(&self, task: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(task)
    }

    /// Sleeps, but not past a request to stop; `false` when it was cut short.
    pub async fn sleep(&self, duration: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(duration) => true,
            () = self.token.cancelled() => false,
        }
    }

    /// Turns SIGTERM and SIGINT into a request to stop, which is announced for so long before; a second signal ends that.
    pub fn on_signals(&self, announce: Duration) -> std::io::Result<()> {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (leaving, token) = (self.leaving.clone(), self.token.clone());
        tokio::spawn(async move {
            tokio::select! { _ = term.recv() => (), _ = int.recv() => () }
            leaving.cancel();
            if !announce.is_zero() {
                tracing::info!(announce_ms = announce.as_millis(), "not ready any more; serving what comes until then");
                tokio::select! {
                    () = tokio::time::sleep(announce) => (), _ = term.recv() => (), _ = int.recv() => ()
                }
            }
            tracing::info!("stopping: finishing what is in hand");
            token.cancel();
        });
        Ok(())
    }

    /// Waits for every spawned task, at most `grace`; `false` when some had not ended by then.
    pub async fn finish(&self, grace: Duration) -> bool {
        self.tasks.close();
        tokio::time::timeout(grace, self.tasks.wait()).await.is_ok()
    }
}

//! Bounded polling: the tests' only way to wait.

use std::{fmt::Debug, time::Duration};
use tokio::time::Instant;

const POLL_EVERY: Duration = Duration::from_millis(25);
/// Long enough for a broker's restart on a busy machine.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Polls until `ask` gives a value; fails the test, naming `what`, after [`PATIENCE`].
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, ask: impl FnMut() -> F) -> T {
    within(PATIENCE, what, ask).await
}

/// The same, with a patience of the caller's.
pub async fn within<T, F: Future<Output = Option<T>>>(patience: Duration, what: &str, mut ask: impl FnMut() -> F) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = ask().await {
            return value;
        }
        assert!(started.elapsed() < patience, "waited {patience:?} in vain for: {what}");
        tokio::time::sleep(POLL_EVERY).await;
    }
}

/// Polls until `ask` gives `wanted`.
pub async fn becomes<T: PartialEq + Debug, F: Future<Output = T>>(what: &str, wanted: T, mut ask: impl FnMut() -> F) {
    let started = Instant::now();
    loop {
        let found = ask().await;
        if found == wanted {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain for {what}: wanted {wanted:?}, found {found:?}");
        tokio::time::sleep(POLL_EVERY).await;
    }
}

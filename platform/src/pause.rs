//! Growing, jittered pauses between tries to reach something that is away.

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::time::Duration;

/// The first pause.
const FIRST: Duration = Duration::from_millis(100);
/// No pause is longer: what comes back is noticed within this time.
const LONGEST: Duration = Duration::from_secs(5);

/// A sequence of pauses that never ends.
#[derive(Debug)]
pub struct Pauses(ExponentialBackoff);

impl Pauses {
    /// Starts with the shortest pause.
    pub fn new() -> Self {
        Self(
            ExponentialBuilder::default()
                .with_min_delay(FIRST)
                .with_max_delay(LONGEST)
                .with_jitter()
                .without_max_times()
                .build(),
        )
    }

    /// The next pause.
    pub fn next_pause(&mut self) -> Duration {
        self.0.next().unwrap_or(LONGEST)
    }
}

impl Default for Pauses {
    fn default() -> Self {
        Self::new()
    }
}

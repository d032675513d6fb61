//! Watching a count grow until all is done, in bounded time.

use crate::{Failure, statistics::per_second};
use std::time::Duration;
use tokio::time::Instant;

/// How often the count is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// No run may take longer.
const LIMIT: Duration = Duration::from_secs(90);

/// How fast something went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// From the beginning.
    pub(crate) per_s: f64,
    /// From when a tenth was done: without what starting up costs.
    pub(crate) per_s_running: f64,
    pub(crate) took: Duration,
}

/// Looks at `count` until it reaches `target`.
pub(crate) async fn until<F>(target: usize, mut count: impl FnMut() -> F) -> Result<Pace, Failure>
where
    F: Future<Output = Result<usize, Failure>>,
{
    let began = Instant::now();
    let mut tenth = None;
    loop {
        let done = count().await?;
        let now = Instant::now();
        if tenth.is_none() && done * 10 >= target {
            tenth = Some((now, done));
        }
        if done >= target {
            let (since, before) = tenth.unwrap_or((began, 0));
            let took = now - began;
            let running = (now - since).max(LOOK_EVERY);
            return Ok(Pace { per_s: per_second(done, took), per_s_running: per_second(done - before, running), took });
        }
        if now - began > LIMIT {
            return Err(format!("only {done} of {target} were done within {LIMIT:?}").into());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_pace_is_that_of_the_count() {
        let began = Instant::now();
        let pace =
            until(300, || async { Ok(usize::try_from(began.elapsed().as_millis()).unwrap_or(0)) }).await.unwrap();
        assert!((500.0..1_500.0).contains(&pace.per_s), "{pace:?}");
        assert!((500.0..1_500.0).contains(&pace.per_s_running), "{pace:?}");
    }

    #[tokio::test]
    async fn what_cannot_be_counted_ends_the_run() {
        assert!(until(1, || async { Err("no".into()) }).await.is_err());
    }
}

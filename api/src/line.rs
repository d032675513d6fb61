//! When those who are refused shall come again: as if they stood in line, without keeping anybody waiting on a connection.
//!
//! ```text
//! refused ─► the next free moment of the line, a second from now at the earliest ─► Retry-After: whole seconds until then
//! ```
//! Ten thousand who come at once and are all told *one second* come at once again, and answering them is all that is done. So each
//! is given a moment of their own, so many a second, up to [`LONGEST`].
//!
//! Promises: who comes alone is told one second. Doesn't: keep a place for whoever comes back; know that they are the same.

use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::Response,
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// The least that anybody is told.
const SOONEST: Duration = Duration::from_secs(1);
/// Nobody is sent away for longer: the line is forgotten beyond it.
const LONGEST: Duration = Duration::from_secs(30);
/// Of `http.max_in_flight`, so many come back in a second.
const SHARE: u32 = 4;

/// The line of one API.
#[derive(Debug)]
pub(crate) struct Line {
    apart: Duration,
    last: Mutex<Option<Instant>>,
}

impl Line {
    /// For an instance that serves `max_in_flight` requests at once.
    pub(crate) fn new(max_in_flight: usize) -> Self {
        let a_second = (u32::try_from(max_in_flight).unwrap_or(u32::MAX) / SHARE).max(1);
        Self { apart: Duration::from_secs(1) / a_second, last: Mutex::new(None) }
    }

    /// The next one's moment, in whole seconds from now: none too early.
    fn joins(&self, now: Instant) -> u64 {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let moment = next((*last).map(|last| last.saturating_duration_since(now)), self.apart);
        *last = Some(now + moment);
        moment.as_secs() + u64::from(moment.subsec_nanos() > 0)
    }
}

/// How long until the next one's moment, where the one before has theirs in `last`.
fn next(last: Option<Duration>, apart: Duration) -> Duration {
    last.map_or(SOONEST, |last| last + apart).clamp(SOONEST, LONGEST)
}

/// A 503 that says to come again says when it is this client's turn.
pub(crate) async fn form(State(line): State<Arc<Line>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if response.status() == StatusCode::SERVICE_UNAVAILABLE
        && let Some(retry_after) = response.headers_mut().get_mut(header::RETRY_AFTER)
    {
        *retry_after = HeaderValue::from(line.joins(Instant::now()));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn who_comes_alone_is_told_one_second_and_a_crowd_so_many_a_second() {
        let (line, now) = (Line::new(400), Instant::now());
        let mut told: BTreeMap<u64, u32> = BTreeMap::new();
        for _ in 0..1_000 {
            *told.entry(line.joins(now)).or_default() += 1;
        }
        assert_eq!(told[&1], 1);
        assert!((2..=10).all(|second| told[&second] == 100), "{told:?}");
        assert_eq!(line.joins(now + Duration::from_mins(1)), 1, "the line is over");
    }

    #[test]
    fn nobody_is_sent_away_for_longer_than_half_a_minute() {
        let (line, now) = (Line::new(4), Instant::now());
        assert!((0..100).map(|_| line.joins(now)).all(|told| (1..=30).contains(&told)));
    }
}

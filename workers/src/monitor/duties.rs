//! Whether the scheduler's duties are done in time. A duty's row counts its good runs; late is one whose count has not moved
//! for longer than the pause that it said it would make. So nobody's clocks are compared, and it does not matter which
//! scheduler does it, or whether there is one at all.

use super::Monitor;
use crate::scheduler::DutyName;
use platform::database::within;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// What was last heard of a duty.
#[derive(Clone, Copy)]
struct Heard {
    successes: i64,
    at: Instant,
    pause: Duration,
}

/// What was heard of each duty.
pub(super) struct Watch {
    since: Instant,
    heard: BTreeMap<String, Heard>,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), heard: BTreeMap::new() }
    }

    pub(super) async fn look(&mut self, monitor: &Monitor) -> Result<(), sqlx::Error> {
        let read = sqlx::query!("SELECT duty, successes, pause_ms, lag_ms FROM scheduler_duties");
        let rows = within(monitor.limit(), read.fetch_all(&monitor.database)).await?;
        let now = Instant::now();
        for row in rows {
            self.hear(&row.duty, row.successes, Duration::from_millis(row.pause_ms.unsigned_abs()), now);
            if let Some(lag_ms) = row.lag_ms {
                let lag = Duration::from_millis(lag_ms.unsigned_abs());
                metrics::gauge!("gream_duty_lag_seconds", "duty" => row.duty).set(lag);
            }
        }
        for duty in DutyName::ALL {
            metrics::gauge!("gream_duty_late_seconds", "duty" => duty.as_str()).set(self.late(duty, now));
        }
        Ok(())
    }

    fn hear(&mut self, duty: &str, successes: i64, pause: Duration, now: Instant) {
        let unheard = Heard { successes: -1, at: now, pause };
        let heard = self.heard.entry(duty.to_owned()).or_insert(unheard);
        if heard.successes != successes {
            *heard = Heard { successes, at: now, pause };
        }
    }

    /// How much longer than planned nothing good was heard of it.
    fn late(&self, duty: DutyName, now: Instant) -> Duration {
        let (since, pause) =
            self.heard.get(duty.as_str()).map_or((self.since, Duration::ZERO), |heard| (heard.at, heard.pause));
        now.saturating_duration_since(since).saturating_sub(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_is_what_does_not_move_for_longer_than_its_pause() {
        let (name, pause) = (DutyName::Charges, Duration::from_secs(10));
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut watch = Watch { since: began, heard: BTreeMap::new() };
        assert_eq!(watch.late(name, at(30)).as_secs(), 30, "one that nobody ever did");
        watch.hear("charges", 7, pause, at(30));
        assert_eq!(watch.late(name, at(35)).as_secs(), 0, "it was done, whenever that was");
        watch.hear("charges", 8, pause, at(42));
        watch.hear("charges", 8, pause, at(90));
        assert_eq!(watch.late(name, at(52)).as_secs(), 0);
        assert_eq!(watch.late(name, at(92)).as_secs(), 40, "tried, perhaps, but not done");
        watch.hear("charges", 9, pause, at(93));
        assert_eq!(watch.late(name, at(94)).as_secs(), 0);
    }
}

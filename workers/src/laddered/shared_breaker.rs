//! The fleet's circuit breaker: one row, which everybody reads, and writes only as the next version of what they read.
//!
//! Promises: two processes never both make the same change (take the one probe, say): the second finds another version,
//! reads again and decides again. Bounded waiting.
//! Doesn't: decide. What follows from what is `domain::breaker`.
//!
//! Why MySQL: a worker can do nothing without it anyway, so the breaker adds no server whose loss would matter; Redis
//! may be lost at any time. Why no crate: ARCHITECTURE says it.

use contracts::UnixMs;
use domain::breaker::{Phase, Policy, ProbeId, State, Tally};
use platform::database::within;
use sqlx::MySqlPool;
use std::time::Duration;

/// The service's name in the table.
const SERVICE: &str = "toss";
/// So often is a change decided anew because somebody else was faster. Then what they wrote must do.
const MAX_RACES: u32 = 50;
/// The longest name of a process that is kept.
const MAX_NAME_CHARS: usize = 64;

/// See the module's words.
#[derive(Clone)]
pub struct SharedBreaker {
    pool: MySqlPool,
    limit: Duration,
    name: String,
}

/// What the row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What the fleet knows.
    pub state: State,
    /// Since when it has been in its phase.
    pub since: UnixMs,
    /// Who brought it there.
    pub by: String,
    version: i64,
}

impl Seen {
    /// For a person, at the given time.
    pub fn told_at(&self, now: UnixMs) -> String {
        let seconds = |ms: i64| ms.max(0) / 1000;
        let what = match self.state {
            State::Closed { tally } => format!(
                "closed: calls pass; of the last {} failed {} and were slow {}",
                tally.calls / Tally::GOOD.calls,
                tally.failed / Tally::FAILED.failed,
                tally.slow / Tally::SLOW.slow
            ),
            State::Ramping { .. } => "ramping: calls pass, few at first".to_owned(),
            State::Open { until, .. } => {
                format!("open: commands wait; the next probe goes in {} s", seconds(until.ms_since(now)))
            }
            State::HalfOpen { .. } => "half open: commands wait; a probe is on its way".to_owned(),
            State::Held => "held by a person: commands wait until `gream breaker close`".to_owned(),
        };
        let since = if self.since == UnixMs(0) {
            "ever".to_owned()
        } else {
            format!("{} s", seconds(now.ms_since(self.since)))
        };
        format!("Toss: {what} (for {since}, by {})", self.by)
    }
}

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The row's state now, as far as we know.
    pub state: State,
    /// The phase that we ended, if we ended one.
    pub ended: Option<Phase>,
}

impl SharedBreaker {
    /// Changes are made in the name of `name`; no statement waits longer than `limit`.
    pub fn new(pool: MySqlPool, limit: Duration, name: &str) -> Self {
        Self { pool, limit, name: name.chars().take(MAX_NAME_CHARS).collect() }
    }

    /// Stops every call of the fleet until [`SharedBreaker::let_go`].
    ///
    /// # Errors
    /// The database's.
    pub async fn hold(&self, now: UnixMs) -> Result<(), sqlx::Error> {
        self.change(now, |_| State::Held).await.map(drop)
    }

    /// Lets calls pass again, few at first.
    ///
    /// # Errors
    /// The database's.
    pub async fn let_go(&self, policy: &Policy, now: UnixMs) -> Result<(), sqlx::Error> {
        self.change(now, |state| state.let_go(policy)).await.map(drop)
    }

    /// Makes the state what `step` makes of it. Nothing is written where that changes nothing.
    ///
    /// # Errors
    /// The database's.
    pub async fn change(&self, now: UnixMs, step: impl Fn(State) -> State) -> Result<Changed, sqlx::Error> {
        let mut races = 0;
        loop {
            let Seen { state: before, version, .. } = self.read().await?;
            let state = step(before);
            if state == before || races == MAX_RACES {
                return Ok(Changed { state: before, ended: None });
            }
            if self.write(version, &state, now).await? {
                let ended = (before.phase() != state.phase()).then(|| before.phase());
                return Ok(Changed { state, ended });
            }
            races += 1;
            metrics::counter!("gream_toss_breaker_races_total").increment(1);
        }
    }

    /// The row.
    ///
    /// # Errors
    /// The database's, or that the row is missing or another version's.
    pub async fn read(&self) -> Result<Seen, sqlx::Error> {
        let read = sqlx::query!(
            "SELECT version, phase, phase_since_ms, phase_by, until_ms, pause_ms, probe, calls, failed, slow
             FROM circuit_breakers WHERE service = ?",
            SERVICE
        )
        .fetch_optional(&self.pool);
        let row = within(self.limit, read).await?;
        let row = row.ok_or_else(|| super::invalid("circuit_breakers has no row 'toss': run `gream migrate`"))?;
        let thousandths = |number: i32| u32::try_from(number).unwrap_or(0);
        let tally =
            Tally { calls: thousandths(row.calls), failed: thousandths(row.failed), slow: thousandths(row.slow) };
        let (until, pause_ms) = (UnixMs(row.until_ms), row.pause_ms);
        let state = match row.phase.as_str() {
            "closed" => State::Closed { tally },
            "ramping" => State::Ramping { tally, pause_ms },
            "open" => State::Open { until, pause_ms },
            "half_open" => State::HalfOpen { probe: ProbeId(row.probe), lease_until: until, pause_ms },
            "held" => State::Held,
            other => return Err(super::invalid(format!("a circuit breaker is {other:?}: upgrade this process"))),
        };
        Ok(Seen { state, since: UnixMs(row.phase_since_ms), by: row.phase_by, version: row.version })
    }

    /// Whether the row still had this version, and is as we want it now.
    async fn write(&self, version: i64, state: &State, now: UnixMs) -> Result<bool, sqlx::Error> {
        let columns = Columns::of(state);
        let phase = word(state.phase());
        // The server assigns from left to right: `phase` is still the old one where it is compared.
        let write = sqlx::query!(
            "UPDATE circuit_breakers
             SET phase_since_ms = IF(phase = ?, phase_since_ms, ?), phase_by = IF(phase = ?, phase_by, ?), phase = ?,
                 until_ms = ?, pause_ms = ?, probe = ?, calls = ?, failed = ?, slow = ?, version = version + 1
             WHERE service = ? AND version = ?",
            phase,
            now.0,
            phase,
            self.name,
            phase,
            columns.until.0,
            columns.pause_ms,
            columns.probe.0,
            count(columns.tally.calls),
            count(columns.tally.failed),
            count(columns.tally.slow),
            SERVICE,
            version
        )
        .execute(&self.pool);
        Ok(within(self.limit, write).await?.rows_affected() == 1)
    }
}

/// What a state leaves in the row beside its phase; zero where it has no such thing.
struct Columns {
    until: UnixMs,
    pause_ms: i64,
    probe: ProbeId,
    tally: Tally,
}

impl Columns {
    fn of(state: &State) -> Self {
        let nothing = Self { until: UnixMs(0), pause_ms: 0, probe: ProbeId(0), tally: Tally::NONE };
        match *state {
            State::Closed { tally } => Self { tally, ..nothing },
            State::Ramping { tally, pause_ms } => Self { pause_ms, tally, ..nothing },
            State::Open { until, pause_ms } => Self { until, pause_ms, ..nothing },
            State::HalfOpen { probe, lease_until, pause_ms } => Self { until: lease_until, pause_ms, probe, ..nothing },
            State::Held => nothing,
        }
    }
}

/// The phase in the row, in logs and in metrics.
pub(crate) fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Closed => "closed",
        Phase::Ramping => "ramping",
        Phase::HalfOpen => "half_open",
        Phase::Open => "open",
        Phase::Held => "held",
    }
}

fn count(thousandths: u32) -> i32 {
    i32::try_from(thousandths).unwrap_or(i32::MAX)
}

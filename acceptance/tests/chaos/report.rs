//! What came of it, as numbers: for people, and as JSON for whoever compares runs.

use crate::plan::{Fault, Strike};
use load::{Beat, DayReport};
use serde::Serialize;
use std::{collections::BTreeMap, fmt, time::Duration};

/// One blow, and what followed.
pub(super) struct Blow {
    pub(super) strike: Strike,
    pub(super) before: Beat,
    pub(super) after: Beat,
    /// From the beginning of the healing to the first command that was carried out after it; `None`: not within the limit.
    pub(super) goes_on: Option<Duration>,
    /// From the beginning of the healing until every client that waited then had its outcome.
    pub(super) caught_up: Option<Duration>,
    pub(super) answers_lost: u32,
}

/// All blows of one kind on one target.
#[derive(Debug, Default, Serialize)]
pub(super) struct Row {
    pub(super) times: u64,
    /// 5xx that clients saw, while it lasted and until all had caught up; each was sent again.
    pub(super) not_now: u64,
    /// Requests without an answer, likewise.
    pub(super) unanswered: u64,
    pub(super) answers_lost: u64,
    pub(super) goes_on_p50_ms: u64,
    pub(super) goes_on_max_ms: u64,
    pub(super) caught_up_p50_ms: u64,
    pub(super) caught_up_max_ms: u64,
    /// Healings after which not everybody had caught up in time.
    pub(super) late: u64,
}

/// A whole run.
#[derive(Debug, Serialize)]
pub(super) struct ChaosReport {
    pub(super) servers: &'static str,
    pub(super) seed: u64,
    pub(super) seconds: f64,
    pub(super) faults: u64,
    pub(super) kills: u64,
    pub(super) rows: BTreeMap<String, Row>,
    /// Within this all must have caught up after each healing.
    pub(super) recovery_limit_s: u64,
    pub(super) longest_wait_of_a_client_s: f64,
    /// Commands that the clients' journal says were accepted and that have no outcome, after all was healed.
    pub(super) lost: u64,
    /// What the audit found: two outcomes, two effects of a key at Toss, books that do not add up, each with its rule.
    pub(super) doubled_or_broken: Vec<String>,
    pub(super) dead_letters: u64,
    /// Processes that ended without having been killed.
    pub(super) left_by_themselves: Vec<String>,
    /// What their logs say of panics.
    pub(super) panics: Vec<String>,
    pub(super) day: DayReport,
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The middle one and the longest.
fn p50_max(mut all: Vec<u64>) -> (u64, u64) {
    all.sort_unstable();
    (all.get(all.len() / 2).copied().unwrap_or(0), all.last().copied().unwrap_or(0))
}

pub(super) fn rows(blows: &[Blow]) -> BTreeMap<String, Row> {
    let mut by_fault: BTreeMap<Fault, Vec<&Blow>> = BTreeMap::new();
    for blow in blows {
        by_fault.entry(blow.strike.fault).or_default().push(blow);
    }
    by_fault.into_iter().map(|(fault, blows)| (fault.to_string(), row(&blows))).collect()
}

fn row(blows: &[&Blow]) -> Row {
    let sum = |of: fn(&Blow) -> u64| blows.iter().map(|blow| of(blow)).sum();
    let (goes_on_p50_ms, goes_on_max_ms) = p50_max(blows.iter().filter_map(|b| b.goes_on).map(ms).collect());
    let (caught_up_p50_ms, caught_up_max_ms) = p50_max(blows.iter().filter_map(|b| b.caught_up).map(ms).collect());
    Row {
        times: blows.len() as u64,
        not_now: sum(|b| b.after.not_accepted - b.before.not_accepted),
        unanswered: sum(|b| b.after.unanswered - b.before.unanswered),
        answers_lost: sum(|b| u64::from(b.answers_lost)),
        goes_on_p50_ms,
        goes_on_max_ms,
        caught_up_p50_ms,
        caught_up_max_ms,
        late: sum(|b| u64::from(b.caught_up.is_none() || b.goes_on.is_none())),
    }
}

impl ChaosReport {
    /// Why the run failed; nothing when it did not.
    pub(super) fn objections(&self) -> Vec<String> {
        let mut objections = self.doubled_or_broken.clone();
        let counts = [
            (self.lost, "accepted commands have no outcome"),
            (self.dead_letters, "dead letters"),
            (self.day.broken_total, "promises to clients were broken"),
            (self.day.unresolved + self.day.suspended, "clients never heard of their command's end"),
            (self.rows.values().map(|row| row.late).sum(), "healings were not followed by progress in time"),
        ];
        objections.extend(counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
        objections.extend(self.day.broken.iter().cloned());
        objections.extend(self.panics.iter().cloned());
        objections.extend(self.left_by_themselves.iter().map(|who| format!("ended by itself: {who}")));
        objections
    }
}

impl fmt::Display for ChaosReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, seconds, faults, kills, servers, .. } = self;
        writeln!(f, "Chaos over {seconds:.0} s, seed {seed}, {servers}: {faults} faults, {kills} of them kill -9")?;
        writeln!(
            f,
            "  {:<36} {:>5} {:>7} {:>10} {:>8} {:>16} {:>18}",
            "fault", "times", "5xx", "no answer", "lost", "goes on p50/max", "caught up p50/max"
        )?;
        for (fault, row) in &self.rows {
            let Row { times, not_now, unanswered, answers_lost, .. } = row;
            let goes_on = format!("{} / {} ms", row.goes_on_p50_ms, row.goes_on_max_ms);
            let caught_up = format!("{} / {} ms", row.caught_up_p50_ms, row.caught_up_max_ms);
            writeln!(
                f,
                "  {fault:<36} {times:>5} {not_now:>7} {unanswered:>10} {answers_lost:>8} {goes_on:>16} {caught_up:>18}"
            )?;
        }
        write!(f, "{}", self.day)?;
        writeln!(
            f,
            "  lost {}, doubled or broken {}, dead letters {}; the longest wait of a client {:.1} s",
            self.lost,
            self.doubled_or_broken.len(),
            self.dead_letters,
            self.longest_wait_of_a_client_s
        )
    }
}

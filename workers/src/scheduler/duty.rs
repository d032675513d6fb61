//! A duty's rounds: it runs, notes how it went, and pauses.
//!
//! Promises: each run is in the metrics; the row in `scheduler_duties`, which `gream status` and the monitor read, is at
//! most [`NOTE_EVERY`] behind. A row that cannot be written holds no duty up. Doesn't: know what a duty does.

use super::Scheduler;
use platform::{database::within, pause::Pauses};
use std::{
    fmt::{self, Display},
    time::Duration,
};
use tokio::time::Instant;

/// A duty that runs every second is not worth a write every second.
const NOTE_EVERY: Duration = Duration::from_secs(5);
/// A paused scheduler looks this often whether it still is.
const WHILE_PAUSED: Duration = Duration::from_millis(200);
/// `scheduler_duties.error`'s width.
const MAX_ERROR_CHARS: usize = 500;
/// `scheduler_duties.process`'s width.
const MAX_NAME_CHARS: usize = 64;

/// What the scheduler does, as in metrics and in `scheduler_duties`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DutyName {
    /// Retires bids past their deadline.
    StaleBids,
    /// Rolls trades up for charts.
    DailyPrices,
    /// Destroys pictures that nobody needs.
    UnneededPictures,
    /// Sends commands about stuck charges and debts.
    Charges,
    /// Compares past days with Toss.
    CompareDays,
    /// Deletes ended sessions.
    EndedSessions,
    /// Deletes old webhooks.
    OldWebhooks,
    /// Deletes old notifications.
    OldNotifications,
    /// Tells of gifticons that expire soon.
    ExpiringGifticons,
    /// Deletes what is too old to be traced.
    OldHistory,
    /// Deletes discarded letters whose time to be restored is over.
    DiscardedLetters,
}

impl DutyName {
    /// Every duty.
    pub const ALL: [DutyName; 11] = [
        DutyName::StaleBids,
        DutyName::DailyPrices,
        DutyName::UnneededPictures,
        DutyName::Charges,
        DutyName::CompareDays,
        DutyName::EndedSessions,
        DutyName::OldWebhooks,
        DutyName::OldNotifications,
        DutyName::ExpiringGifticons,
        DutyName::OldHistory,
        DutyName::DiscardedLetters,
    ];

    /// As in metrics and rows.
    pub fn as_str(self) -> &'static str {
        match self {
            DutyName::StaleBids => "stale_bids",
            DutyName::DailyPrices => "daily_prices",
            DutyName::UnneededPictures => "unneeded_pictures",
            DutyName::Charges => "charges",
            DutyName::CompareDays => "compare_days",
            DutyName::EndedSessions => "ended_sessions",
            DutyName::OldWebhooks => "old_webhooks",
            DutyName::OldNotifications => "old_notifications",
            DutyName::ExpiringGifticons => "expiring_gifticons",
            DutyName::OldHistory => "old_history",
            DutyName::DiscardedLetters => "discarded_letters",
        }
    }
}

impl Display for DutyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a good run came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    /// What it sent, wrote or deleted.
    pub(super) items: u64,
    /// How long the oldest thing that was due had been waiting, where the duty can tell.
    pub(super) lag: Option<Duration>,
    /// The next run comes after this, not after the interval: there is more to do.
    pub(super) more_after: Option<Duration>,
}

impl Done {
    pub(super) fn items(items: u64) -> Self {
        Self { items, ..Self::default() }
    }
}

/// What happened since the row was written last.
#[derive(Default)]
struct Unnoted {
    runs: u32,
    successes: u32,
    items: u64,
}

/// One duty of one scheduler.
pub(super) struct Duty<'a> {
    scheduler: &'a Scheduler,
    name: DutyName,
    interval: Duration,
    least_pause_after_failure: Duration,
    pauses: Pauses,
    began: Instant,
    unnoted: Unnoted,
    noted_at: Option<Instant>,
    failed_before: bool,
    lag: Option<Duration>,
}

impl<'a> Duty<'a> {
    pub(super) fn new(scheduler: &'a Scheduler, name: DutyName, interval_ms: u64) -> Self {
        // So that the first failure is seen to be one more than none.
        for result in ["ok", "failed"] {
            metrics::counter!("gream_scheduler_runs_total", "duty" => name.as_str(), "result" => result).increment(0);
        }
        metrics::counter!("gream_scheduler_items_total", "duty" => name.as_str()).increment(0);
        Self {
            scheduler,
            name,
            interval: Duration::from_millis(interval_ms),
            least_pause_after_failure: Duration::ZERO,
            pauses: Pauses::new(),
            began: Instant::now(),
            unnoted: Unnoted::default(),
            noted_at: None,
            failed_before: false,
            lag: None,
        }
    }

    /// For a duty whose failures are another's trouble, which must not be asked again at once.
    pub(super) fn patient(self, least_pause_after_failure: Duration) -> Self {
        Self { least_pause_after_failure, ..self }
    }

    /// Whether there is another run, which begins now; once the role is not paused.
    pub(super) async fn begins(&mut self) -> bool {
        while self.scheduler.limits.is_paused() && self.scheduler.shutdown.sleep(WHILE_PAUSED).await {}
        self.began = Instant::now();
        !self.scheduler.shutdown.is_requested()
    }

    /// Notes how the run went, and sleeps until the next one.
    pub(super) async fn ended<E: Display>(&mut self, result: Result<Done, E>) {
        let took = self.began.elapsed();
        let (done, error) = match result {
            Ok(done) => (Some(done), None),
            Err(error) => {
                tracing::warn!(duty = self.name.as_str(), %error, "a duty of the scheduler failed; it is tried again");
                (None, Some(error.to_string()))
            }
        };
        let pause = match done {
            Some(done) => {
                self.pauses = Pauses::new();
                self.lag = done.lag;
                done.more_after.unwrap_or(self.interval)
            }
            None => self.pauses.next_pause().max(self.least_pause_after_failure),
        };
        let items = done.map_or(0, |done| done.items);
        self.measure(took, done.is_some(), items, pause);
        self.unnoted.runs += 1;
        self.unnoted.successes += u32::from(done.is_some());
        self.unnoted.items += items;
        let is_time = self.noted_at.is_none_or(|at| at.elapsed() >= NOTE_EVERY);
        if is_time || pause > NOTE_EVERY || error.is_some() != self.failed_before {
            self.failed_before = error.is_some();
            if let Err(error) = self.note(took, items, pause, error).await {
                tracing::debug!(duty = self.name.as_str(), %error, "a duty's row was not written");
            }
        }
        self.scheduler.shutdown.sleep(pause).await;
    }

    fn measure(&self, took: Duration, ok: bool, items: u64, pause: Duration) {
        let duty = self.name.as_str();
        let result = if ok { "ok" } else { "failed" };
        metrics::counter!("gream_scheduler_runs_total", "duty" => duty, "result" => result).increment(1);
        metrics::counter!("gream_scheduler_items_total", "duty" => duty).increment(items);
        metrics::histogram!("gream_scheduler_run_seconds", "duty" => duty).record(took);
        if let Some(lag) = self.lag {
            metrics::gauge!("gream_scheduler_lag_seconds", "duty" => duty).set(lag);
        }
        let now = Duration::from_millis(self.scheduler.clock.now().0.unsigned_abs());
        metrics::gauge!("gream_scheduler_last_run_timestamp_seconds", "duty" => duty).set(now);
        metrics::gauge!("gream_scheduler_next_run_timestamp_seconds", "duty" => duty).set(now + pause);
    }

    async fn note(
        &mut self,
        took: Duration,
        last_items: u64,
        pause: Duration,
        error: Option<String>,
    ) -> Result<(), sqlx::Error> {
        let now = self.scheduler.clock.now().0;
        let error: Option<String> = error.map(|error| error.chars().take(MAX_ERROR_CHARS).collect());
        let process: String = self.scheduler.name.chars().take(MAX_NAME_CHARS).collect();
        let write = sqlx::query!(
            "INSERT INTO scheduler_duties (duty, runs, successes, items, last_run_at_ms, last_success_at_ms, duration_ms,
                                           last_items, lag_ms, pause_ms, error, process)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON DUPLICATE KEY UPDATE runs = runs + VALUES(runs), successes = successes + VALUES(successes),
                 items = items + VALUES(items), last_run_at_ms = VALUES(last_run_at_ms),
                 last_success_at_ms = COALESCE(VALUES(last_success_at_ms), last_success_at_ms),
                 duration_ms = VALUES(duration_ms), last_items = VALUES(last_items), lag_ms = VALUES(lag_ms),
                 pause_ms = VALUES(pause_ms), error = VALUES(error), process = VALUES(process)",
            self.name.as_str(),
            self.unnoted.runs,
            self.unnoted.successes,
            self.unnoted.items,
            now,
            error.is_none().then_some(now),
            ms(took),
            last_items,
            self.lag.map(ms),
            // Until then nothing is written here again.
            ms(pause.max(NOTE_EVERY)),
            error,
            process
        );
        let limit = Duration::from_millis(self.scheduler.config.database.statement_timeout_ms);
        within(limit, write.execute(&self.scheduler.database)).await?;
        (self.noted_at, self.unnoted) = (Some(Instant::now()), Unnoted::default());
        Ok(())
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

//! The audit: journal, database, queues, dead letters and the sandbox's own journal, compared.
//!
//! ```text
//! clients' journal ─┐   (read first: what it says was told must be stored)
//! sandbox, last no. ┤
//!                   ▼
//!          one snapshot of MySQL ── every check in SQL, read-only, one moment
//!                   │
//! sandbox's journal ┤   (read after: what MySQL says must have happened there)
//! queues ───────────┘   (read last, with a fresh look at what had no row)
//! ```
//! Promises: writes nothing; a finding is a broken rule also while the market is busy. Doesn't: mend anything.

mod bids;
mod broker;
mod figures;
mod journal;
mod ledger;
mod orders;
mod refunds;
mod report;
mod slices;
mod snapshot;
mod span;
mod toss;
mod vouchers;

pub use broker::{InvalidPage, ManagementPage};
pub use report::{AuditReport, Check, Figures, Findings, MAX_LISTED, Pending};
pub use slices::{Slice, Walk, slice};

use contracts::{CommandId, PartitionCount};
use platform::Clock;
use reqwest::{Client, Url};
use snapshot::Snapshot;
use sqlx::MySqlPool;
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// The database's part of an audit may take this long, unless more is asked for: some 500,000 commands need half a minute.
pub const DATABASE_LIMIT: Duration = Duration::from_mins(5);
/// One question to the sandbox or to RabbitMQ may take this long.
const HTTP_LIMIT: Duration = Duration::from_secs(20);
/// Between two audits while waiting for rest.
const REST_POLL: Duration = Duration::from_millis(500);
/// Journaled commands without a row that are looked up once more; beyond them only the number counts.
const MAX_LOOKED_UP: usize = 10_000;

/// What is compared. What is `None` is named in the report as not compared.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The primary.
    pub database: MySqlPool,
    /// The clients' journal.
    pub journal: Option<PathBuf>,
    /// RabbitMQ.
    pub broker: Option<ManagementPage>,
    /// The Toss sandbox.
    pub sandbox: Option<Url>,
    /// The installation's partitions.
    pub partitions: PartitionCount,
    /// The market's clock.
    pub clock: Clock,
}

/// Why an audit could not be made. It says nothing about the data.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The database cannot be asked.
    #[error("the audit cannot read the database: {0}. Check database.url, and that `gream migrate` has run")]
    Database(#[from] sqlx::Error),
    /// The market is larger than the time that was given.
    #[error("the audit has not read the database in {} s: give it longer with --limit-s", .0.as_secs())]
    TooLong(Duration),
    /// The journal cannot be read.
    #[error("the audit cannot read the clients' journal {path:?}, line {line}: {error}")]
    Journal {
        /// Which file.
        path: PathBuf,
        /// Which line; 0 for the file itself.
        line: u64,
        /// What is wrong.
        error: String,
    },
    /// RabbitMQ's management page cannot be asked.
    #[error("the audit cannot ask RabbitMQ's management page: {0}. Check its address, user and password")]
    Broker(String),
    /// The sandbox cannot be asked.
    #[error("the audit cannot read the Toss sandbox's journal: {0}. Check that `gream sandbox` runs")]
    Sandbox(String),
    /// No HTTP client could be made.
    #[error("no HTTP client: {0}")]
    Http(String),
}

/// Compares everything once, in [`DATABASE_LIMIT`].
///
/// # Errors
/// When a source cannot be read; findings are no errors.
pub async fn audit(sources: &Sources) -> Result<AuditReport, AuditError> {
    audit_within(sources, DATABASE_LIMIT).await
}

/// Compares everything once; `limit` is for the database's part.
///
/// # Errors
/// As [`audit`].
pub async fn audit_within(sources: &Sources, limit: Duration) -> Result<AuditReport, AuditError> {
    let began = Instant::now();
    let taken_at = sources.clock.now();
    let http = Client::builder().timeout(HTTP_LIMIT).build().map_err(|error| AuditError::Http(error.to_string()))?;
    let journal = sources.journal.as_deref().map(journal::Journal::read).transpose()?;
    let sandbox = sources.sandbox.as_ref().map(|base_url| toss::Sandbox { http: &http, base_url });
    let mut entries = Vec::new();
    let last_before = match &sandbox {
        Some(sandbox) => sandbox.read_on(&mut entries).await?,
        None => 0,
    };

    let read = tokio::time::timeout(limit, read_database(sources, journal)).await;
    let read = read.map_err(|_| AuditError::TooLong(limit))??;
    let Read { mut report, payments, without_row } = read;
    report.taken_at = taken_at;

    if let Some(sandbox) = &sandbox {
        sandbox.read_on(&mut entries).await?;
        let (check, sums) = toss::compare(&payments, &entries, last_before, taken_at);
        report.checks.push(check);
        report.figures.captured_less_cancelled_won = Some(sums.net);
        report.pending.deposits_unfollowed = sums.unfollowed;
    }
    report.pending.journaled_without_row = without_row.len() as u64;
    if let Some(page) = &sources.broker {
        ask_broker(&http, page, sources, &without_row, &mut report).await?;
    }
    report.not_compared = not_compared(sources);
    report.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(report)
}

/// Repeats the audit until a rule is broken or everything accepted has ended, at most for `limit`; the last one is the
/// answer. Use it once nothing is coming in any more.
///
/// # Errors
/// As [`audit`].
pub async fn audit_at_rest(sources: &Sources, limit: Duration) -> Result<AuditReport, AuditError> {
    let began = Instant::now();
    loop {
        let report = audit(sources).await?;
        if !report.holds() || report.holds_at_rest() || began.elapsed() >= limit {
            return Ok(report);
        }
        tracing::info!(under_way = report.pending.total(), "waiting for what is under way to end");
        tokio::time::sleep(REST_POLL).await;
    }
}

struct Read {
    report: AuditReport,
    payments: Vec<toss::Stored>,
    without_row: Vec<CommandId>,
}

async fn read_database(sources: &Sources, journal: Option<journal::Journal>) -> Result<Read, sqlx::Error> {
    let now = sources.clock.now();
    let mut snapshot = Snapshot::take(&sources.database).await?;
    let mut checks = ledger::checks(&mut snapshot).await?;
    checks.extend(bids::checks(&mut snapshot, sources.partitions).await?);
    checks.extend(orders::checks(&mut snapshot).await?);
    checks.extend(refunds::checks(&mut snapshot).await?);
    checks.extend(vouchers::checks(&mut snapshot).await?);
    let mut without_row = Vec::new();
    if let Some(journal) = journal {
        let compared = journal::compare(journal, &mut snapshot).await?;
        checks.push(compared.check);
        without_row = compared.without_row;
    }
    let payments = toss::stored(&mut snapshot).await?;
    let figures = figures::figures(&mut snapshot, now).await?;
    let pending = figures::pending(&mut snapshot, now).await?;
    snapshot.end().await?;
    let report = AuditReport { taken_at: now, took_ms: 0, checks, not_compared: Vec::new(), pending, figures };
    Ok(Read { report, payments, without_row })
}

/// The queues are counted after the snapshot, so what had no row is looked up again after them: what is still missing
/// then was on a queue when they were counted. A count may be old, so a finding is only one if it stays.
async fn ask_broker(
    http: &Client,
    page: &ManagementPage,
    sources: &Sources,
    without_row: &[CommandId],
    report: &mut AuditReport,
) -> Result<(), AuditError> {
    let mut look_again = true;
    loop {
        let queues = broker::Queues::ask(http, page).await?;
        let looked_up = &without_row[..without_row.len().min(MAX_LOOKED_UP)];
        let expected = broker::Expected {
            without_row: figures::without_row_now(&sources.database, looked_up).await?.len() as u64,
            suspended: figures::suspended_now(&sources.database).await?,
        };
        let check = broker::compare(&expected, &queues);
        if check.holds() || !look_again {
            report.pending.queued_messages = queues.on_the_way();
            report.figures.dead_letters = queues.dead_letters();
            report.checks.push(check);
            return Ok(());
        }
        look_again = false;
        tokio::time::sleep(platform::rabbitmq::STATISTICS_AGE).await;
    }
}

fn not_compared(sources: &Sources) -> Vec<String> {
    let missing = [
        (sources.journal.is_none(), "the clients' journal: none was named"),
        (sources.broker.is_none(), "queues and dead letters: RabbitMQ's management page was not named"),
        (sources.sandbox.is_none(), "Toss's money: there is no sandbox to ask"),
    ];
    missing.into_iter().filter(|(missing, _)| *missing).map(|(_, what)| what.to_owned()).collect()
}

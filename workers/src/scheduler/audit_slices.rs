//! Audits the live system, a slice at a time.
//!
//! ```text
//!  resting ──pause over──► walking ──slice──► walking … ──last slice──► resting
//!                             each slice: its findings, and where the next one begins, in one transaction
//! ```
//! Promises: a finding is kept in `audit_findings` until a whole round has not met it again; a slice aims at
//! `scheduler.audit_slice_ms`, however large the market has grown. Any number of schedulers may run: of two that hold the
//! same slice against the rules, one keeps what it found. Doesn't: mend anything, or see what only `gream audit` compares.

use super::{
    Scheduler,
    duty::{Done, Duty, DutyName},
};
use audit::{Check, Walk};
use contracts::UnixMs;
use platform::database::within;
use sqlx::MySqlConnection;
use std::time::{Duration, Instant};

/// Rows of a slice, at most: so that one that was quick by luck is not followed by one that is slow.
const MAX_ROWS: u32 = 5_000;
/// Of a walk's first slice.
const FIRST_ROWS: u32 = 50;
/// More findings than this are not kept: what broke a thousand things is one trouble.
const MAX_FINDINGS: i64 = 1_000;
/// `audit_findings.finding`'s width.
const MAX_FINDING_CHARS: usize = 400;

/// A walk's row.
#[derive(Clone, Debug)]
struct Standing {
    position: Vec<u8>,
    rows: u32,
    round: i64,
    round_ended_at: Option<UnixMs>,
}

/// One slice of each walk that does not rest, again after each interval.
pub(super) async fn run(scheduler: &Scheduler) {
    for walk in Walk::ALL {
        metrics::counter!("gream_audit_examined_total", "walk" => walk.as_str()).increment(0);
    }
    let mut duty = Duty::new(scheduler, DutyName::AuditSlices, scheduler.config.scheduler.audit_interval_ms);
    while duty.begins().await {
        let audited = walk_on(scheduler).await;
        duty.ended(audited).await;
    }
}

async fn walk_on(scheduler: &Scheduler) -> Result<Done, sqlx::Error> {
    let mut examined = 0;
    for walk in Walk::ALL {
        examined += step(scheduler, walk).await?;
    }
    Ok(Done::items(examined))
}

/// The next slice of a walk. How much was examined.
async fn step(scheduler: &Scheduler, walk: Walk) -> Result<u64, sqlx::Error> {
    let (config, now) = (&scheduler.config.scheduler, scheduler.clock.now());
    let limit = Duration::from_millis(scheduler.config.database.statement_timeout_ms);
    let standing = within(limit, standing(scheduler, walk, now)).await?;
    if is_resting(&standing, now, config.audit_round_pause_ms) {
        return Ok(0);
    }
    let began = Instant::now();
    let slice = within(limit, audit::slice(&scheduler.database, walk, &standing.position, standing.rows)).await;
    let rows = next_rows(standing.rows, began.elapsed(), Duration::from_millis(config.audit_slice_ms));
    let slice = match slice {
        Ok(slice) => slice,
        Err(error) => {
            // Perhaps it was too large; the next one is smaller.
            within(limit, note_rows(scheduler, walk, rows)).await?;
            return Err(error);
        }
    };
    let examined: u64 = slice.checks.iter().map(|check| check.examined).sum();
    within(limit, keep(scheduler, walk, &standing, &slice.checks, slice.next.as_deref(), rows)).await?;
    metrics::counter!("gream_audit_examined_total", "walk" => walk.as_str()).increment(examined);
    Ok(examined)
}

/// A round that is over is not followed by the next one at once: most of what it would see has not changed.
fn is_resting(standing: &Standing, now: UnixMs, pause_ms: i64) -> bool {
    standing.position.is_empty() && standing.round_ended_at.is_some_and(|ended_at| now.ms_since(ended_at) < pause_ms)
}

/// As many as would have taken `aim`, by what so many took; at most twice as many or half as many as before.
fn next_rows(rows: u32, took: Duration, aim: Duration) -> u32 {
    let took_us = took.as_micros().max(1);
    let fitting = u128::from(rows).saturating_mul(aim.as_micros()) / took_us;
    let fitting = u32::try_from(fitting).unwrap_or(u32::MAX);
    fitting.clamp(rows / 2, rows.saturating_mul(2)).clamp(1, MAX_ROWS)
}

async fn standing(scheduler: &Scheduler, walk: Walk, now: UnixMs) -> Result<Standing, sqlx::Error> {
    let read = sqlx::query!(
        r#"SELECT position, slice_rows AS "rows!: u32", round, round_ended_at_ms FROM audit_walks WHERE walk = ?"#,
        walk.as_str()
    );
    if let Some(row) = read.fetch_optional(&scheduler.database).await? {
        let round_ended_at = row.round_ended_at_ms.map(UnixMs);
        return Ok(Standing { position: row.position, rows: row.rows, round: row.round, round_ended_at });
    }
    // Another scheduler may write it first; then it is as good as ours.
    sqlx::query!(
        "INSERT IGNORE INTO audit_walks (walk, position, slice_rows, round, round_began_at_ms, examined)
         VALUES (?, '', ?, 1, ?, 0)",
        walk.as_str(),
        FIRST_ROWS,
        now.0
    )
    .execute(&scheduler.database)
    .await?;
    Ok(Standing { position: Vec::new(), rows: FIRST_ROWS, round: 1, round_ended_at: None })
}

async fn note_rows(scheduler: &Scheduler, walk: Walk, rows: u32) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE audit_walks SET slice_rows = ? WHERE walk = ?", rows, walk.as_str())
        .execute(&scheduler.database)
        .await
        .map(drop)
}

/// Keeps what a slice found, and where the next one begins; nothing if another scheduler was here first.
async fn keep(
    scheduler: &Scheduler,
    walk: Walk,
    standing: &Standing,
    checks: &[Check],
    next: Option<&[u8]>,
    rows: u32,
) -> Result<(), sqlx::Error> {
    let (now, examined) = (scheduler.clock.now(), checks.iter().map(|check| check.examined).sum::<u64>());
    let mut transaction = scheduler.database.begin().await?;
    let ended_at = next.is_none().then_some(now.0);
    // In this order: to the right of its assignment a column has its new value already.
    let moved = sqlx::query!(
        "UPDATE audit_walks SET examined = IF(position = '', 0, examined) + ?,
                round_began_at_ms = IF(position = '', ?, round_began_at_ms),
                round_ended_at_ms = COALESCE(?, round_ended_at_ms), slice_rows = ?,
                position = ?, round = round + ?
         WHERE walk = ? AND round = ? AND position = ?",
        examined,
        now.0,
        ended_at,
        rows,
        next.unwrap_or_default(),
        i64::from(next.is_none()),
        walk.as_str(),
        standing.round,
        standing.position
    );
    if moved.execute(&mut *transaction).await?.rows_affected() == 0 {
        return Ok(());
    }
    for check in checks {
        for finding in &check.findings.listed {
            note(&mut transaction, walk, standing.round, check.name, finding, now).await?;
        }
    }
    if next.is_none() {
        sqlx::query!("DELETE FROM audit_findings WHERE walk = ? AND round < ?", walk.as_str(), standing.round)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}

async fn note(
    connection: &mut MySqlConnection,
    walk: Walk,
    round: i64,
    check: &str,
    finding: &str,
    now: UnixMs,
) -> Result<(), sqlx::Error> {
    let finding: String = finding.chars().take(MAX_FINDING_CHARS).collect();
    let again =
        sqlx::query!("UPDATE audit_findings SET round = ? WHERE check_name = ? AND finding = ?", round, check, finding);
    if again.execute(&mut *connection).await?.rows_affected() > 0 {
        return Ok(());
    }
    tracing::error!(
        check,
        finding,
        "a rule of the books is broken: docs/runbook/GreamAuditFindings.md says what to do"
    );
    sqlx::query!(
        "INSERT INTO audit_findings (check_name, finding, walk, round, found_at_ms)
         SELECT ?, ?, ?, ?, ? FROM (SELECT COUNT(*) AS kept FROM audit_findings) AS counted WHERE kept < ?",
        check,
        finding,
        walk.as_str(),
        round,
        now.0,
        MAX_FINDINGS
    )
    .execute(connection)
    .await
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_grows_and_shrinks_towards_its_aim_and_never_to_nothing() {
        let next = |rows, took_ms| next_rows(rows, Duration::from_millis(took_ms), Duration::from_millis(50));
        assert_eq!((next(100, 50), next(100, 40), next(100, 60)), (100, 125, 83));
        assert_eq!((next(100, 1), next(100, 5_000)), (200, 50), "by half or twice at most");
        assert_eq!((next(1, 5_000), next(1, 1), next(MAX_ROWS, 1)), (1, 2, MAX_ROWS));
    }

    #[test]
    fn a_walk_rests_between_its_rounds_only() {
        let at = |position: &[u8], ended: Option<i64>| Standing {
            position: position.to_vec(),
            rows: 1,
            round: 2,
            round_ended_at: ended.map(UnixMs),
        };
        assert!(is_resting(&at(b"", Some(1_000)), UnixMs(1_999), 1_000));
        assert!(!is_resting(&at(b"", Some(1_000)), UnixMs(2_000), 1_000));
        assert!(!is_resting(&at(b"7", Some(1_000)), UnixMs(1_001), 1_000), "in the midst of a round");
        assert!(!is_resting(&at(b"", None), UnixMs(0), 1_000), "before its first");
    }
}

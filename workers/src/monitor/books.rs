//! What waits in MySQL, counted by queries of the monitor's own: those who should have done it ask with others.

use super::Monitor;
use platform::database::within;
use std::time::Duration;

/// More bids than this are not counted: whoever is told of a thousand will look by themself.
const MAX_COUNTED: i64 = 1_000;

pub(super) async fn look(monitor: &Monitor) -> Result<(), sqlx::Error> {
    overdue_bids(monitor).await?;
    outbox(monitor).await?;
    audit(monitor).await
}

/// Open bids past their deadline. They do no harm (nothing matches them), but hold points and vouchers.
async fn overdue_bids(monitor: &Monitor) -> Result<(), sqlx::Error> {
    let now = monitor.clock.now().0;
    let read = sqlx::query!(
        r#"SELECT COUNT(*) AS "bids!: i64", MIN(deadline_ms) AS "oldest: i64"
           FROM (SELECT deadline_ms FROM bids WHERE state = 'open' AND deadline_ms <= ? ORDER BY deadline_ms LIMIT ?)
                AS overdue"#,
        now,
        MAX_COUNTED
    );
    let row = within(monitor.limit(), read.fetch_one(&monitor.database)).await?;
    metrics::gauge!("gream_overdue_bids").set(u32::try_from(row.bids).unwrap_or(u32::MAX));
    metrics::gauge!("gream_overdue_bids_oldest_seconds").set(age(now, row.oldest));
    Ok(())
}

/// How long the outbox's first row has been there.
async fn outbox(monitor: &Monitor) -> Result<(), sqlx::Error> {
    let read = sqlx::query_scalar!("SELECT created_at_ms FROM outbox ORDER BY outbox_id LIMIT 1");
    let oldest = within(monitor.limit(), read.fetch_optional(&monitor.database)).await?;
    metrics::gauge!("gream_outbox_lag_seconds").set(age(monitor.clock.now().0, oldest));
    Ok(())
}

/// What the live audit found, and how long ago each of its walks came by everything.
async fn audit(monitor: &Monitor) -> Result<(), sqlx::Error> {
    let read = sqlx::query_scalar!(r#"SELECT COUNT(*) AS "findings!: i64" FROM audit_findings"#);
    let findings = within(monitor.limit(), read.fetch_one(&monitor.database)).await?;
    metrics::gauge!("gream_audit_findings").set(u32::try_from(findings).unwrap_or(u32::MAX));
    let read = sqlx::query!(
        r#"SELECT walk, COALESCE(round_ended_at_ms, round_began_at_ms) AS "since_ms!: i64" FROM audit_walks"#
    );
    for row in within(monitor.limit(), read.fetch_all(&monitor.database)).await? {
        let age = age(monitor.clock.now().0, Some(row.since_ms));
        metrics::gauge!("gream_audit_round_age_seconds", "walk" => row.walk).set(age);
    }
    Ok(())
}

fn age(now_ms: i64, since_ms: Option<i64>) -> Duration {
    Duration::from_millis(since_ms.map_or(0, |since_ms| now_ms.saturating_sub(since_ms).max(0)).unsigned_abs())
}

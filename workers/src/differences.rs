//! Where our books and Toss differ: rows for a person. Written by the payment worker when it looks a charge up, and by
//! the scheduler when it compares a day.
//!
//! Promises: found again, a difference is the same row; gone, it stays as a row that says so. Doesn't: mend anything, or
//! close what only a list has told: that is for the person who found out why.

use contracts::UnixMs;
use domain::payment::follow::Difference;
use sqlx::MySqlConnection;

/// `differences.detail`'s width.
const MAX_DETAIL_CHARS: usize = 500;

/// Notes a difference.
pub(crate) async fn note(
    connection: &mut MySqlConnection,
    order_id: &str,
    kind: Difference,
    why: &str,
    now: UnixMs,
) -> Result<(), sqlx::Error> {
    tracing::error!(order = order_id, kind = kind.as_str(), why, "our books and Toss differ: a person must look");
    metrics::counter!("gream_differences_found_total", "kind" => kind.as_str()).increment(1);
    let detail: String = why.chars().take(MAX_DETAIL_CHARS).collect();
    sqlx::query!(
        "INSERT INTO differences (order_id, kind, detail, found_at_ms, seen_at_ms) VALUES (?, ?, ?, ?, ?)
         ON DUPLICATE KEY UPDATE found_at_ms = IF(gone_at_ms IS NULL, found_at_ms, VALUES(found_at_ms)),
             detail = VALUES(detail), seen_at_ms = VALUES(seen_at_ms), gone_at_ms = NULL",
        order_id,
        kind.as_str(),
        detail,
        now.0,
        now.0
    )
    .execute(connection)
    .await
    .map(drop)
}

/// A look-up showed that differences of these kinds are over.
pub(crate) async fn gone(
    connection: &mut MySqlConnection,
    order_id: &str,
    kinds: &[Difference],
    now: UnixMs,
) -> Result<(), sqlx::Error> {
    let words: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    sqlx::query!(
        "UPDATE differences SET gone_at_ms = ? WHERE order_id = ? AND gone_at_ms IS NULL AND FIND_IN_SET(kind, ?) > 0",
        now.0,
        order_id,
        words.join(",")
    )
    .execute(connection)
    .await
    .map(drop)
}

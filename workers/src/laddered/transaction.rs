//! Small helpers of the stores: contention, and values between rows and the domain.

use contracts::{CommandId, UserId};
use platform::database::{Trouble, is_duplicate, trouble};
use std::time::Duration;

/// How often a transaction that met a deadlock or a lock wait is run again at once.
const MAX_CONTENTIONS: u32 = 8;
/// The pause after the n-th contention is n times this.
const CONTENTION_PAUSE: Duration = Duration::from_millis(5);

/// Runs a whole transaction, again when it met a deadlock, a lock wait, or a row that somebody else has just inserted
/// (which the next run will find).
pub(crate) async fn again_on_contention<T, F>(transaction: impl Fn() -> F) -> Result<T, sqlx::Error>
where
    F: Future<Output = Result<T, sqlx::Error>>,
{
    let mut contentions = 0;
    loop {
        let error = match transaction().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let contended = trouble(&error) == Trouble::Contention || is_duplicate(&error);
        contentions += 1;
        if !contended || contentions > MAX_CONTENTIONS {
            return Err(error);
        }
        metrics::counter!("gream_laddered_contentions_total").increment(1);
        tokio::time::sleep(CONTENTION_PAUSE * contentions).await;
    }
}

/// A value that no version of ours writes, or that the rules refuse: a defect, whoever made it.
pub(crate) fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

/// A command id from its column.
pub(crate) fn command_id(bytes: &[u8]) -> Result<CommandId, sqlx::Error> {
    CommandId::from_slice(bytes).ok_or_else(|| invalid("a command id is 16 bytes"))
}

/// A user's id as a column's value. Ids stay below 2^53.
pub(crate) fn user_id(user: UserId) -> i64 {
    i64::try_from(user.0).unwrap_or(i64::MAX)
}

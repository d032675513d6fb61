//! The audit in slices: what one user, one command or one order can be held against without reading everybody else's rows,
//! a few of them at a time, on the live system.
//!
//! ```text
//! users     ├──┤──┤────┤ … ┤  their ledger entries, balances, debts, holds, bids, charges, refunds
//! commands  ├─┤───┤ … ┤       their transfers
//! orders    ├──┤──┤ … ┤       their parties, bids and money
//! ```
//! Promises: the rules and their SQL are the whole audit's; each slice is one moment; a round comes by every row that was
//! there when it began. Doesn't: compare what needs all rows at once (a voucher sold twice, queues, Toss): `gream audit`
//! does; keep anything: where a walk stands is the caller's to remember.

use super::{
    ledger, orders, refunds,
    report::Check,
    snapshot::Snapshot,
    span::{Commands, Orders, Users},
};
use sqlx::MySqlPool;

/// What is walked along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Walk {
    /// Users by their ids.
    Users,
    /// Commands by their ids.
    Commands,
    /// Orders by their ids.
    Orders,
}

impl Walk {
    /// Every walk.
    pub const ALL: [Self; 3] = [Self::Users, Self::Commands, Self::Orders];

    /// As in metrics and rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Commands => "commands",
            Self::Orders => "orders",
        }
    }
}

/// What one slice came to.
#[derive(Clone, Debug)]
pub struct Slice {
    /// The checks that were made.
    pub checks: Vec<Check>,
    /// Where the next one begins; none when the round is over.
    pub next: Option<Vec<u8>>,
}

/// Holds the next `rows` rows of a walk against the rules. `position` is where the last slice said that this one begins,
/// or nothing at all.
///
/// # Errors
/// When the database cannot be read.
pub async fn slice(database: &MySqlPool, walk: Walk, position: &[u8], rows: u32) -> Result<Slice, sqlx::Error> {
    let mut snapshot = Snapshot::take_small(database).await?;
    let slice = match walk {
        Walk::Users => {
            let after = number(position).unwrap_or(Users::ALL.after);
            let upto = nth_user(&mut snapshot, after, rows).await?;
            let users = Users { after, upto: upto.unwrap_or(Users::ALL.upto) };
            Slice { checks: of_users(&mut snapshot, &users).await?, next: upto.map(bytes) }
        }
        Walk::Orders => {
            let after = number(position).unwrap_or(Orders::ALL.after);
            let upto = nth_order(&mut snapshot, after, rows).await?;
            let orders = Orders { after, upto: upto.unwrap_or(Orders::ALL.upto) };
            Slice { checks: orders::checks_of_orders(&mut snapshot, &orders).await?, next: upto.map(bytes) }
        }
        Walk::Commands => {
            let next = nth_command(&mut snapshot, position, rows).await?;
            let upto = next.clone().unwrap_or_else(|| Commands::END.to_vec());
            let commands = Commands { after: position.to_vec(), upto };
            Slice { checks: of_commands(&mut snapshot, &commands).await?, next }
        }
    };
    snapshot.end().await?;
    Ok(slice)
}

async fn of_users(snapshot: &mut Snapshot, users: &Users) -> Result<Vec<Check>, sqlx::Error> {
    let mut checks = ledger::checks_of_users(snapshot, users).await?;
    checks.push(super::bids::bids_hold_what_they_moved(snapshot, users).await?);
    checks.extend(refunds::checks_of_users(snapshot, users).await?);
    Ok(checks)
}

async fn of_commands(snapshot: &mut Snapshot, commands: &Commands) -> Result<Vec<Check>, sqlx::Error> {
    let mut checks = ledger::checks_of_commands(snapshot, commands).await?;
    checks.push(orders::trades_have_their_order(snapshot, commands).await?);
    Ok(checks)
}

/// The last one of a full slice; none when there are no `rows` any more, and the slice is the round's last.
async fn nth_user(snapshot: &mut Snapshot, after: i64, rows: u32) -> Result<Option<i64>, sqlx::Error> {
    let skipped = rows.saturating_sub(1);
    sqlx::query_scalar!("SELECT user_id FROM users WHERE user_id > ? ORDER BY user_id LIMIT 1 OFFSET ?", after, skipped)
        .fetch_optional(snapshot.connection())
        .await
}

async fn nth_order(snapshot: &mut Snapshot, after: i64, rows: u32) -> Result<Option<i64>, sqlx::Error> {
    let skipped = rows.saturating_sub(1);
    sqlx::query_scalar!(
        "SELECT order_id FROM orders WHERE order_id > ? ORDER BY order_id LIMIT 1 OFFSET ?",
        after,
        skipped
    )
    .fetch_optional(snapshot.connection())
    .await
}

async fn nth_command(snapshot: &mut Snapshot, after: &[u8], rows: u32) -> Result<Option<Vec<u8>>, sqlx::Error> {
    let skipped = rows.saturating_sub(1);
    sqlx::query_scalar!(
        "SELECT command_id FROM commands WHERE command_id > ? ORDER BY command_id LIMIT 1 OFFSET ?",
        after,
        skipped
    )
    .fetch_optional(snapshot.connection())
    .await
}

fn bytes(id: i64) -> Vec<u8> {
    id.to_be_bytes().to_vec()
}

fn number(position: &[u8]) -> Option<i64> {
    position.try_into().ok().map(i64::from_be_bytes)
}

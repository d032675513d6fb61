//! Our side of a comparison: the SQL.

use super::{Counts, differences};
use crate::scheduler::Scheduler;
use contracts::{UnixMs, Won};
use domain::{
    daily_price::SeoulDay,
    payment::{
        State,
        compare::Told,
        follow::{Booked, Difference},
    },
};
use platform::database::within;
use sqlx::MySqlPool;
use std::{collections::BTreeSet, time::Duration};

/// Charges or refund legs of one read.
const PAGE: i64 = 5_000;

/// Reads and writes, each by itself.
pub(super) struct Books {
    database: MySqlPool,
    limit: Duration,
}

/// A charge's row.
#[derive(PartialEq)]
pub(super) struct Charge {
    pub(super) state: State,
    pub(super) amount: Won,
    pub(super) payment_key: Option<String>,
    refunded: Won,
    reversed: Won,
}

impl Charge {
    pub(super) fn told(&self) -> Told {
        let given_back = Won(self.refunded.0.saturating_add(self.reversed.0));
        Told { state: self.state, amount: self.amount, given_back }
    }

    pub(super) fn booked<'a>(&self, order_id: &'a str) -> Booked<'a> {
        let Charge { state, amount, refunded, reversed, .. } = *self;
        Booked { state, order_id, amount, refunded, reversed }
    }
}

impl Books {
    pub(super) fn new(scheduler: &Scheduler) -> Self {
        let limit = Duration::from_millis(scheduler.config.database.statement_timeout_ms);
        Self { database: scheduler.database.clone(), limit }
    }

    pub(super) async fn compared_since(&self, first: SeoulDay) -> Result<BTreeSet<SeoulDay>, sqlx::Error> {
        let read = sqlx::query_scalar!("SELECT seoul_day FROM compared_days WHERE seoul_day >= ?", first.0);
        let days = within(self.limit, read.fetch_all(&self.database)).await?;
        Ok(days.into_iter().map(|day| SeoulDay(day.into())).collect())
    }

    pub(super) async fn note_compared(&self, day: SeoulDay, counts: &Counts, now: UnixMs) -> Result<(), sqlx::Error> {
        let write = sqlx::query!(
            "INSERT INTO compared_days (seoul_day, transactions, suspects, differences, compared_at_ms)
             VALUES (?, ?, ?, ?, ?)
             ON DUPLICATE KEY UPDATE transactions = VALUES(transactions), suspects = VALUES(suspects),
                 differences = VALUES(differences), compared_at_ms = VALUES(compared_at_ms)",
            day.0,
            column(counts.transactions),
            column(counts.suspects),
            column(counts.differences),
            now.0
        );
        within(self.limit, write.execute(&self.database)).await.map(drop)
    }

    pub(super) async fn charge(&self, order_id: &str) -> Result<Option<Charge>, sqlx::Error> {
        // Toss's own test payments and other merchants' systems may have order ids that no column of ours takes.
        if !order_id.is_ascii() {
            return Ok(None);
        }
        let read = sqlx::query!(
            "SELECT state, amount, payment_key, cancelled_amount, reversed_amount FROM payments WHERE order_id = ?",
            order_id
        );
        let Some(row) = within(self.limit, read.fetch_optional(&self.database)).await? else { return Ok(None) };
        let state = row.state.parse().map_err(|error: domain::UnknownWord| sqlx::Error::Decode(error.into()))?;
        Ok(Some(Charge {
            state,
            amount: Won(row.amount),
            payment_key: row.payment_key,
            refunded: Won(row.cancelled_amount),
            reversed: Won(row.reversed_amount),
        }))
    }

    /// The orders whose charges were last changed, or whose refund legs were paid, in `from..to`.
    pub(super) async fn moved(&self, from: UnixMs, to: UnixMs) -> Result<BTreeSet<String>, sqlx::Error> {
        let mut orders = BTreeSet::new();
        let (mut at, mut after) = (from.0, String::new());
        loop {
            let read = sqlx::query!(
                "SELECT order_id, updated_at_ms FROM payments
                 WHERE state = 'done' AND updated_at_ms >= ? AND updated_at_ms < ?
                   AND (updated_at_ms > ? OR order_id > ?)
                 ORDER BY updated_at_ms, order_id LIMIT ?",
                at,
                to.0,
                at,
                after,
                PAGE
            );
            let page = within(self.limit, read.fetch_all(&self.database)).await?;
            let is_last = i64::try_from(page.len()).unwrap_or(i64::MAX) < PAGE;
            if let Some(last) = page.last() {
                (at, after) = (last.updated_at_ms, last.order_id.clone());
            }
            orders.extend(page.into_iter().map(|row| row.order_id));
            if is_last {
                return Ok(orders);
            }
        }
    }

    pub(super) async fn note(
        &self,
        order_id: &str,
        kind: Difference,
        why: &str,
        now: UnixMs,
    ) -> Result<(), sqlx::Error> {
        let order_id: String = order_id.chars().filter(char::is_ascii).take(MAX_ORDER_ID_CHARS).collect();
        within(self.limit, async {
            let mut connection = self.database.acquire().await?;
            differences::note(&mut connection, &order_id, kind, why, now).await
        })
        .await
    }

    pub(super) async fn gone(&self, order_id: &str, kinds: &[Difference], now: UnixMs) -> Result<(), sqlx::Error> {
        within(self.limit, async {
            let mut connection = self.database.acquire().await?;
            differences::gone(&mut connection, order_id, kinds, now).await
        })
        .await
    }

    /// How much refund legs are cancelling of a charge that began to do so after `since`: what Toss has given back for them
    /// is on the list of a day that is compared later.
    pub(super) async fn cancelling_since(&self, order_id: &str, since: UnixMs) -> Result<Won, sqlx::Error> {
        let read = sqlx::query_scalar!(
            r#"SELECT CAST(COALESCE(SUM(amount), 0) AS SIGNED) AS "sum!: i64" FROM refund_legs
               WHERE order_id = ? AND route = 'cancel' AND state = 'executing' AND updated_at_ms >= ?"#,
            order_id,
            since.0
        );
        within(self.limit, read.fetch_one(&self.database)).await.map(Won)
    }
}

/// `differences.order_id`'s width.
const MAX_ORDER_ID_CHARS: usize = 64;

fn column(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

//! The sandbox's payments: what Toss would allow, decided over plain values.
//!
//! ```text
//!            30 min               10 min
//!  opened ──────────► authenticated ──────────► confirmed ──► partly or wholly cancelled
//!    │ READY             │ IN_PROGRESS  ╲          DONE        PARTIAL_CANCELED | CANCELED
//!    └──► EXPIRED        └──► EXPIRED    ╲──► aborted
//!                                               ABORTED
//! ```
//! Promises: the book follows from the journal's entries alone; nothing changes but by [`Book::apply`].
//! Doesn't: write the journal, know the time, or talk to anybody.

use super::{
    answer::{Answer, Refuse},
    journal::{BoundAnswer, Effect, Entry},
};
use contracts::{UnixMs, Won};
use std::collections::HashMap;

/// From the opening of the payer's window to the authentication.
pub(super) const AUTHENTICATE_WITHIN_MS: i64 = 30 * 60_000;
/// From the authentication to the merchant's confirm.
pub(super) const CONFIRM_WITHIN_MS: i64 = 10 * 60_000;
/// How long an answer stays bound to its idempotency key.
const KEY_LIFETIME_MS: i64 = 15 * 24 * 3_600_000;

/// A cancel that went through.
#[derive(Clone, Debug)]
pub(super) struct CancelRecord {
    pub(super) amount: Won,
    pub(super) balance: Won,
    pub(super) reason: String,
    pub(super) transaction_key: String,
    pub(super) at: UnixMs,
}

/// How far a payment has come.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    Opened,
    Authenticated { at: UnixMs },
    Confirmed { at: UnixMs },
    Aborted { code: String },
}

/// One payment.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) payment_key: String,
    pub(super) order_id: String,
    pub(super) amount: Won,
    pub(super) opened_at: UnixMs,
    pub(super) stage: Stage,
    pub(super) cancels: Vec<CancelRecord>,
}

impl Record {
    pub(super) fn balance(&self) -> Won {
        self.cancels.last().map_or(self.amount, |cancel| cancel.balance)
    }

    /// Toss's word for where it stands. Partial cancels that add up to everything stay `PARTIAL_CANCELED`.
    pub(super) fn status(&self, now: UnixMs) -> &'static str {
        match &self.stage {
            Stage::Opened if now.ms_since(self.opened_at) >= AUTHENTICATE_WITHIN_MS => "EXPIRED",
            Stage::Opened => "READY",
            Stage::Authenticated { at } if now.ms_since(*at) >= CONFIRM_WITHIN_MS => "EXPIRED",
            Stage::Authenticated { .. } => "IN_PROGRESS",
            Stage::Aborted { .. } => "ABORTED",
            Stage::Confirmed { .. } => match self.cancels.as_slice() {
                [] => "DONE",
                [only] if only.amount == self.amount => "CANCELED",
                _ => "PARTIAL_CANCELED",
            },
        }
    }

    fn apply(&mut self, effect: &Effect, at: UnixMs) {
        match effect {
            Effect::Opened { .. } | Effect::Refused => {}
            Effect::Authenticated { .. } => self.stage = Stage::Authenticated { at },
            Effect::Confirmed { .. } => self.stage = Stage::Confirmed { at },
            Effect::Aborted { code, .. } => self.stage = Stage::Aborted { code: code.clone() },
            Effect::Cancelled { amount, balance, reason, transaction_key, .. } => self.cancels.push(CancelRecord {
                amount: *amount,
                balance: *balance,
                reason: reason.clone(),
                transaction_key: transaction_key.clone(),
                at,
            }),
        }
    }
}

/// Every payment, and every answer that is bound to a key.
#[derive(Debug, Default)]
pub(super) struct Book {
    payments: HashMap<String, Record>,
    /// The newest payment of each order: a payer may try again.
    by_order: HashMap<String, String>,
    bound: HashMap<(String, String), (UnixMs, BoundAnswer)>,
}

impl Book {
    pub(super) fn get(&self, payment_key: &str) -> Option<&Record> {
        self.payments.get(payment_key)
    }

    pub(super) fn of_order(&self, order_id: &str) -> Option<&Record> {
        self.payments.get(self.by_order.get(order_id)?)
    }

    /// The answer that `key` was given at `path`, while the key lives.
    pub(super) fn bound(&self, path: &str, key: &str, now: UnixMs) -> Option<Answer> {
        let (at, bound) = self.bound.get(&(path.to_owned(), key.to_owned()))?;
        let alive = now.ms_since(*at) < KEY_LIFETIME_MS;
        alive.then(|| Answer { http: bound.http, body: bound.body.clone(), retry_after_s: None })
    }

    /// The payer has authenticated, if still allowed to.
    pub(super) fn authenticate(&self, payment_key: &str, now: UnixMs) -> Result<Effect, Refuse> {
        let record = self.get(payment_key).ok_or_else(Refuse::no_such_payment)?;
        match record.status(now) {
            "READY" => Ok(Effect::Authenticated { payment_key: payment_key.to_owned() }),
            "EXPIRED" => Err(Refuse::session_over()),
            _ => Err(Refuse::already_processed()),
        }
    }

    /// What a confirm would do.
    pub(super) fn confirm(
        &self,
        payment_key: &str,
        order_id: &str,
        amount: Won,
        now: UnixMs,
    ) -> Result<Effect, Refuse> {
        let record = self.get(payment_key).ok_or_else(Refuse::no_such_payment)?;
        if record.order_id != order_id {
            return Err(Refuse::invalid_request());
        }
        if record.amount != amount {
            return Err(Refuse::another_amount());
        }
        match record.status(now) {
            "IN_PROGRESS" => {}
            "READY" | "EXPIRED" => return Err(Refuse::session_over()),
            _ => return Err(Refuse::already_processed()),
        }
        Ok(Effect::Confirmed { payment_key: payment_key.to_owned(), order_id: order_id.to_owned(), amount })
    }

    /// What a confirm that Toss refuses for good would do: the payment is lost.
    pub(super) fn abort(&self, payment_key: &str, code: &str, now: UnixMs) -> Option<Effect> {
        let record = self.get(payment_key).filter(|record| record.status(now) == "IN_PROGRESS")?;
        let (payment_key, order_id) = (payment_key.to_owned(), record.order_id.clone());
        Some(Effect::Aborted { payment_key, order_id, code: code.to_owned() })
    }

    /// What a cancel would do; `amount` left out means all that is left.
    pub(super) fn cancel(
        &self,
        payment_key: &str,
        reason: &str,
        amount: Option<Won>,
        transaction_key: String,
    ) -> Result<Effect, Refuse> {
        let record = self.get(payment_key).ok_or_else(Refuse::no_such_payment)?;
        if !matches!(record.stage, Stage::Confirmed { .. }) {
            return Err(Refuse::not_cancelable_payment());
        }
        let left = record.balance();
        if left == Won::ZERO {
            return Err(Refuse::already_cancelled());
        }
        let amount = amount.unwrap_or(left);
        if amount <= Won::ZERO {
            return Err(Refuse::invalid_request());
        }
        let balance = left.checked_sub(amount).filter(|balance| !balance.is_negative());
        Ok(Effect::Cancelled {
            payment_key: payment_key.to_owned(),
            order_id: record.order_id.clone(),
            amount,
            balance: balance.ok_or_else(Refuse::not_cancelable_amount)?,
            reason: reason.to_owned(),
            transaction_key,
        })
    }

    /// The payment as it would stand after `effect`.
    pub(super) fn preview(&self, effect: &Effect, at: UnixMs) -> Option<Record> {
        let mut record = self.get(payment_key_of(effect)?)?.clone();
        record.apply(effect, at);
        Some(record)
    }

    /// Takes an entry of the journal in.
    pub(super) fn apply(&mut self, entry: &Entry) {
        if let Effect::Opened { payment_key, order_id, amount } = &entry.effect {
            let record = Record {
                payment_key: payment_key.clone(),
                order_id: order_id.clone(),
                amount: *amount,
                opened_at: entry.at,
                stage: Stage::Opened,
                cancels: Vec::new(),
            };
            self.by_order.insert(order_id.clone(), payment_key.clone());
            self.payments.insert(payment_key.clone(), record);
        }
        if let Some(record) = payment_key_of(&entry.effect).and_then(|key| self.payments.get_mut(key)) {
            record.apply(&entry.effect, entry.at);
        }
        if let Some(bound) = &entry.bound {
            self.bound.insert((bound.path.clone(), bound.key.clone()), (entry.at, bound.clone()));
        }
    }
}

fn payment_key_of(effect: &Effect) -> Option<&str> {
    match effect {
        Effect::Opened { payment_key, .. }
        | Effect::Authenticated { payment_key }
        | Effect::Confirmed { payment_key, .. }
        | Effect::Aborted { payment_key, .. }
        | Effect::Cancelled { payment_key, .. } => Some(payment_key),
        Effect::Refused => None,
    }
}

//! The sandbox's payments: what Toss would allow, decided over plain values.
//!
//! Promises: the book follows from the journal's entries alone; nothing changes but by [`Book::apply`]. How one payment
//! goes on is drawn in [`super::record`].
//! Doesn't: write the journal, know the time, or talk to anybody.

use super::{
    answer::{Answer, Refuse},
    call::CancelRequest,
    journal::{BoundAnswer, Effect, Entry},
    record::{ACCOUNT_REFUND_WITHIN_MS, Record, RefundAccount, Stage},
    transactions::Transactions,
};
use contracts::{UnixMs, Won};
use std::collections::{BTreeSet, HashMap};

/// How long an answer stays bound to its idempotency key.
const KEY_LIFETIME_MS: i64 = 15 * 24 * 3_600_000;

/// Every payment, every movement, and every answer that is bound to a key.
#[derive(Debug, Default)]
pub(super) struct Book {
    payments: HashMap<String, Record>,
    /// The newest payment of each order: a payer may try again.
    by_order: HashMap<String, String>,
    bound: HashMap<(String, String), (UnixMs, BoundAnswer)>,
    /// When the open windows end, and whose they are.
    windows: BTreeSet<(UnixMs, String)>,
    pub(super) transactions: Transactions,
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

    /// Whether the payer may still choose how to pay.
    pub(super) fn may_choose(&self, payment_key: &str, now: UnixMs) -> Result<(), Refuse> {
        let record = self.get(payment_key).ok_or_else(Refuse::no_such_payment)?;
        match (&record.stage, record.status(now)) {
            (_, "EXPIRED") => Err(Refuse::session_over()),
            (Stage::Opened, _) => Ok(()),
            _ => Err(Refuse::already_processed()),
        }
    }

    /// What a confirm would do: take the money, or issue the virtual account.
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
        if !record.may_be_confirmed(now) {
            let is_session_over = matches!(record.status(now), "READY" | "EXPIRED");
            return Err(if is_session_over { Refuse::session_over() } else { Refuse::already_processed() });
        }
        let (payment_key, order_id) = (payment_key.to_owned(), order_id.to_owned());
        Ok(match record.account {
            None => Effect::Confirmed { payment_key, order_id, amount },
            Some(_) => Effect::AccountIssued { payment_key, order_id, amount },
        })
    }

    /// What a confirm that Toss refuses for good would do: the payment is lost.
    pub(super) fn abort(&self, payment_key: &str, code: &str, now: UnixMs) -> Option<Effect> {
        let record = self.get(payment_key).filter(|record| record.may_be_confirmed(now))?;
        let (payment_key, order_id) = (payment_key.to_owned(), record.order_id.clone());
        Some(Effect::Aborted { payment_key, order_id, code: code.to_owned() })
    }

    /// What a cancel would do.
    pub(super) fn cancel(
        &self,
        request: &CancelRequest,
        transaction_key: String,
        now: UnixMs,
    ) -> Result<Effect, Refuse> {
        let record = self.get(&request.payment_key).ok_or_else(Refuse::no_such_payment)?;
        if request.amount.is_some_and(|amount| amount <= Won::ZERO) {
            return Err(Refuse::invalid_request());
        }
        match record.stage {
            Stage::Confirmed { at } => give_back(record, at, request, transaction_key, now),
            Stage::Waiting => close_account(record, request, transaction_key),
            Stage::Closed => Err(Refuse::already_cancelled()),
            _ => Err(Refuse::not_cancelable_payment()),
        }
    }

    /// Somebody pays into the virtual account.
    pub(super) fn deposit(&self, payment_key: &str, transaction_key: String, now: UnixMs) -> Result<Effect, Refuse> {
        let record = self.get(payment_key).ok_or_else(Refuse::no_such_payment)?;
        if !matches!(record.stage, Stage::Waiting) {
            return Err(Refuse::nothing_to_deposit());
        }
        if record.account.as_ref().is_some_and(|account| account.is_overdue(now)) {
            return Err(Refuse::account_overdue());
        }
        let (payment_key, order_id) = (payment_key.to_owned(), record.order_id.clone());
        Ok(Effect::Deposited { payment_key, order_id, amount: record.amount, transaction_key })
    }

    /// The bank takes a deposit back.
    pub(super) fn reverse_deposit(&self, payment_key: &str, transaction_key: String) -> Result<Effect, Refuse> {
        let record = self.get(payment_key).ok_or_else(Refuse::no_such_payment)?;
        let is_paid = matches!(record.stage, Stage::Confirmed { .. }) && record.cancels.is_empty();
        if record.account.is_none() || !is_paid {
            return Err(Refuse::nothing_to_reverse());
        }
        let (payment_key, order_id) = (payment_key.to_owned(), record.order_id.clone());
        Ok(Effect::DepositReversed { payment_key, order_id, amount: record.amount, transaction_key })
    }

    /// A payment whose window has passed without the book's having noted it.
    pub(super) fn lapsed(&self, now: UnixMs) -> Option<Effect> {
        let (_, payment_key) = self.windows.first().filter(|(end, _)| *end <= now)?;
        let order_id = self.get(payment_key)?.order_id.clone();
        Some(Effect::Expired { payment_key: payment_key.clone(), order_id })
    }

    /// The payment as it would stand after `effect`.
    pub(super) fn preview(&self, effect: &Effect, at: UnixMs) -> Option<Record> {
        let mut record = self.get(effect.payment_key()?)?.clone();
        record.apply(effect, at);
        Some(record)
    }

    /// Takes an entry of the journal in.
    pub(super) fn apply(&mut self, entry: &Entry) {
        if let Effect::Opened { payment_key, order_id, amount } = &entry.effect {
            let record = Record::opened(payment_key, order_id, *amount, entry.at);
            self.by_order.insert(order_id.clone(), payment_key.clone());
            self.payments.insert(payment_key.clone(), record);
        }
        if let Some(record) = entry.effect.payment_key().and_then(|key| self.payments.get_mut(key)) {
            if let Some(end) = record.window_ends() {
                self.windows.remove(&(end, record.payment_key.clone()));
            }
            record.apply(&entry.effect, entry.at);
            if let Some(end) = record.window_ends() {
                self.windows.insert((end, record.payment_key.clone()));
            }
            self.transactions.note(&entry.effect, record, entry.at);
        }
        if let Some(bound) = &entry.bound {
            self.bound.insert((bound.path.clone(), bound.key.clone()), (entry.at, bound.clone()));
        }
    }
}

fn give_back(
    record: &Record,
    paid_at: UnixMs,
    request: &CancelRequest,
    transaction_key: String,
    now: UnixMs,
) -> Result<Effect, Refuse> {
    let left = record.balance();
    if left == Won::ZERO {
        return Err(Refuse::already_cancelled());
    }
    let amount = request.amount.unwrap_or(left);
    let balance = left.checked_sub(amount).filter(|balance| !balance.is_negative());
    let balance = balance.ok_or_else(Refuse::not_cancelable_amount)?;
    if record.account.is_some() {
        can_be_refunded_to(request.refund_account)?;
        if now.ms_since(paid_at) > ACCOUNT_REFUND_WITHIN_MS {
            return Err(Refuse::too_late_to_refund());
        }
    }
    Ok(Effect::Cancelled {
        payment_key: record.payment_key.clone(),
        order_id: record.order_id.clone(),
        amount,
        balance,
        reason: request.reason.clone(),
        transaction_key,
    })
}

fn can_be_refunded_to(account: RefundAccount) -> Result<(), Refuse> {
    match account {
        RefundAccount::Good => Ok(()),
        RefundAccount::WithoutBank => Err(Refuse::invalid_bank()),
        RefundAccount::WithoutNumber => Err(Refuse::invalid_refund_account_number()),
        RefundAccount::None | RefundAccount::WithoutHolder => Err(Refuse::invalid_refund_account()),
    }
}

/// Nobody has paid: nothing is given back, and only the whole can be cancelled.
fn close_account(record: &Record, request: &CancelRequest, transaction_key: String) -> Result<Effect, Refuse> {
    if request.amount.is_some_and(|amount| amount != record.amount) {
        return Err(Refuse::not_cancelable_amount());
    }
    Ok(Effect::AccountClosed {
        payment_key: record.payment_key.clone(),
        order_id: record.order_id.clone(),
        amount: record.amount,
        reason: request.reason.clone(),
        transaction_key,
    })
}

//! One payment of the sandbox: what happened to it, and Toss's word for where it stands.
//!
//! ```text
//!            30 min               10 min
//!  opened ──────────► authenticated ──────────► confirmed ──► partly or wholly cancelled
//!    │ READY        │    │ IN_PROGRESS  ╲         DONE        PARTIAL_CANCELED | CANCELED
//!    └──► EXPIRED   │    └──► EXPIRED    ╲──► aborted             ▲
//!                   │                         ABORTED             │ cancel, with an account to refund to
//!                   ▼             10 min              deposit     │
//!               account chosen ──────────► waiting ────────────► confirmed
//!                 READY                    WAITING_FOR_DEPOSIT ◄── DONE
//!                 └──► EXPIRED             └──► closed: CANCELED   (the bank takes the deposit back)
//! ```
//! Promises: a record follows from the journal's entries alone.
//! Doesn't: expire a virtual account. One that nobody paid into in time goes on waiting and is refused deposits.

use super::journal::Effect;
use contracts::{UnixMs, Won};

/// From the opening of the payer's window to the authentication.
pub(super) const AUTHENTICATE_WITHIN_MS: i64 = 30 * 60_000;
/// From the authentication to the merchant's confirm.
pub(super) const CONFIRM_WITHIN_MS: i64 = 10 * 60_000;
/// From a virtual account's issue to the last moment of a deposit: Toss's default of 168 hours.
pub(super) const DEPOSIT_WITHIN_MS: i64 = 168 * 3_600_000;
/// What was paid into a virtual account can be refunded for about a year.
pub(super) const ACCOUNT_REFUND_WITHIN_MS: i64 = 365 * 24 * 3_600_000;

/// A cancel that went through.
#[derive(Clone, Debug)]
pub(super) struct CancelRecord {
    pub(super) amount: Won,
    pub(super) balance: Won,
    pub(super) reason: String,
    pub(super) transaction_key: String,
    pub(super) at: UnixMs,
}

/// What came along as the account to refund to. The account itself is nobody's business here, and is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefundAccount {
    None,
    Good,
    WithoutBank,
    WithoutNumber,
    WithoutHolder,
}

/// A virtual account of a payment's own.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) number: String,
    /// What the webhooks of this payment show to prove themselves.
    pub(super) secret: String,
    pub(super) issued_at: Option<UnixMs>,
}

impl Account {
    pub(super) fn due_at(&self) -> Option<UnixMs> {
        self.issued_at.map(|at| at.plus_ms(DEPOSIT_WITHIN_MS))
    }

    pub(super) fn is_overdue(&self, now: UnixMs) -> bool {
        self.due_at().is_some_and(|due| now > due)
    }
}

/// How far a payment has come.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    Opened,
    Authenticated {
        at: UnixMs,
    },
    /// The payer wants to pay into a virtual account, which is issued by the confirm.
    AccountChosen {
        at: UnixMs,
    },
    Waiting,
    Confirmed {
        at: UnixMs,
    },
    Aborted {
        code: String,
    },
    Expired,
    /// A virtual account that was closed before anybody paid into it.
    Closed,
}

/// One payment.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) payment_key: String,
    pub(super) order_id: String,
    pub(super) amount: Won,
    pub(super) opened_at: UnixMs,
    pub(super) stage: Stage,
    pub(super) account: Option<Account>,
    pub(super) cancels: Vec<CancelRecord>,
    pub(super) last_transaction_key: Option<String>,
}

impl Record {
    pub(super) fn opened(payment_key: &str, order_id: &str, amount: Won, at: UnixMs) -> Self {
        Self {
            payment_key: payment_key.to_owned(),
            order_id: order_id.to_owned(),
            amount,
            opened_at: at,
            stage: Stage::Opened,
            account: None,
            cancels: Vec::new(),
            last_transaction_key: None,
        }
    }

    pub(super) fn balance(&self) -> Won {
        self.cancels.last().map_or(self.amount, |cancel| cancel.balance)
    }

    /// When the payer's or the merchant's time is over, as long as either has any.
    pub(super) fn window_ends(&self) -> Option<UnixMs> {
        match &self.stage {
            Stage::Opened => Some(self.opened_at.plus_ms(AUTHENTICATE_WITHIN_MS)),
            Stage::Authenticated { at } | Stage::AccountChosen { at } => Some(at.plus_ms(CONFIRM_WITHIN_MS)),
            _ => None,
        }
    }

    /// The payer has done their part, and the merchant's ten minutes are not over.
    pub(super) fn may_be_confirmed(&self, now: UnixMs) -> bool {
        matches!(self.stage, Stage::Authenticated { .. } | Stage::AccountChosen { .. })
            && self.window_ends().is_some_and(|end| now < end)
    }

    /// Toss's word for where it stands. Partial cancels that add up to everything stay `PARTIAL_CANCELED`.
    pub(super) fn status(&self, now: UnixMs) -> &'static str {
        if self.window_ends().is_some_and(|end| now >= end) {
            return "EXPIRED";
        }
        match &self.stage {
            // Nobody authenticates for a virtual account: it is READY until it is issued.
            Stage::Opened | Stage::AccountChosen { .. } => "READY",
            Stage::Authenticated { .. } => "IN_PROGRESS",
            Stage::Waiting => "WAITING_FOR_DEPOSIT",
            Stage::Aborted { .. } => "ABORTED",
            Stage::Expired => "EXPIRED",
            Stage::Closed => "CANCELED",
            Stage::Confirmed { .. } => match self.cancels.as_slice() {
                [] => "DONE",
                [only] if only.amount == self.amount => "CANCELED",
                _ => "PARTIAL_CANCELED",
            },
        }
    }

    /// Takes in what happened to this payment.
    pub(super) fn apply(&mut self, effect: &Effect, at: UnixMs) {
        match effect {
            Effect::Opened { .. } | Effect::Refused => {}
            Effect::Authenticated { .. } => self.stage = Stage::Authenticated { at },
            Effect::AccountChosen { account_number: number, secret, .. } => {
                self.stage = Stage::AccountChosen { at };
                self.account = Some(Account { number: number.clone(), secret: secret.clone(), issued_at: None });
            }
            Effect::AccountIssued { .. } => {
                self.stage = Stage::Waiting;
                if let Some(account) = &mut self.account {
                    account.issued_at = Some(at);
                }
            }
            Effect::Confirmed { .. } | Effect::Deposited { .. } => self.stage = Stage::Confirmed { at },
            Effect::DepositReversed { .. } => self.stage = Stage::Waiting,
            Effect::Aborted { code, .. } => self.stage = Stage::Aborted { code: code.clone() },
            Effect::Expired { .. } => self.stage = Stage::Expired,
            Effect::AccountClosed { amount, reason, transaction_key, .. } => {
                self.stage = Stage::Closed;
                self.push_cancel(*amount, Won::ZERO, reason, transaction_key, at);
            }
            Effect::Cancelled { amount, balance, reason, transaction_key, .. } => {
                self.push_cancel(*amount, *balance, reason, transaction_key, at);
            }
        }
        if let Some(key) = effect.transaction_key() {
            self.last_transaction_key = Some(key.into_owned());
        }
    }

    fn push_cancel(&mut self, amount: Won, balance: Won, reason: &str, transaction_key: &str, at: UnixMs) {
        let (reason, transaction_key) = (reason.to_owned(), transaction_key.to_owned());
        self.cancels.push(CancelRecord { amount, balance, reason, transaction_key, at });
    }
}

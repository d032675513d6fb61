//! Double entry: every movement of points is a transfer whose entries sum to zero and that names its command.
//!
//! Promises: a [`Transfer`] can only be made balanced, and [`apply`] never leaves a negative balance.
//! Doesn't: know why points move. The market and the payment and refund workers choose the posting.
//!
//! ```text
//! gift         available +a   gift −a
//! hold         available −a   held +a            (a buy bid is placed)
//! release      held −a        available +a       (it is cancelled or expires)
//! trade        see TradeTerms
//! charge       available +a   toss_clearing −a
//! refund_hold  available −a   held +a            (a refund is requested)
//! refund_paid  held −a        toss_clearing +a   (by cancelling a charge)
//!              held −a        payout_clearing +a (by bank transfer)
//! reversal     available −x   receivable −(a−x)  toss_clearing +a   (Toss took a charge back, of which x was left)
//! repayment    available −a   receivable +a      (who owes has points again)
//! refund_returned  held −a    available +a       (a refund is rejected, or a transfer of it could not be made)
//! ```

use crate::word::words;
use contracts::{CommandId, UnixMs, UserId, Won};

words! {
    /// What an entry is booked on. The first three belong to a user; the others to [`UserId::SYSTEM`].
    Account, "ledger account", {
        /// A user's points that may be spent.
        Available = "available",
        /// A user's points behind open buy bids and requested refunds.
        Held = "held",
        /// What a user owes us (negative): money that Toss took back after it was spent.
        Receivable = "receivable",
        /// What Toss owes us (negative: it took that much from charges).
        TossClearing = "toss_clearing",
        /// What was paid out by bank transfer.
        PayoutClearing = "payout_clearing",
        /// What coupons cost the market.
        CouponCost = "coupon_cost",
        /// What the market earned.
        Fee = "fee",
        /// What was given away at sign-up.
        Gift = "gift",
    }
}

words! {
    /// Why points moved.
    Reason, "ledger reason", {
        /// Given at sign-up.
        Gift = "gift",
        /// Set aside for a buy bid.
        Hold = "hold",
        /// Given back from a buy bid.
        Release = "release",
        /// A buyer paid a seller.
        Trade = "trade",
        /// Bought with money.
        Charge = "charge",
        /// Set aside for a refund.
        RefundHold = "refund_hold",
        /// Paid back as money.
        RefundPaid = "refund_paid",
        /// Toss took the money of a charge back.
        Reversal = "reversal",
        /// A debt of a reversal was taken from later points.
        Repayment = "repayment",
        /// Given back from a refund that will not be paid, or not all of it.
        RefundReturned = "refund_returned",
    }
}

/// The longest reference that the ledger stores.
pub const MAX_REFERENCE_BYTES: usize = 64;

/// What one transfer changes on one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which account.
    pub account: Account,
    /// Whose; [`UserId::SYSTEM`] for the market's own accounts.
    pub user: UserId,
    /// Added to the account; never zero.
    pub amount: Won,
}

/// What every transfer says beside its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heading {
    /// The command that caused it.
    pub command: CommandId,
    /// Which of the command's transfers, from 0.
    pub no: u16,
    /// What it was about: a bid, an order, a payment or a refund leg. ASCII, at most [`MAX_REFERENCE_BYTES`].
    pub reference: String,
    /// When.
    pub at: UnixMs,
}

/// A movement of points. Made only by the constructors here, so its entries always sum to zero.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transfer {
    /// The command that caused it.
    pub command: CommandId,
    /// Which of the command's transfers, from 0.
    pub no: u16,
    /// Why.
    pub reason: Reason,
    /// What it was about.
    pub reference: String,
    /// At least two; one for each account and user, none of them zero, summing to zero.
    pub entries: Vec<Entry>,
    /// When.
    pub at: UnixMs,
}

/// Why a transfer was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// Points would appear or vanish.
    #[error("the entries of a {reason} transfer ({reference}) do not sum to zero: {entries:?}")]
    Unbalanced {
        /// Why points were to move.
        reason: Reason,
        /// What it was about.
        reference: String,
        /// What was asked.
        entries: Vec<Entry>,
    },
    /// Nothing would move.
    #[error("a {reason} transfer ({reference}) must move something")]
    Empty {
        /// Why points were to move.
        reason: Reason,
        /// What it was about.
        reference: String,
    },
    /// The amount of a posting must be positive.
    #[error("the amount of a {reason} transfer ({reference}) must be positive, not {amount}")]
    NotPositive {
        /// Why points were to move.
        reason: Reason,
        /// What it was about.
        reference: String,
        /// What was asked.
        amount: Won,
    },
    /// The amounts of a trade contradict each other.
    #[error("the terms of the trade ({reference}) are impossible: {terms:?}")]
    BadTerms {
        /// What it was about.
        reference: String,
        /// What was asked.
        terms: TradeTerms,
    },
    /// The ledger could not store it.
    #[error("the reference {0:?} is not ASCII of at most {MAX_REFERENCE_BYTES} bytes")]
    BadReference(String),
}

impl Transfer {
    /// A transfer of these entries: those of one account and user are merged, and those that come to nothing dropped.
    ///
    /// # Errors
    /// When the entries do not sum to zero, when none is left, or when the reference cannot be stored.
    pub fn new(heading: Heading, reason: Reason, entries: &[Entry]) -> Result<Transfer, TransferError> {
        let Heading { command, no, reference, at } = heading;
        if reference.len() > MAX_REFERENCE_BYTES || !reference.is_ascii() {
            return Err(TransferError::BadReference(reference));
        }
        let Some(entries) = merged(entries).filter(|merged| sum(merged) == Some(Won::ZERO)) else {
            return Err(TransferError::Unbalanced { reason, reference, entries: entries.to_vec() });
        };
        if entries.is_empty() {
            return Err(TransferError::Empty { reason, reference });
        }
        Ok(Transfer { command, no, reason, reference, entries, at })
    }

    /// Points given to a new user.
    pub fn gift(heading: Heading, user: UserId, amount: Won) -> Result<Transfer, TransferError> {
        Self::moved(heading, Reason::Gift, system(Account::Gift), available(user), amount)
    }

    /// Points set aside for a buy bid.
    pub fn hold(heading: Heading, user: UserId, amount: Won) -> Result<Transfer, TransferError> {
        Self::moved(heading, Reason::Hold, available(user), held(user), amount)
    }

    /// Points given back from a buy bid.
    pub fn release(heading: Heading, user: UserId, amount: Won) -> Result<Transfer, TransferError> {
        Self::moved(heading, Reason::Release, held(user), available(user), amount)
    }

    /// Points bought with money that Toss took.
    pub fn charge(heading: Heading, user: UserId, amount: Won) -> Result<Transfer, TransferError> {
        Self::moved(heading, Reason::Charge, system(Account::TossClearing), available(user), amount)
    }

    /// Points set aside for a refund.
    pub fn refund_hold(heading: Heading, user: UserId, amount: Won) -> Result<Transfer, TransferError> {
        Self::moved(heading, Reason::RefundHold, available(user), held(user), amount)
    }

    /// A leg of a refund that Toss paid by cancelling (part of) a charge.
    pub fn refund_paid_by_cancel(heading: Heading, user: UserId, amount: Won) -> Result<Transfer, TransferError> {
        Self::moved(heading, Reason::RefundPaid, held(user), system(Account::TossClearing), amount)
    }

    /// A leg of a refund that was paid by bank transfer.
    pub fn refund_paid_by_payout(heading: Heading, user: UserId, amount: Won) -> Result<Transfer, TransferError> {
        Self::moved(heading, Reason::RefundPaid, held(user), system(Account::PayoutClearing), amount)
    }

    /// Toss took `amount` of a charge back: what of it is still available goes, the rest the user owes. Held points stay:
    /// they stand behind promises to others.
    pub fn reversal(
        heading: Heading,
        user: UserId,
        amount: Won,
        available_points: Won,
    ) -> Result<Transfer, TransferError> {
        if amount.0 <= 0 {
            let Heading { reference, .. } = heading;
            return Err(TransferError::NotPositive { reason: Reason::Reversal, reference, amount });
        }
        let left = Won(available_points.0.clamp(0, amount.0));
        let entry = |(account, user), amount| Entry { account, user, amount };
        let entries = [
            entry(available(user), -left),
            entry(receivable(user), Won(left.0 - amount.0)),
            entry(system(Account::TossClearing), amount),
        ];
        Self::new(heading, Reason::Reversal, &entries)
    }

    /// A part of what a user owes, from points that they have again.
    pub fn repayment(heading: Heading, user: UserId, amount: Won) -> Result<Transfer, TransferError> {
        Self::moved(heading, Reason::Repayment, available(user), receivable(user), amount)
    }

    /// What it adds to a user's debt; negative when it repays.
    pub fn owed(&self, user: UserId) -> Won {
        let of_debt = self.entries.iter().filter(|entry| entry.user == user && entry.account == Account::Receivable);
        of_debt.map(|entry| -entry.amount).sum()
    }

    /// Points of a refund, or of a leg of it, that will not be paid as money.
    pub fn refund_returned(heading: Heading, user: UserId, amount: Won) -> Result<Transfer, TransferError> {
        Self::moved(heading, Reason::RefundReturned, held(user), available(user), amount)
    }

    /// A trade: the buyer pays `final_price`, the market adds what the coupon takes off, and the seller gets the
    /// price less the fee.
    pub fn trade(heading: Heading, terms: &TradeTerms) -> Result<Transfer, TransferError> {
        let TradeTerms { buyer, seller, price, final_price, fee, hold } = *terms;
        let possible = Won::ZERO..=price;
        if !possible.contains(&final_price) || !possible.contains(&fee) || (hold != Won::ZERO && hold < final_price) {
            return Err(TransferError::BadTerms { reference: heading.reference, terms: *terms });
        }
        // Nothing below leaves the range: every amount lies between 0 and i64::MAX.
        let less = |amount: Won, taken: Won| Won(amount.0 - taken.0);
        let entry = |(account, user), amount| Entry { account, user, amount };
        let entries = [
            entry(held(buyer), -hold),
            entry(available(buyer), less(hold, final_price)),
            entry(available(seller), less(price, fee)),
            entry(system(Account::Fee), fee),
            entry(system(Account::CouponCost), less(final_price, price)),
        ];
        Self::new(heading, Reason::Trade, &entries)
    }

    fn moved(heading: Heading, reason: Reason, from: Place, to: Place, amount: Won) -> Result<Transfer, TransferError> {
        if amount.0 <= 0 {
            return Err(TransferError::NotPositive { reason, reference: heading.reference, amount });
        }
        let entries =
            [Entry { account: from.0, user: from.1, amount: -amount }, Entry { account: to.0, user: to.1, amount }];
        Self::new(heading, reason, &entries)
    }

    /// The users whose balances it changes, each once, ascending.
    pub fn users(&self) -> Vec<UserId> {
        let mut users: Vec<UserId> =
            self.entries.iter().filter(|entry| entry.account.of_balance()).map(|entry| entry.user).collect();
        users.sort_unstable();
        users.dedup();
        users
    }
}

/// The amounts of a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TradeTerms {
    /// Who pays.
    pub buyer: UserId,
    /// Who is paid.
    pub seller: UserId,
    /// Before the coupon and the fee.
    pub price: Won,
    /// What the buyer pays after the coupon.
    pub final_price: Won,
    /// What the market keeps of the price.
    pub fee: Won,
    /// What the buyer's bid held; zero when bought at once. What the trade does not need of it becomes available.
    pub hold: Won,
}

type Place = (Account, UserId);

fn available(user: UserId) -> Place {
    (Account::Available, user)
}

fn held(user: UserId) -> Place {
    (Account::Held, user)
}

fn receivable(user: UserId) -> Place {
    (Account::Receivable, user)
}

fn system(account: Account) -> Place {
    (account, UserId::SYSTEM)
}

fn sum(entries: &[Entry]) -> Option<Won> {
    entries.iter().try_fold(Won::ZERO, |sum, entry| sum.checked_add(entry.amount))
}

/// One entry for each account and user, without those that come to zero; `None` past the range of an amount.
fn merged(entries: &[Entry]) -> Option<Vec<Entry>> {
    let mut merged: Vec<Entry> = Vec::with_capacity(entries.len());
    for entry in entries {
        match merged.iter_mut().find(|other| other.account == entry.account && other.user == entry.user) {
            Some(other) => other.amount = other.amount.checked_add(entry.amount)?,
            None => merged.push(*entry),
        }
    }
    merged.retain(|entry| entry.amount != Won::ZERO);
    Some(merged)
}

impl Account {
    /// Whether it shows in a user's [`Balance`].
    pub fn of_balance(self) -> bool {
        matches!(self, Account::Available | Account::Held)
    }
}

/// A user's points: the sums of their entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// May be spent.
    pub available: Won,
    /// Behind open buy bids and requested refunds.
    pub held: Won,
}

/// A transfer would leave a balance that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the {reason} transfer ({reference}) would leave user {user} with available {}, held {}",
    left.available, left.held
)]
pub struct Overdrawn {
    /// Whose balance.
    pub user: UserId,
    /// Why points were to move.
    pub reason: Reason,
    /// What it was about.
    pub reference: String,
    /// What would be left (cut off at the ends of an amount's range).
    pub left: Balance,
}

/// Books on `balance` what `transfer` means for `user`. On an error the balance is left as it was.
///
/// # Errors
/// When either part would be negative afterwards, or leave the range of an amount.
pub fn apply(balance: &mut Balance, user: UserId, transfer: &Transfer) -> Result<(), Overdrawn> {
    let moved = |account| -> i128 {
        let of_account = transfer.entries.iter().filter(|entry| entry.user == user && entry.account == account);
        of_account.map(|entry| i128::from(entry.amount.0)).sum()
    };
    let available = i128::from(balance.available.0) + moved(Account::Available);
    let held = i128::from(balance.held.0) + moved(Account::Held);
    let possible = 0..=i128::from(i64::MAX);
    let left = Balance { available: cut_off(available), held: cut_off(held) };
    if !possible.contains(&available) || !possible.contains(&held) {
        let Transfer { reason, reference, .. } = transfer;
        return Err(Overdrawn { user, reason: *reason, reference: reference.clone(), left });
    }
    *balance = left;
    Ok(())
}

fn cut_off(amount: i128) -> Won {
    Won(i64::try_from(amount).unwrap_or(if amount < 0 { i64::MIN } else { i64::MAX }))
}

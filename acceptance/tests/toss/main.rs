//! Charges, deposits and refunds, by real worker processes against the Toss sandbox: every fault that Toss, the network and a dying
//! worker can bring, and the money right after each.
//!
//! Each test shows that its fault struck, and ends with the audit, which compares the ledger with the sandbox's journal.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod before_credit;
mod charges;
mod days;
mod dead_letters;
mod deposits;
mod fleet;
mod hints;
mod old;
mod outage;
mod outages;
mod points;
mod refunds;
mod stage;
mod storm;
mod taken_back;
mod traces;
mod victims;

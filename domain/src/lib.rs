//! The rules of Gream, as pure functions over plain values.
//!
//! Promises: no I/O, no clock, no randomness. The same values in give the same values out, so every rule can be
//! tested without a server, and a batch that failed can simply be carried out again.
//! Doesn't: load or store anything. `workers` loads what [`market::Needs`] asks for and writes [`market::Changes`].

pub mod breaker;
pub mod coupon;
pub mod daily_price;
pub mod deadline;
pub mod ledger;
pub mod market;
pub mod payment;
pub mod refund;
pub mod retry;

mod share;
mod word;

pub use word::UnknownWord;

//! Toss Payments: a client for the calls that Gream makes, and a sandbox server that behaves like Toss.
//!
//! Promises: an answer is either Toss's own word ([`Payment`], [`CallError::Refused`]) or visibly none
//! ([`CallError::NoAnswer`]); what Toss adds to its API later does not break parsing; the secret key is never printed.
//! Doesn't: retry, wait, or decide what to do next. Those rules are `domain::payment`, `domain::refund`,
//! `domain::retry` and `domain::breaker`; the workers carry them out.

pub mod client;
pub mod payment;
pub mod refusal;
pub mod sandbox;
mod secret;
pub mod transaction;

pub use client::{Client, ClientOptions};
pub use payment::{Cancel, Failure, Payment, PaymentStatus};
pub use refusal::{CallError, Class, NoAnswerKind, Refusal, classify_cancel, classify_confirm};
pub use secret::SecretKey;
pub use transaction::Transaction;

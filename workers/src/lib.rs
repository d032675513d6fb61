//! The workers: one folder a role. Each takes commands (or rows) that nobody else has, and carries them out.

pub mod bid;
mod differences;
mod laddered;
pub mod monitor;
pub mod notifier;
pub mod payment;
pub mod refund;
pub mod relay;
pub mod scheduler;

pub use laddered::{Foundation, Seen as SeenBreaker, SharedBreaker, breaker_policy};

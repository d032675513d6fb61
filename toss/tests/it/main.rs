//! The client against the sandbox, over real HTTP.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod accounts;
mod calls;
mod checkout;
mod faults;
mod merchant;
mod process;
mod stage;
mod transactions;
mod webhooks;
mod windows;

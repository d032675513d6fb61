//! The client against the sandbox, over real HTTP.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod calls;
mod faults;
mod process;
mod stage;
mod windows;

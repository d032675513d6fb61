//! The harness of the acceptance tests: real processes of the built binary, on real servers, a database and a vhost of
//! its own for each test.
//!
//! `dev/test` starts the servers and sets the `GREAM_TEST_…` variables; the binary must have been built before.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "test code: a failure here is a failed test"
)]

pub mod balancer;
pub mod broker;
pub mod collector;
pub mod command_line;
pub mod commands;
pub mod kakao;
pub mod market;
pub mod page;
pub mod process;
pub mod prometheus;
pub mod replica;
pub mod s3;
pub mod servers;
pub mod settings;
pub mod sse;
pub mod stage;
pub mod thousand;
pub mod versions;
pub mod visitor;
pub mod voucher;
pub mod wait;
pub mod wire;

pub use market::Market;
pub use servers::Servers;
pub use visitor::Visitor;
pub use wait::{eventually, within};

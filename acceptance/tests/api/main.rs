//! The API as a real process, spoken to over HTTP like any client does.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod accounts;
mod administrators;
mod bad_input;
mod catalogue;
mod commands;
mod coupons;
mod faults;
mod front_end;
mod kakao;
mod lists;
mod market_rows;
mod notifications;
mod payments;
mod prices;
mod rate_limits;
mod refunds;
mod secrets;
mod security;
mod sweeping;
mod users;
mod vouchers;
mod withdrawal;

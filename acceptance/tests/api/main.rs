//! The API as a real process, spoken to over HTTP like any client does.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod accounts;
mod bad_input;
mod catalogue;
mod commands;
mod coupons;
mod faults;
mod front_end;
mod lists;
mod market_rows;
mod payments;
mod prices;
mod sweeping;
mod vouchers;

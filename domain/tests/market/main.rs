//! The market's rules, from outside: rule by rule at their edges, and as a whole against a plain model.

#![allow(clippy::unwrap_used, reason = "in a test, a missing value is a failure, and says where")]

mod against_model;
mod audit;
mod database;
mod day;
mod floor;
mod ledger;
mod model;
mod rules;

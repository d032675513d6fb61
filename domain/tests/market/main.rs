//! The market's rules, from outside: rule by rule at their edges, and as a whole against a plain model.

#![allow(clippy::unwrap_used, reason = "in a test, a missing value is a failure, and says where")]

use reference::{audit, database, day, model};

mod against_model;
mod floor;
mod ledger;
mod rules;

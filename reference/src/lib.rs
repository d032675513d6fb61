//! What tests hold the market against: a plain model that shares no code with the rules, random days, an audit, and a database in
//! memory that answers as the SQL does. Tests of `domain` play the days with the rules alone; the simulation
//! (`workers/tests/simulation`) plays them with the bid worker's own code, while everything around it fails.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code: a failure here is a failed test"
)]

pub mod audit;
pub mod database;
pub mod day;
pub mod model;

//! The alert rules and dashboards in `deploy/`: that they are sound, that what they ask for is really exposed, that each
//! alert has a page in the runbook, and that causes make them fire in a real Prometheus.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod causes;
mod exposed;
mod queries;
mod rules;
mod slowness;

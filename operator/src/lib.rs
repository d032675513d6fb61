//! What operators ask of the live system.
//!
//! Promises: the audit is read-only. Doesn't: run the market; that is `api` and `workers`.

pub mod audit;
pub mod report;

pub use audit::{AuditError, AuditReport, InvalidPage, ManagementPage, Sources, audit, audit_at_rest};
pub use report::FinalReport;

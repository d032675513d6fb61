//! What operators ask of the live system.
//!
//! Promises: the audit is read-only. Doesn't: run the market; that is `api` and `workers`.

pub mod audit;
pub mod report;
mod status;

pub use audit::{
    AuditError, AuditReport, DATABASE_LIMIT, InvalidPage, ManagementPage, Sources, audit, audit_at_rest, audit_within,
};
pub use report::FinalReport;
pub use status::{DutyStatus, RoleQueues, Status, StatusError, Waiting, status};

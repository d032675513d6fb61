//! What operators ask of the live system, and do to it.
//!
//! Promises: the audit and a trace are read-only; whatever changes something says who did it and why, in a row that is
//! written first. Doesn't: run the market; that is `api` and `workers`.

pub mod dlq;
pub mod limits;
mod masked;
pub mod moment;
pub mod pipeline;
pub mod report;
mod status;
pub mod trace;
mod words;

pub use audit::{
    AuditError, AuditReport, DATABASE_LIMIT, InvalidPage, ManagementPage, Sources, audit, audit_at_rest, audit_within,
};
pub use masked::masked;
pub use report::FinalReport;
pub use status::{AuditFinding, DutyStatus, LiveAudit, RoleQueues, Status, StatusError, Waiting, status};

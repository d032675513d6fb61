//! The workers: one folder a role. Each takes commands (or rows) that nobody else has, and carries them out.

pub mod bid;
pub mod relay;
pub mod scheduler;

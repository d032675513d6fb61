//! What all clients of one market day share.

use crate::{
    clock_file::ClockFile, http::Http, journal::Journal, names::Names, plan::Assortment, progress::Progress,
    pulse::Pulse, record::Record,
};
use contracts::client_journal::Line;
use std::sync::Arc;

/// One market day.
#[derive(Debug)]
pub(crate) struct Day {
    pub(crate) http: Http,
    pub(crate) sandbox: Http,
    pub(crate) names: Names,
    pub(crate) began_unix_s: u64,
    pub(crate) assortment: Assortment,
    pub(crate) clock: Option<ClockFile>,
    pub(crate) record: Record,
    pub(crate) journal: Journal,
    pub(crate) progress: Progress,
    /// Clients that act at once.
    pub(crate) concurrency: usize,
    /// Set while somebody breaks things on purpose.
    pub(crate) pulse: Option<Arc<Pulse>>,
}

impl Day {
    /// Journals an answer, before anybody uses it.
    pub(crate) fn journal(&self, line: &Line) {
        if let Err(error) = self.journal.write(line) {
            self.record.broken(format!("the clients' journal cannot be written: {error}"));
        }
    }
}

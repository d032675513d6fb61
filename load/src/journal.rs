//! The clients' journal: one line for each answer about an accepted command, in the file before anybody uses it.

use contracts::client_journal::Line;
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

/// An open journal. Days are appended to each other.
#[derive(Debug)]
pub(crate) struct Journal(Mutex<File>);

impl Journal {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(Mutex::new(OpenOptions::new().create(true).append(true).open(path)?)))
    }

    /// Hands the line to the kernel whole: it is there even if this process is killed next.
    pub(crate) fn write(&self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::{CommandId, CommandState, Kind, UnixMs, UserId};
    use serde_json::Value;

    #[test]
    fn lines_of_two_days_follow_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let line = |key| Line {
            id: CommandId::derived(UserId(1), "x", key),
            kind: Kind::CancelBid,
            user: UserId(1),
            sent_at: UnixMs(1),
            state: CommandState::Accepted,
            code: 0,
            data: Value::Null,
        };
        Journal::open(&path).unwrap().write(&line("a")).unwrap();
        Journal::open(&path).unwrap().write(&line("b")).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Line> = text.lines().map(|text| serde_json::from_str(text).unwrap()).collect();
        assert_eq!(lines, [line("a"), line("b")]);
    }
}

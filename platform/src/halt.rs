//! Named points where a process of a crash test halts once, so that it can be killed or stopped exactly there.
//!
//! Configuration refuses it outside test mode. Elsewhere a point costs one comparison.
//!
//! `test.halt_at` names one point, or says `anew`: then the process halts at the first point that the file
//! `HALT_FILE.passed` doesn't list, and adds to that file what it passes. Without a list, or where it says `all`, it goes
//! on. So a test strikes every point that there is without knowing their names.

use crate::config::TestConfig;
use std::{
    ffi::OsString,
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

static HALT: OnceLock<Halt> = OnceLock::new();

/// `test.halt_at` for every point that is not listed.
pub const ANEW: &str = "anew";
/// The line that lists every point.
pub const ALL: &str = "all";

/// Where the one who knows `halt_file` keeps the list.
pub fn list_of(halt_file: &Path) -> PathBuf {
    let mut name: OsString = halt_file.into();
    name.push(".passed");
    name.into()
}

struct Halt {
    at: String,
    file: PathBuf,
    list: PathBuf,
    struck: OnceLock<()>,
}

/// Arms what `config` names, unless its file shows that a process has halted there already.
pub fn arm(config: &TestConfig) {
    if !config.halt_at.is_empty() && !config.halt_file.exists() {
        let (at, file, list) = (config.halt_at.clone(), config.halt_file.clone(), list_of(&config.halt_file));
        // Armed once a process.
        drop(HALT.set(Halt { at, file, list, struck: OnceLock::new() }));
    }
}

/// Halts here, once, if this point is armed: writes the file, and goes on when the file has been removed.
pub async fn point(name: &str) {
    if let Some(halt) = HALT.get() {
        halt.pass(name).await;
    }
}

/// Takes a step that may take effect outside this process, between two points: `STEP.before` and `STEP.after`.
pub async fn around<T>(step: &str, taken: impl Future<Output = T>) -> T {
    let Some(halt) = HALT.get() else { return taken.await };
    halt.pass(&format!("{step}.before")).await;
    let taken = taken.await;
    halt.pass(&format!("{step}.after")).await;
    taken
}

impl Halt {
    async fn pass(&self, name: &str) {
        let is_armed = if self.at == ANEW { self.is_new(name) } else { self.at == name };
        if is_armed && self.struck.set(()).is_ok() {
            tracing::warn!(point = name, "halting, as test.halt_at asks");
            if std::fs::write(&self.file, name).is_err() {
                return;
            }
            while self.file.exists() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        if self.at == ANEW {
            self.note(name);
        }
    }

    fn is_new(&self, name: &str) -> bool {
        let Ok(list) = std::fs::read_to_string(&self.list) else { return false };
        list.lines().all(|line| line != name && line != ALL)
    }

    fn note(&self, name: &str) {
        if let Ok(mut list) = OpenOptions::new().append(true).open(&self.list) {
            // In one write: two tasks that pass at once must not mix their lines.
            drop(list.write_all(format!("{name}\n").as_bytes()));
        }
    }
}

//! Named points where a process of a crash test halts once, so that it can be killed or stopped exactly there.
//!
//! Configuration refuses it outside test mode. Elsewhere a point costs one comparison.

use crate::config::TestConfig;
use std::{path::PathBuf, sync::OnceLock, time::Duration};

static HALT: OnceLock<(String, PathBuf)> = OnceLock::new();

/// Arms the point that `config` names, unless its file shows that a process has halted there already.
pub fn arm(config: &TestConfig) {
    if !config.halt_at.is_empty() && !config.halt_file.exists() {
        // Armed once a process.
        drop(HALT.set((config.halt_at.clone(), config.halt_file.clone())));
    }
}

/// Halts here, once, if this point is armed: writes the file, and goes on when the file has been removed.
pub async fn point(name: &str) {
    static STRUCK: OnceLock<()> = OnceLock::new();
    let Some((armed, file)) = HALT.get() else { return };
    if armed != name || STRUCK.set(()).is_err() {
        return;
    }
    tracing::warn!(point = name, "halting, as test.halt_at asks");
    if std::fs::write(file, name).is_err() {
        return;
    }
    while file.exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

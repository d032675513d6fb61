//! The injected clock. Nothing else in the house asks the system for the time.
//!
//! In demo and test mode the time of all running processes can be moved forward through one small file, so that
//! deadlines really pass; configuration refuses that in production.

use contracts::UnixMs;
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// The offset file is read again at most this often.
const OFFSET_MAX_AGE_MS: i64 = 50;

/// Tells the time. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Source>);

#[derive(Debug)]
enum Source {
    System,
    Movable { file: PathBuf, read_at_ms: AtomicI64, offset_ms: AtomicI64 },
}

impl Clock {
    /// The system's time.
    pub fn system() -> Self {
        Self(Arc::new(Source::System))
    }

    /// The system's time plus the milliseconds that `file` holds (nothing while there is no such file).
    pub fn movable(file: impl Into<PathBuf>) -> Self {
        let source =
            Source::Movable { file: file.into(), read_at_ms: AtomicI64::new(i64::MIN), offset_ms: AtomicI64::new(0) };
        Self(Arc::new(source))
    }

    /// The clock that the configuration asks for.
    pub fn configured(config: &crate::config::ClockConfig) -> Self {
        if config.offset_file.as_os_str().is_empty() { Self::system() } else { Self::movable(&config.offset_file) }
    }

    /// The present.
    pub fn now(&self) -> UnixMs {
        let system_ms = system_ms();
        match &*self.0 {
            Source::System => UnixMs(system_ms),
            Source::Movable { file, read_at_ms, offset_ms } => {
                if system_ms.saturating_sub(read_at_ms.load(Ordering::Relaxed)) >= OFFSET_MAX_AGE_MS {
                    read_at_ms.store(system_ms, Ordering::Relaxed);
                    if let Some(offset) = read_offset(file) {
                        offset_ms.store(offset, Ordering::Relaxed);
                    }
                }
                UnixMs(system_ms.saturating_add(offset_ms.load(Ordering::Relaxed)))
            }
        }
    }
}

fn system_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

/// `None` when the file is missing, or is being written at this moment.
fn read_offset(file: &Path) -> Option<i64> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Moves the time of every process that reads `file` forward by `by_ms`. Returns once none goes by the old time any more,
/// so that whatever the caller asks of them next happens later.
///
/// # Errors
/// When the file cannot be written, or `by_ms` is negative: time never goes back.
pub fn advance(file: &Path, by_ms: i64) -> std::io::Result<i64> {
    if by_ms < 0 {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "time only moves forward"));
    }
    let offset_ms = read_offset(file).unwrap_or(0).saturating_add(by_ms);
    // A rename is seen whole or not at all.
    let next = file.with_extension("next");
    std::fs::write(&next, offset_ms.to_string())?;
    std::fs::rename(&next, file)?;
    std::thread::sleep(std::time::Duration::from_millis(OFFSET_MAX_AGE_MS.unsigned_abs()));
    Ok(offset_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_the_file_moves_the_time_and_never_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("offset");
        advance(&file, 86_400_000).unwrap();
        let (moved, plain) = (Clock::movable(&file).now(), Clock::system().now());
        assert!((86_390_000..=86_400_001).contains(&moved.ms_since(plain)), "{moved:?} {plain:?}");
        assert_eq!(advance(&file, 1).unwrap(), 86_400_001);
        assert!(advance(&file, -1).is_err());
    }
}

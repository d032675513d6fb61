//! Moves the market's time, in demo and test mode: the file holds the milliseconds to add to the system's time.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// Every process reads the file again at most this much later.
pub(crate) const SEEN_WITHIN: Duration = Duration::from_millis(80);

/// The file.
#[derive(Clone, Debug)]
pub(crate) struct ClockFile(PathBuf);

impl ClockFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Moves the time forward. The rename is seen whole or not at all.
    pub(crate) fn advance(&self, by: Duration) -> io::Result<()> {
        let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        let next = self.0.with_extension("next");
        fs::write(&next, read(&self.0)?.saturating_add(by_ms).to_string())?;
        fs::rename(&next, &self.0)
    }
}

fn read(path: &Path) -> io::Result<i64> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        text => text?,
    };
    text.trim().parse().map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{} holds no number of milliseconds", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_adds_up_and_nonsense_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("offset");
        let clock = ClockFile::new(path.clone());
        clock.advance(Duration::from_secs(2)).unwrap();
        clock.advance(Duration::from_millis(5)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "2005");
        fs::write(&path, "soon").unwrap();
        assert!(clock.advance(Duration::from_secs(1)).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "soon");
    }
}

//! What a killed process leaves in a folder: `object_store` writes `NAME#1` beside the picture and renames it when it is
//! whole. Such a file is no picture, is never listed, and nobody comes back to it. (A bucket has none: an upload that breaks
//! off leaves nothing there.)

use std::{
    fs, io,
    path::Path,
    time::{Duration, SystemTime},
};

/// Removes such files that nobody has written to for `age`, in `folder` itself; how many.
///
/// # Errors
/// The folder cannot be read, or a file not removed. A folder that is not there has none.
pub(super) fn remove(folder: &Path, age: Duration) -> io::Result<u64> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry?;
        if !is_leftover(&entry.file_name().to_string_lossy()) {
            continue;
        }
        let written_at = entry.metadata()?.modified()?;
        if SystemTime::now().duration_since(written_at).is_ok_and(|since| since > age) {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn is_leftover(name: &str) -> bool {
    name.rsplit_once('#').is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_halves_of_pictures_go() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["whole.png", "half.png#1", "other.png#12", "odd.png#x", "young.png#2"] {
            fs::write(at(name), b"x").unwrap();
        }
        let past = SystemTime::now() - Duration::from_secs(100);
        for name in ["whole.png", "half.png#1", "other.png#12", "odd.png#x"] {
            fs::File::options().write(true).open(at(name)).unwrap().set_modified(past).unwrap();
        }
        assert_eq!(remove(folder.path(), Duration::from_secs(50)).unwrap(), 2);
        assert_eq!(remove(&at("nowhere"), Duration::ZERO).unwrap(), 0);
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["odd.png#x", "whole.png", "young.png#2"]);
    }
}

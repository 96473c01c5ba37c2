//! The quickstart's own folder, among the temporary ones; goes with it.
//!
//! A process that is killed outright leaves its folder behind: the next one takes it away. Whose process still runs is told
//! by a lock on the folder, which the kernel gives back when the process ends, however it does.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How its name begins.
const PREFIX: &str = "pointsman-quickstart-";

/// A folder younger than this may not be locked yet.
const LOCKED_AFTER: Duration = Duration::from_secs(60);

/// Entries of the temporary folder that are looked at for those that were left behind.
const LOOKED_AT_MAX: usize = 10_000;

/// The folder, locked. Dropped, it is removed.
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes a folder, and takes away those that were left behind.
    pub(super) fn make() -> io::Result<Folder> {
        let all = std::env::temp_dir();
        // A name that nobody can have taken before, and a folder that nobody else may write to.
        let path = all.join(format!("{PREFIX}{:016x}", fastrand::u64(..)));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        let lock = File::open(&path)?;
        lock.lock()?;
        let owner = lock.metadata()?.uid();
        remove_left_behind(&all, owner);
        Ok(Folder { path, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left of a temporary folder harms nobody.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes the folders of `owner` that no process holds any more. What cannot be read or removed stays: it harms nobody.
fn remove_left_behind(all: &Path, owner: u32) {
    let entries = fs::read_dir(all).into_iter().flatten().take(LOOKED_AT_MAX).flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let path = entry.path();
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let age = metadata.modified().ok().and_then(|made| made.elapsed().ok());
        let is_old = age.is_some_and(|age| age >= LOCKED_AFTER);
        if !(metadata.is_dir() && metadata.uid() == owner && is_old) {
            continue;
        }
        if File::open(&path).is_ok_and(|folder| folder.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn only_a_folder_that_no_process_holds_any_more_is_removed() {
        let all = tempfile::tempdir().unwrap();
        let owner = fs::metadata(all.path()).unwrap().uid();
        let long_ago = SystemTime::now() - 2 * LOCKED_AFTER;
        let make = |name: &str, made: SystemTime| {
            let path = all.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::write(path.join("gateway.yaml"), "").unwrap();
            let folder = File::open(&path).unwrap();
            folder.set_modified(made).unwrap();
            folder
        };
        let held = make("pointsman-quickstart-held", long_ago);
        held.lock().unwrap();
        make("pointsman-quickstart-left", long_ago);
        make("pointsman-quickstart-young", SystemTime::now());
        make("somebody-elses", long_ago);
        std::os::unix::fs::symlink(
            all.path().join("somebody-elses"),
            all.path().join("pointsman-quickstart-link"),
        )
        .unwrap();
        remove_left_behind(all.path(), owner + 1);
        assert_eq!(fs::read_dir(all.path()).unwrap().count(), 5, "another's are left alone");
        remove_left_behind(all.path(), owner);
        let mut left: Vec<_> =
            fs::read_dir(all.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort_unstable();
        let expected = [
            "pointsman-quickstart-held",
            "pointsman-quickstart-link",
            "pointsman-quickstart-young",
            "somebody-elses",
        ];
        assert_eq!(left, expected);
        assert!(all.path().join("somebody-elses/gateway.yaml").exists());
    }
}

//! `./data` and what is in it are their owner's alone: messages are in it.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

/// As root, PostgreSQL's user has to pass through the folder to its own.
const PASSABLE: u32 = 0o711;
const PRIVATE: u32 = 0o700;

/// Makes the folder, or closes the one that is there to other users.
pub(super) fn make(dir: &Path) -> io::Result<()> {
    let mode = if is_root() { PASSABLE } else { PRIVATE };
    DirBuilder::new().recursive(true).mode(mode).create(dir)?;
    let found = fs::metadata(dir)?.permissions().mode() & 0o777;
    if found & !mode != 0 {
        // One that belongs to another user stays as it is.
        let _ = fs::set_permissions(dir, Permissions::from_mode(found & mode));
    }
    Ok(())
}

/// Closes a file to other users; one that belongs to another user stays as it is.
pub(super) fn close(file: &Path) {
    let _ = fs::set_permissions(file, Permissions::from_mode(0o600));
}

/// By the owner of this process, where the system tells it.
pub(super) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_users_cannot_list_the_folder_or_read_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let (made, found) = (dir.path().join("a/data"), dir.path().join("open"));
        make(&made).unwrap();
        fs::create_dir(&found).unwrap();
        fs::set_permissions(&found, Permissions::from_mode(0o755)).unwrap();
        make(&found).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let expected = if is_root() { PASSABLE } else { PRIVATE };
        assert_eq!((mode(&made), mode(&found)), (expected, expected));
        let log = made.join("app.log");
        fs::write(&log, "x").unwrap();
        close(&log);
        assert_eq!(mode(&log), 0o600);
    }
}

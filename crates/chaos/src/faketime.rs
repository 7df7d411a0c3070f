//! Other clocks for processes, by libfaketime. The monotonic clock stays: time-outs and pauses last as long as ever.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// A clock that processes are started with, and that can be set while they run.
#[derive(Debug)]
pub struct FakeClock {
    library: PathBuf,
    file: PathBuf,
}

impl FakeClock {
    /// A clock that shows the real time; its setting is kept in a file in `dir`.
    ///
    /// # Errors
    /// When libfaketime is not installed.
    pub fn new(dir: &Path) -> anyhow::Result<Self> {
        let library = library().context("libfaketime is not installed (Debian: apt-get install faketime)")?;
        let clock = Self { library, file: dir.join("clock") };
        clock.set("+0")?;
        Ok(clock)
    }

    /// `+36d`: so far from the real time, from now on.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set(&self, offset: &str) -> anyhow::Result<()> {
        // Replaced in one step: a process that reads it meanwhile sees the old clock or the new one.
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{offset}\n"))?;
        Ok(fs::rename(new, &self.file)?)
    }

    /// The variables of a process that has this clock.
    pub fn environment(&self) -> Vec<(String, String)> {
        let variables = [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            // Each process reads the file: shared memory would be of one user alone.
            ("FAKETIME_DISABLE_SHM", "1".to_owned()),
        ];
        variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

fn library() -> Option<PathBuf> {
    let mut folders = vec![PathBuf::from("/usr/lib"), PathBuf::from("/usr/lib64")];
    folders.extend(fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path()));
    folders.iter().map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|path| path.is_file())
}

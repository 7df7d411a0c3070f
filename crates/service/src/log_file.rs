//! A log file that can be opened again, after another program has moved it away, and that rotates by size where it is
//! told to.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// When a log file makes room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// A file that would become larger is renamed: `app.log` to `app.log.1`, that to `app.log.2`, and so on.
    pub bytes_max: u64,
    /// Files that are kept, the current one included.
    pub files: usize,
}

/// Appends lines to a file.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    rotation: Option<Rotation>,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    file: File,
    bytes: u64,
}

fn open(path: &Path) -> io::Result<Current> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let bytes = file.metadata()?.len();
    Ok(Current { file, bytes })
}

impl LogFile {
    /// Opens the file or makes it; its folder must exist.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path, rotation: Option<Rotation>) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), rotation, current: Mutex::new(open(path)?) })
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on in the file that has the path now. The old file stays in use where that cannot be opened.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn reopen(&self) -> io::Result<()> {
        let reopened = open(&self.path)?;
        *self.current() = reopened;
        Ok(())
    }

    fn numbered(&self, number: usize) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }

    fn rotate(&self, current: &mut Current, files: usize) -> io::Result<()> {
        for number in (1..files.saturating_sub(1)).rev() {
            match fs::rename(self.numbered(number), self.numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if files > 1 {
            fs::rename(&self.path, self.numbered(1))?;
        } else {
            fs::remove_file(&self.path)?;
        }
        *current = open(&self.path)?;
        Ok(())
    }
}

/// One call writes one line: rotation never divides a line.
impl Write for &LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut current = self.current();
        if let Some(Rotation { bytes_max, files }) = self.rotation
            && current.bytes > 0
            && current.bytes + line.len() as u64 > bytes_max
        {
            // Where it fails, for example without permission, the log goes on in the file that is open.
            let _ = self.rotate(&mut current, files);
        }
        current.file.write_all(line)?;
        current.bytes += line.len() as u64;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.current().file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &Path) -> Vec<String> {
        fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// As the logger does: a line is one write.
    fn write_line(mut log: &LogFile, line: &str) {
        log.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    #[test]
    fn a_file_that_is_full_is_renamed_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.log");
        let log = LogFile::open(&path, Some(Rotation { bytes_max: 12, files: 3 })).unwrap();
        for number in 1..=7 {
            write_line(&log, &format!("line{number}"));
        }
        assert_eq!(lines(&path), ["line7"]);
        assert_eq!(lines(&folder.path().join("app.log.1")), ["line5", "line6"]);
        assert_eq!(lines(&folder.path().join("app.log.2")), ["line3", "line4"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn the_size_counts_from_what_the_file_holds_and_a_long_line_is_written_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.log");
        fs::write(&path, "0123456789\n").unwrap();
        let log = LogFile::open(&path, Some(Rotation { bytes_max: 12, files: 2 })).unwrap();
        let long = "x".repeat(100);
        write_line(&log, &long);
        assert_eq!(lines(&folder.path().join("app.log.1")), ["0123456789"]);
        assert_eq!(lines(&path), [long]);
    }

    #[test]
    fn a_file_that_was_moved_away_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("app.log"), folder.path().join("app.log.old"));
        let log = LogFile::open(&path, None).unwrap();
        write_line(&log, "before");
        fs::rename(&path, &moved).unwrap();
        write_line(&log, "still the same file");
        log.reopen().unwrap();
        write_line(&log, "after");
        assert_eq!(lines(&moved), ["before", "still the same file"]);
        assert_eq!(lines(&path), ["after"]);
        fs::remove_dir_all(folder.path()).unwrap();
        assert!(log.reopen().is_err());
        write_line(&log, "goes on");
    }
}

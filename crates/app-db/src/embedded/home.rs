//! Where the cluster lives: `DATA/postgres`, owned by the server's user, with the cluster and the socket in it.
//! Where that user cannot go to DATA (below /root, say), the home is elsewhere and `DATA/postgres` a link to it.

use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, interval};

use super::EmbeddedError;
use super::account::Account;

/// Homes of folders that the server's user cannot reach.
const ELSEWHERE: &str = "/var/lib/app-db";
/// A socket's whole path has 103 bytes on the strictest system; `/.s.PGSQL.5432` is 14 of them.
const SOCKET_DIR_BYTES_MAX: usize = 89;

const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// An opened home. While it exists, no other process opens the same one.
#[derive(Debug)]
pub(super) struct Home {
    /// Without links in it.
    pub(super) path: PathBuf,
    pub(super) socket_dir: PathBuf,
    /// What the server says. Beside the home, so that a person finds it.
    pub(super) log: PathBuf,
    pub(super) notes: Vec<String>,
    _lock: Option<File>,
}

impl Home {
    /// `data_dir` is absolute and there.
    pub(super) async fn open(data_dir: &Path, account: Account) -> Result<Self, EmbeddedError> {
        let lock = lock(data_dir).await?;
        let mut notes = Vec::new();
        let entry = data_dir.join("postgres");
        if let Ok(target) = fs::read_link(&entry)
            && !entry.exists()
        {
            return Err(EmbeddedError::LinkBroken { link: entry, target });
        }
        let is_new = !entry.exists();
        if is_new {
            create_private(&entry, account)?;
        }
        let owner = fs::metadata(&entry).map_err(EmbeddedError::io("open", &entry))?.uid();
        if matches!(account, Account::Ourselves { .. }) && owner != account.uid() {
            return Err(EmbeddedError::Foreign { dir: entry, owner, user: account.uid() });
        }
        if !account.can_use(&real(&entry)?).await? {
            // Only what was made just now may go elsewhere: data that is there stays where it is.
            let elsewhere = Path::new(ELSEWHERE);
            if !is_new {
                return Err(unreachable(&entry, elsewhere, account));
            }
            fs::remove_dir(&entry).map_err(EmbeddedError::io("remove", &entry))?;
            let moved = create_elsewhere(elsewhere, data_dir, account)?;
            if !account.can_use(&moved).await? {
                fs::remove_dir(&moved).map_err(EmbeddedError::io("remove", &moved))?;
                return Err(unreachable(&entry, elsewhere, account));
            }
            symlink(&moved, &entry).map_err(EmbeddedError::io("link", &entry))?;
            notes.push(format!(
                "PostgreSQL's user cannot enter {}: the database is in {}, and {} links to it",
                data_dir.display(),
                moved.display(),
                entry.display()
            ));
        }
        let path = real(&entry)?;
        let socket_dir = socket_dir(&path, account)?;
        Ok(Self { path, socket_dir, log: data_dir.join("postgres.log"), notes, _lock: Some(lock) })
    }

    /// A new home in a temporary folder.
    pub(super) async fn throwaway(account: Account) -> Result<Self, EmbeddedError> {
        let temporary = std::env::temp_dir();
        for base in [temporary.as_path(), Path::new("/tmp"), Path::new("/var/tmp")] {
            let Ok(path) = create_unique(base, "app-db-throwaway", account) else { continue };
            if account.can_use(&path).await? {
                let path = real(&path)?;
                let socket_dir = socket_dir(&path, account)?;
                let log = path.join("postgres.log");
                return Ok(Self { path, socket_dir, log, notes: Vec::new(), _lock: None });
            }
            fs::remove_dir(&path).map_err(EmbeddedError::io("remove", &path))?;
        }
        Err(unreachable(&temporary, Path::new("/tmp"), account))
    }

    pub(super) fn cluster(&self) -> PathBuf {
        self.path.join("cluster")
    }
}

fn unreachable(dir: &Path, fallback: &Path, account: Account) -> EmbeddedError {
    EmbeddedError::Unreachable { dir: dir.to_owned(), fallback: fallback.to_owned(), uid: account.uid() }
}

fn real(path: &Path) -> Result<PathBuf, EmbeddedError> {
    fs::canonicalize(path).map_err(EmbeddedError::io("open", path))
}

/// Where the process that holds the lock has its socket; nothing where none does.
pub(super) fn socket_dir_in_use(data_dir: &Path) -> Option<PathBuf> {
    let lock = File::open(data_dir.join("postgres.lock")).ok()?;
    // Shared: two that look do not find each other.
    if !matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)) {
        return None;
    }
    let home = fs::canonicalize(data_dir.join("postgres")).ok()?;
    fs::read_link(home.join("socket-elsewhere")).ok().or(Some(home.join("socket")))
}

/// Held until this process ends, however it ends. Others hold it for a moment: who looks whether it is held, and what
/// a process that held it was starting when it ended.
async fn lock(data_dir: &Path) -> Result<File, EmbeddedError> {
    let path = data_dir.join("postgres.lock");
    let opened = File::options().create(true).truncate(false).read(true).write(true).open(&path);
    let mut file = opened.map_err(EmbeddedError::io("open", &path))?;
    let patient_until = Instant::now() + LOCK_TIMEOUT;
    let mut tick = interval(Duration::from_millis(20));
    loop {
        tick.tick().await;
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < patient_until => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid).map_err(EmbeddedError::io("read", &path))?;
                return Err(EmbeddedError::InUse { dir: data_dir.to_owned(), pid });
            }
            Err(TryLockError::Error(source)) => {
                return Err(EmbeddedError::Io { action: "lock", path, source });
            }
        }
    }
    let pid = std::process::id().to_string();
    file.set_len(0).map_err(EmbeddedError::io("write", &path))?;
    file.write_all(pid.as_bytes()).map_err(EmbeddedError::io("write", &path))?;
    Ok(file)
}

fn create_private(path: &Path, account: Account) -> Result<(), EmbeddedError> {
    fs::create_dir(path).map_err(EmbeddedError::io("create", path))?;
    fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(EmbeddedError::io("protect", path))?;
    account.own(path)
}

fn create_elsewhere(elsewhere: &Path, data_dir: &Path, account: Account) -> Result<PathBuf, EmbeddedError> {
    fs::create_dir_all(elsewhere).map_err(EmbeddedError::io("create", elsewhere))?;
    fs::set_permissions(elsewhere, Permissions::from_mode(0o755))
        .map_err(EmbeddedError::io("open up", elsewhere))?;
    // The name tells a person whose it is.
    let name = data_dir.to_string_lossy().trim_matches('/').replace('/', "-");
    create_unique(elsewhere, &name, account)
}

fn create_unique(parent: &Path, name: &str, account: Account) -> Result<PathBuf, EmbeddedError> {
    let mut number = u64::from(std::process::id());
    loop {
        let path = parent.join(format!("{name}-{number:x}"));
        match create_private(&path, account) {
            Err(EmbeddedError::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                number = number.wrapping_add(1 << 22);
            }
            Err(error) => return Err(error),
            Ok(()) => return Ok(path),
        }
    }
}

/// In the home, or below /tmp where that would make the socket's path too long. Private to the server's user: the
/// server asks for no password.
fn socket_dir(home: &Path, account: Account) -> Result<PathBuf, EmbeddedError> {
    let inside = home.join("socket");
    if inside.as_os_str().len() <= SOCKET_DIR_BYTES_MAX {
        if !inside.exists() {
            create_private(&inside, account)?;
        }
        return Ok(inside);
    }
    // Found again by the next start through the link in the home.
    let link = home.join("socket-elsewhere");
    if let Ok(target) = fs::read_link(&link)
        && fs::symlink_metadata(&target).is_ok_and(|dir| {
            dir.is_dir() && dir.uid() == account.uid() && dir.permissions().mode() & 0o077 == 0
        })
    {
        return Ok(target);
    }
    if fs::symlink_metadata(&link).is_ok() {
        fs::remove_file(&link).map_err(EmbeddedError::io("remove", &link))?;
    }
    let outside = create_unique(Path::new("/tmp"), "app-db-socket", account)?;
    symlink(&outside, &link).map_err(EmbeddedError::io("link", &link))?;
    Ok(outside)
}

//! Who PostgreSQL runs as: ourselves, or an unprivileged user where we are root, since it refuses root.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::EmbeddedError;

/// The server's user.
#[derive(Clone, Copy, Debug)]
pub(super) enum Account {
    Ourselves { uid: u32 },
    Other { uid: u32, gid: u32 },
}

impl Account {
    /// As root: the owner of the home, if it is there and somebody's; else `postgres`, else `nobody`.
    pub(super) async fn choose(home: &Path) -> Result<Self, EmbeddedError> {
        let uid = rustix::process::geteuid().as_raw();
        if uid != 0 {
            return Ok(Self::Ourselves { uid });
        }
        if let Ok(owned) = fs::metadata(home)
            && owned.uid() != 0
        {
            return Ok(Self::Other { uid: owned.uid(), gid: owned.gid() });
        }
        for name in ["postgres", "nobody"] {
            if let (Some(uid), Some(gid)) = (id("-u", name).await, id("-g", name).await)
                && uid != 0
            {
                return Ok(Self::Other { uid, gid });
            }
        }
        Err(EmbeddedError::NoAccount)
    }

    pub(super) fn uid(self) -> u32 {
        match self {
            Self::Ourselves { uid } | Self::Other { uid, .. } => uid,
        }
    }

    /// A command that runs as this user, with nothing of our environment that PostgreSQL would heed.
    pub(super) fn command(self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("LC_ALL", "C").stdin(Stdio::null());
        for name in ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        // Our own working directory may be closed to this user.
        command.current_dir("/");
        if let Self::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Makes `path`, which we created, this user's.
    pub(super) fn own(self, path: &Path) -> Result<(), EmbeddedError> {
        match self {
            Self::Ourselves { .. } => Ok(()),
            Self::Other { uid, gid } => std::os::unix::fs::chown(path, Some(uid), Some(gid))
                .map_err(EmbeddedError::io("give away", path)),
        }
    }

    /// Whether this user can go to `dir` and write there. Asked by doing it: access lists and mounts have a say.
    pub(super) async fn can_use(self, dir: &Path) -> Result<bool, EmbeddedError> {
        let mut command = self.command("sh");
        command.args(["-c", "cd -- \"$1\" && : > .probe && rm .probe", "sh"]).arg(dir);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let status = command.status().await.map_err(|source| self.refused(source))?;
        Ok(status.success())
    }

    /// The error of a command that could not be started as this user.
    pub(super) fn refused(self, source: io::Error) -> EmbeddedError {
        EmbeddedError::AccountRefused { uid: self.uid(), source }
    }
}

/// Asks `id` rather than /etc/passwd: users may come from elsewhere.
async fn id(what: &str, name: &str) -> Option<u32> {
    let output = Command::new("id").args([what, name]).stdin(Stdio::null()).output().await.ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

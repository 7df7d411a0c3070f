//! Finds PostgreSQL's server programs. Looks only; installs nothing.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::EmbeddedError;
use super::home::Home;

pub(super) const OLDEST_MAJOR: u32 = 15;

/// Folders of distributions. A `*` stands for the rest of a folder's name.
const FOLDERS: &[&str] = &[
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
];

/// A folder with `initdb`, `pg_ctl` and `postgres`.
#[derive(Clone, Debug)]
pub(super) struct Binaries {
    pub(super) dir: PathBuf,
    pub(super) major: u32,
}

impl Binaries {
    /// Those of the version that made the cluster, if there is one; else the first on `PATH`, else the newest.
    pub(super) async fn find(cluster_major: Option<u32>, home: &Home) -> Result<Self, EmbeddedError> {
        let mut found: Vec<(PathBuf, u32)> = Vec::new();
        for dir in candidates().await {
            if found.iter().any(|(known, _)| *known == dir) {
                continue;
            }
            if let Some(major) = major(&dir).await {
                found.push((dir, major));
            }
        }
        let usable = |major: u32| major >= OLDEST_MAJOR && cluster_major.is_none_or(|wanted| wanted == major);
        match found.iter().find(|(_, major)| usable(*major)) {
            Some((dir, major)) => Ok(Self { dir: dir.clone(), major: *major }),
            None => Err(match cluster_major {
                Some(cluster) if !found.is_empty() => {
                    EmbeddedError::OtherVersion { dir: home.path.clone(), cluster, found }
                }
                _ => EmbeddedError::NotFound { found },
            }),
        }
    }
}

/// In order of preference: what `PATH` says is a person's choice, and so comes first.
async fn candidates() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = env::split_paths(&path).collect();
    let pg_config = Command::new("pg_config").arg("--bindir").stdin(Stdio::null()).output().await;
    if let Ok(output) = pg_config {
        dirs.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    for pattern in FOLDERS {
        dirs.extend(expand(pattern));
    }
    dirs.iter().filter_map(|dir| real_dir(dir)).collect()
}

/// Where `postgres` of that folder really is: it looks for its own files relative to itself.
fn real_dir(dir: &Path) -> Option<PathBuf> {
    let postgres = fs::canonicalize(dir.join("postgres")).ok()?;
    let real = postgres.parent()?;
    ["initdb", "pg_ctl"].iter().all(|name| real.join(name).exists()).then(|| real.to_owned())
}

/// The folders that fit a pattern, newest version first.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else { return vec![PathBuf::from(pattern)] };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or_default();
    let mut fitting: Vec<(u32, PathBuf)> = Vec::new();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(rest) = name.strip_prefix(prefix) {
            let version = rest.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0);
            fitting.push((version, entry.path().join(after.trim_start_matches('/'))));
        }
    }
    fitting.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    fitting.into_iter().map(|(_, dir)| dir).collect()
}

/// `postgres (PostgreSQL) 15.14 (Debian ...)` → 15.
async fn major(dir: &Path) -> Option<u32> {
    let output =
        Command::new(dir.join("postgres")).arg("--version").stdin(Stdio::null()).output().await.ok()?;
    parse_major(&String::from_utf8_lossy(&output.stdout))
}

fn parse_major(version: &str) -> Option<u32> {
    let number = version.split("PostgreSQL)").nth(1)?.trim_start();
    let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number.get(..digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_any_distribution() {
        assert_eq!(parse_major("postgres (PostgreSQL) 15.14 (Debian 15.14-1.pgdg12+1)\n"), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 18beta2\n"), Some(18));
        assert_eq!(parse_major("postgres (PostgreSQL) 9.6.24\n"), Some(9));
        assert_eq!(parse_major("something else"), None);
    }

    #[test]
    fn the_newest_version_comes_first() {
        let root = std::env::temp_dir().join(format!("app-db-folders-{}", std::process::id()));
        for version in ["9", "15", "17"] {
            fs::create_dir_all(root.join(version).join("bin")).unwrap();
        }
        let pattern = format!("{}/*/bin", root.display());
        let found = expand(&pattern);
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(found, ["17", "15", "9"].map(|version| root.join(version).join("bin")));
    }
}

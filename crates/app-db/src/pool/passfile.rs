//! Passwords from `~/.pgpass` or the file that `passfile` names: `host:port:database:user:password` a line, `*` for
//! anything, `\` before `:` and `\`. As libpq, a file that others may read is not used.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::settings::Host;

/// Host, port, database, user, password.
type Line = [String; 5];

#[derive(Clone, Default)]
pub(super) struct Passwords(Vec<Line>);

impl std::fmt::Debug for Passwords {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} passwords", self.0.len())
    }
}

impl Passwords {
    pub(super) fn read(named: Option<PathBuf>, home: Option<&Path>) -> Self {
        let Some(path) = named.or_else(|| home.map(|home| home.join(".pgpass"))) else {
            return Self::default();
        };
        let Ok(metadata) = fs::metadata(&path) else { return Self::default() };
        if metadata.permissions().mode() & 0o077 != 0 {
            let path = path.display();
            tracing::warn!(%path, "passwords of this file are not used: others may read it; run chmod 0600");
            return Self::default();
        }
        Self::parse(&fs::read_to_string(&path).unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(fields).collect())
    }

    pub(super) fn find(&self, host: &Host, database: Option<&str>, user: Option<&str>) -> Option<&str> {
        let name = if host.name == "/var/run/postgresql" { "localhost" } else { &host.name };
        let port = host.port.to_string();
        let user = user.unwrap_or_default();
        let wanted = [name, &port, database.unwrap_or(user), user];
        let matches =
            |line: &&Line| line.iter().zip(wanted).all(|(field, value)| field == "*" || field == value);
        self.0.iter().find(matches).map(|[.., password]| password.as_str())
    }
}

fn fields(line: &str) -> Option<Line> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => fields.last_mut()?.extend(characters.next()),
            ':' if fields.len() < 5 => fields.push(String::new()),
            other => fields.last_mut()?.push(other),
        }
    }
    fields.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, port: u16) -> Host {
        Host { name: name.to_owned(), address: None, port }
    }

    #[test]
    fn the_first_line_that_matches_counts() {
        let passwords =
            Passwords::parse("# a comment\nh:1:d:u:one\n*:*:*:u:t\\:w\\\\o\nshort:line\n*:2:*:*:three:3\n");
        assert_eq!(passwords.find(&host("h", 1), Some("d"), Some("u")), Some("one"));
        assert_eq!(passwords.find(&host("other", 1), Some("d"), Some("u")), Some("t:w\\o"));
        assert_eq!(passwords.find(&host("h", 2), None, Some("v")), Some("three:3"));
        assert_eq!(passwords.find(&host("h", 1), Some("d"), Some("v")), None);
        assert!(!format!("{passwords:?}").contains("one"));
    }

    #[test]
    fn a_file_that_others_may_read_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".pgpass");
        fs::write(&path, "*:*:*:*:word").unwrap();
        for (mode, expected) in [(0o600, Some("word")), (0o640, None)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let passwords = Passwords::read(None, Some(dir.path()));
            assert_eq!(passwords.find(&host("h", 1), None, None), expected, "{mode:o}");
        }
    }
}

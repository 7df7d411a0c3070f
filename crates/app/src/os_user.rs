//! Who works at this command line, for the audit log.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use app_db::audit::{self, Actor, NewEntry};
use serde_json::{Value, json};
use service::Clock;

/// What is to be written of a change made by a command of this process.
pub(crate) fn entry(
    ids: &model::IdGenerator,
    action: &'static str,
    target: Option<String>,
    mut detail: Value,
) -> NewEntry {
    // The user that `sudo` was called by.
    if let Some(fields) = detail.as_object_mut()
        && let Ok(user) = env::var("SUDO_USER")
    {
        fields.insert("sudo_user".to_owned(), json!(user));
    }
    let id = audit::new_id(ids, Clock::System.now());
    let source = format!("command line on {}", host());
    NewEntry { id, actor: Actor::OsUser(user()), action, target, source, detail }
}

/// By the process's own user id: variables can say anything.
fn user() -> String {
    let Some(uid) = fs::metadata("/proc/self").or_else(|_| fs::metadata("/dev/fd")).ok().map(|own| own.uid())
    else {
        return "unknown".to_owned();
    };
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_of(uid, &accounts).unwrap_or_else(|| format!("uid {uid}"))
}

fn name_of(uid: u32, accounts: &str) -> Option<String> {
    let uid = uid.to_string();
    let fields = accounts.lines().map(|line| line.split(':').collect::<Vec<_>>());
    fields
        .filter(|fields| fields.get(2) == Some(&uid.as_str()))
        .find_map(|f| f.first().map(|n| (*n).to_owned()))
}

fn host() -> String {
    let name = fs::read_to_string(Path::new("/proc/sys/kernel/hostname"));
    name.ok()
        .or_else(|| env::var("HOSTNAME").ok())
        .map_or_else(|| "this host".to_owned(), |n| n.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_name_is_found_by_its_number() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbroken\n";
        assert_eq!(name_of(1000, accounts).as_deref(), Some("ann"));
        assert_eq!(name_of(0, accounts).as_deref(), Some("root"));
        assert_eq!(name_of(7, accounts), None);
        assert!(!user().is_empty() && !host().is_empty());
    }
}

//! A warning for a configuration file that holds secrets and that other users can read.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A key whose name has one of these in it holds a secret.
const SECRET_WORDS: [&str; 6] = ["secret", "token", "password", "api_key", "signing_key", "private_key"];
/// Of the permissions, what lets others read.
const READABLE: u32 = 0o044;

/// Never a refusal: a container's files often have this mode.
pub(super) fn warning(path: &Path, text: &str) -> Option<String> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    let holds_secrets = text.parse::<toml::Table>().is_ok_and(|table| table.iter().any(is_secret));
    (mode & READABLE != 0 && holds_secrets).then(|| {
        let place = path.display();
        format!(
            "{place} holds secrets and other users of this machine can read it: run `chmod 600 {place}`, or write the \
             secrets as env:NAME or file:PATH"
        )
    })
}

fn is_secret((key, value): (&String, &toml::Value)) -> bool {
    match value {
        toml::Value::String(text) => {
            let is_elsewhere = text.is_empty() || text.starts_with("env:") || text.starts_with("file:");
            !is_elsewhere && SECRET_WORDS.iter().any(|word| key.contains(word))
        }
        // Of a list, each has the name of the list.
        toml::Value::Array(items) => items.iter().any(|item| is_secret((key, item))),
        toml::Value::Table(table) => table.iter().any(is_secret),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    #[test]
    fn a_file_that_others_can_read_is_warned_about_where_it_holds_a_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.toml");
        fs::write(&path, "").unwrap();
        let literal = "[[providers]]\nauth_token = \"t\"\n";
        for (mode, text, is_warned) in [
            (0o644, literal, true),
            (0o640, literal, true),
            (0o600, literal, false),
            (0o644, "[[providers]]\nauth_token = [\"env:A\", \"t\"]\n", true),
            (0o644, "[webhooks]\nsecret = \"hush\"\n", true),
            (
                0o644,
                "[webhooks]\nsecret = \"env:SECRET\"\n[[providers]]\nauth_token = \"file:/run/t\"\n",
                false,
            ),
            (0o644, "[[providers]]\naccount_sid = \"AC1\"\n", false),
        ] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let warning = warning(&path, text);
            assert_eq!(warning.is_some(), is_warned, "{mode:o} {text}");
            assert!(!warning.unwrap_or_default().contains("hush"));
        }
    }
}

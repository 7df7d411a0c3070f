//! The documentation of the configuration names every key that the configuration takes.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::Path;

use service::Config;

fn documentation() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    std::fs::read_to_string(path).unwrap()
}

/// The keys that an error about an unknown one lists.
fn keys_of(section: &str) -> Vec<String> {
    let text = format!("{section}\nno_such_key = 1\n");
    let error = Config::parse(&text, "app.toml", &|_| None).unwrap_err().to_string();
    let (_, expected) = error.rsplit_once("expected").unwrap_or_else(|| panic!("{error}"));
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_key_of_every_section_is_documented() {
    let documentation = documentation();
    let sections = [
        "",
        "[server]",
        "[processor]",
        "[attachments]",
        "[webhooks]",
        "[addresses]",
        "[retention]",
        "[[routes]]",
    ];
    for section in sections {
        let keys = keys_of(section);
        assert!(!keys.is_empty(), "{section}");
        for key in keys {
            let documented = documentation.contains(&format!("`{key}`"))
                || documentation.contains(&format!("`[{key}]`"))
                || documentation.contains(&format!("`[[{key}]]`"));
            assert!(documented, "{section} {key} is not in docs/configuration.md");
        }
    }
}

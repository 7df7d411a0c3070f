//! What documents name must exist: the tests, files and scenarios that the threat model says show a check.
#![expect(clippy::unwrap_used, reason = "a test: what cannot be read fails it")]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap()
}

/// The text of every Rust file below `dir`.
fn rust_text(dir: &Path, text: &mut String) {
    for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            rust_text(&entry, text);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&entry).unwrap());
        }
    }
}

/// What the column "shown by" of the tables names.
fn evidence(document: &str) -> Vec<&str> {
    let tables = document.split("\n\n").filter(|paragraph| paragraph.contains("| shown by |"));
    let cells = tables.flat_map(str::lines).filter_map(|line| line.strip_suffix(" |")?.rsplit(" | ").next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let document = fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let mut sources = String::new();
    rust_text(&root().join("crates"), &mut sources);
    let exists = |name: &str| match name.contains('/') {
        true => root().join(name).exists(),
        false => {
            sources.contains(&format!("fn {name}(")) || sources.contains(&format!("scenario!(\"{name}\""))
        }
    };
    let named = evidence(&document);
    assert!(named.len() > 20, "the tables are where this test looks: {named:?}");
    // A scenario's name may stand on a line of its own.
    let spread = |name: &str| sources.contains(&format!("scenario!(\n        \"{name}\""));
    let missing: Vec<&str> = named.into_iter().filter(|name| !exists(name) && !spread(name)).collect();
    assert!(missing.is_empty(), "docs/threat-model.md names what does not exist: {missing:?}");
}

#[test]
fn the_column_of_evidence_is_read_and_no_other() {
    let document = "| x | `y` |\n\n| what | shown by |\n| --- | --- |\n| a `b` | `d`, `e/f` |\n\ntext `g`";
    assert_eq!(evidence(document), ["d", "e/f"]);
}

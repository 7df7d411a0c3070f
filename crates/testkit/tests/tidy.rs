//! What the compiler does not check: which crate may know which, where SQL may stand, how files begin and how long
//! they grow. Numbers here may go down, never up.
#![expect(clippy::unwrap_used, reason = "a test: what cannot be read fails it")]

#[path = "tidy/statements.rs"]
mod statements;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of the longest source file.
const FILE_LINES_MAX: usize = 400;

/// Crates that the tests of any other may use besides.
const FOR_TESTS: &[&str] = &["testkit", "provider-simulator"];

/// Which crates of ours each may depend on.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("providers", &["model"]),
    ("app-db", &["model"]),
    ("service", &["model", "providers"]),
    ("provider-simulator", &["service"]),
    ("app-apiserver", &["model", "providers", "app-db", "service"]),
    ("app-processor", &["model", "providers", "app-db", "service"]),
    (
        "app",
        &["model", "providers", "app-db", "service", "app-apiserver", "app-processor", "provider-simulator"],
    ),
    ("testkit", &["model", "app-db"]),
];

/// Crates that run or measure the others, and so may know them all.
const OUTSIDE: &[&str] = &["bench", "chaos", "e2e"];

fn root() -> PathBuf {
    fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap()
}

fn crates() -> Vec<String> {
    let dir = fs::read_dir(root().join("crates")).unwrap();
    let mut names: Vec<String> = dir.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Every Rust file below `dir`, with its text.
fn rust_files(dir: &Path, found: &mut BTreeMap<PathBuf, String>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.map(|entry| entry.unwrap().path()) {
        if entry.is_dir() && entry.file_name().is_some_and(|name| name != "target") {
            rust_files(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.insert(entry.clone(), fs::read_to_string(&entry).unwrap());
        }
    }
}

fn sources() -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    rust_files(&root().join("crates"), &mut found);
    assert!(found.len() > 50, "the source files are where this test looks");
    found
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests")
        || path.file_name().is_some_and(|n| n == "tests.rs")
}

fn is_in(path: &Path, name: &str) -> bool {
    path.starts_with(root().join("crates").join(name))
}

/// Fails with every finding at once.
fn none(findings: Vec<String>) {
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

#[test]
fn dependencies_point_one_way() {
    let names = crates();
    let mut findings = Vec::new();
    for name in names.iter().filter(|name| !OUTSIDE.contains(&name.as_str())) {
        let Some((_, allowed)) = MAY_DEPEND_ON.iter().find(|(known, _)| known == name) else {
            findings.push(format!("{name}: say in MAY_DEPEND_ON which crates it may know"));
            continue;
        };
        let manifest = fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        for (section, dependencies) in &manifest {
            if !matches!(section.as_str(), "dependencies" | "dev-dependencies" | "build-dependencies") {
                continue;
            }
            for dependency in dependencies.as_table().unwrap().keys().filter(|name| names.contains(name)) {
                let for_tests = section == "dev-dependencies" && FOR_TESTS.contains(&dependency.as_str());
                if !for_tests && !allowed.contains(&dependency.as_str()) {
                    findings.push(format!("{name} must not depend on {dependency} ({section})"));
                }
            }
        }
    }
    none(findings);
}

#[test]
fn sql_stands_in_app_db_alone() {
    let markers = ["select ", "insert into ", "update ", "delete from ", "create table ", "alter table "];
    let mut findings = Vec::new();
    for (path, text) in sources() {
        let may = is_in(&path, "app-db") || is_in(&path, "testkit") || is_test(&path);
        if may || OUTSIDE.iter().any(|name| is_in(&path, name)) {
            continue;
        }
        for (number, line) in text.lines().enumerate().take_while(|(_, line)| *line != "#[cfg(test)]") {
            let literal = line.split_once('"').map(|(_, literal)| literal.trim_start().to_lowercase());
            if literal.is_some_and(|literal| markers.iter().any(|marker| literal.starts_with(marker))) {
                findings.push(format!(
                    "{}:{}: SQL belongs in app-db: {}",
                    path.display(),
                    number + 1,
                    line.trim()
                ));
            }
        }
    }
    none(findings);
}

#[test]
fn modules_are_files_of_their_name() {
    none(
        sources()
            .keys()
            .filter(|path| path.file_name().is_some_and(|name| name == "mod.rs"))
            .map(|path| format!("{}: name it after its module", path.display()))
            .collect(),
    );
}

#[test]
fn source_files_say_what_they_are_for() {
    none(
        sources()
            .iter()
            // A `tests.rs` is the tests of the file above it.
            .filter(|(path, text)| !text.starts_with("//!") && !path.ends_with("tests.rs"))
            .map(|(path, _)| format!("{}: begin with `//!`, its job in one to three lines", path.display()))
            .collect(),
    );
}

#[test]
fn files_stay_short() {
    let mut findings = Vec::new();
    for (path, text) in sources() {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            findings.push(format!("{}: {lines} lines; split it ({FILE_LINES_MAX} at most)", path.display()));
        }
    }
    none(findings);
}

#[test]
fn tests_wait_for_what_happens_instead_of_sleeping() {
    let mut findings = Vec::new();
    for (path, text) in sources() {
        let tests_begin =
            if is_test(&path) { Some(0) } else { text.lines().position(|line| line == "#[cfg(test)]") };
        let Some(tests_begin) = tests_begin else { continue };
        for (number, line) in text.lines().enumerate().skip(tests_begin) {
            // Split, so that this line is none.
            if line.contains(concat!("sleep", "(")) {
                findings.push(format!("{}:{}: use testkit::until", path.display(), number + 1));
            }
        }
    }
    none(findings);
}

#[test]
fn nothing_is_left_for_later_in_comments() {
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
    let mut findings = Vec::new();
    for (path, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                findings.push(format!(
                    "{}:{}: do it, or file it: {}",
                    path.display(),
                    number + 1,
                    line.trim()
                ));
            }
        }
    }
    none(findings);
}

//! A kind is a source file, a line in `KINDS`, a folder of fixtures and a page of documentation: all or none.

use std::collections::BTreeSet;
use std::path::Path;

use providers::KINDS;

use crate::fixture::{crate_folder, settings};

fn names(folder: &Path, extension: Option<&str>, keep: impl Fn(&Path) -> bool) -> BTreeSet<String> {
    std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| match extension {
            Some(extension) => path.extension().is_some_and(|found| found == extension),
            None => path.is_dir(),
        })
        .filter(|path| keep(path))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_kind_has_its_source_its_fixtures_and_its_page_and_nothing_else_has() {
    let kinds: BTreeSet<String> = KINDS.iter().map(|kind| kind.name.to_owned()).collect();
    assert_eq!(kinds.len(), KINDS.len(), "a kind is listed twice");
    let folder = crate_folder();
    let declares_a_kind = |path: &Path| std::fs::read_to_string(path).unwrap().contains("const KIND: Kind =");
    assert_eq!(names(&folder.join("src"), Some("rs"), declares_a_kind), kinds, "src");
    assert_eq!(names(&folder.join("tests/contract"), None, |_| true), kinds, "tests/contract");
    assert_eq!(names(&folder.join("../../docs/providers"), Some("md"), |_| true), kinds, "docs/providers");
}

#[test]
fn a_kinds_page_names_every_key_that_it_takes() {
    for kind in KINDS {
        let path = crate_folder().join("../../docs/providers").join(kind.name).with_extension("md");
        let page =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let unknown = serde_json::Map::from_iter([("no_such_key".to_owned(), "1".into())]);
        let error = (kind.configure)(&settings(kind, &unknown, None, true)).unwrap_err();
        let (_, keys) = error.problem.split_once("this kind takes ").unwrap_or_else(|| panic!("{error}"));
        for key in keys.split(", ") {
            assert!(page.contains(&format!("`{key}`")), "{}: {key} is not on the kind's page", kind.name);
        }
    }
}

/// `http` and `smtp` are protocols before they are kinds.
const PROTOCOLS: &[&str] = &["http", "smtp"];

#[test]
fn what_kinds_share_names_none_of_them() {
    let src = crate_folder().join("src");
    let mut shared = Vec::new();
    let mut folders = vec![src.clone()];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.file_stem().unwrap().to_str().unwrap();
            if path.parent() == Some(&src) && (name == "lib" || providers::kind(name).is_some()) {
                continue;
            }
            if path.is_dir() { folders.push(path) } else { shared.push(path) }
        }
    }
    assert!(shared.len() > 20, "the shared sources are where this test looks");
    for path in shared {
        let text = std::fs::read_to_string(&path).unwrap().to_lowercase();
        let words: BTreeSet<&str> = text.split(|c: char| !c.is_alphanumeric()).collect();
        for kind in KINDS.iter().filter(|kind| !PROTOCOLS.contains(&kind.name)) {
            assert!(!words.contains(kind.name), "{} names {}", path.display(), kind.name);
        }
    }
}

#[test]
fn a_kind_is_found_by_its_name() {
    for kind in KINDS {
        assert!(providers::kind(kind.name).is_some_and(|found| found.name == kind.name));
    }
    assert!(providers::kind("pigeon").is_none());
}

//! A kind is a source file, a line in `KINDS`, a folder of fixtures and a page of documentation: all or none.

use std::collections::BTreeSet;
use std::path::Path;

use providers::KINDS;

use crate::fixture::crate_folder;

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
fn a_kind_is_found_by_its_name() {
    for kind in KINDS {
        assert!(providers::kind(kind.name).is_some_and(|found| found.name == kind.name));
    }
    assert!(providers::kind("pigeon").is_none());
}

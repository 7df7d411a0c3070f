//! The official examples of every country, in three ways of writing, are one number each. A number that comes out
//! as another is a message to a stranger.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use model::{Addressing, Medium};

const CORPUS: &str = include_str!("corpus/official_examples.txt");
/// Numbers of no country: they have no national form that could be dialled.
const NO_COUNTRY: &str = "001";

struct Example {
    region: &'static str,
    e164: &'static str,
    international: &'static str,
    national: &'static str,
}

fn examples() -> impl Iterator<Item = Example> {
    CORPUS.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [region, _, e164, international, national] = fields[..] else { panic!("{line}") };
        Example { region, e164, international, national }
    })
}

#[track_caller]
fn assert_all_equal(read: impl Fn(&Example) -> Option<(Addressing, &'static str)>) {
    let mut wrong = Vec::new();
    for example in examples() {
        let Some((addressing, text)) = read(&example) else { continue };
        let found = addressing.recipient(Medium::Phone, text);
        if found.as_ref().map(|endpoint| endpoint.as_str()) != Ok(example.e164) {
            wrong.push(format!(
                "{} {text}: {:?} instead of {}",
                example.region,
                found.map(|e| e.as_str().to_owned()),
                example.e164
            ));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

fn in_region(example: &Example) -> Addressing {
    Addressing::with_default_region(example.region).unwrap()
}

#[test]
fn the_corpus_covers_the_world() {
    let regions: std::collections::BTreeSet<&str> = examples().map(|example| example.region).collect();
    assert!(regions.len() > 240 && examples().count() > 1000, "{} regions", regions.len());
}

#[test]
fn e164_stays_as_it_is() {
    assert_all_equal(|example| Some((Addressing::default(), example.e164)));
}

#[test]
fn the_international_form_needs_no_region() {
    assert_all_equal(|example| Some((Addressing::default(), example.international)));
}

#[test]
fn the_international_form_is_the_same_from_anywhere() {
    for region in ["US", "DE", "IT", "CI"] {
        let addressing = Addressing::with_default_region(region).unwrap();
        assert_all_equal(|example| Some((addressing, example.international)));
    }
}

#[test]
fn the_national_form_is_read_as_dialled_in_its_country() {
    assert_all_equal(|example| {
        (example.region != NO_COUNTRY).then(|| (in_region(example), example.national))
    });
}

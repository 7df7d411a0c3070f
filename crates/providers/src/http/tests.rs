use std::collections::BTreeMap;

use super::*;

const COMPLETE: &[(&str, &str)] = &[
    ("url", "/send"),
    ("content_type", "application/x-www-form-urlencoded"),
    ("body", "to={to}&text={body}"),
    ("success_when", "OK"),
];

fn settings(base_url: &str, changes: &[(&str, &str)]) -> Settings {
    let mut values: BTreeMap<String, SecretString> = BTreeMap::new();
    for (key, value) in COMPLETE.iter().chain(changes) {
        values.insert((*key).to_owned(), (*value).into());
    }
    Settings { base_url: base_url.parse().unwrap(), verify: true, codes: BTreeMap::new(), values }
}

/// The key of the refusal.
fn refused(changes: &[(&str, &str)]) -> Option<String> {
    configure(&settings("https://sms.example.com", changes)).err().map(|error| error.key)
}

#[test]
fn what_does_not_fit_together_is_refused_at_start_by_its_key() {
    assert_eq!(refused(&[]), None);
    let inbound = ("inbound_id", "id");
    let statuses = ("receipt_statuses", "DELIVRD = delivered");
    for (key, changes) in [
        ("url", &[("url", "")][..]),
        ("url", &[("url", "send")]),
        ("method", &[("method", "DELETE")]),
        ("body", &[("method", "GET")]),
        ("body", &[("body", "")]),
        ("body", &[("body", "to={to}")]),
        ("body", &[("body", "text={body}")]),
        ("body", &[("body", "to={to}&text={text}")]),
        ("content_type", &[("content_type", "")]),
        ("content_type", &[("content_type", "text/plain")]),
        ("headers", &[("headers", "X-Account")]),
        ("headers", &[("headers", "X Account: 1")]),
        ("headers", &[("headers", "X-To: {to}")]),
        ("headers", &[("headers", "Host: elsewhere.example.com")]),
        ("headers", &[("headers", "Authorization: x")]),
        ("headers", &[("headers", "X-Key: {api_key}"), ("api_key", "a\nb")]),
        ("username", &[("password", "x")]),
        ("password", &[("username", "x")]),
        ("username", &[("url", "/send?u={username}")]),
        ("password", &[("url", "/send?p={password}")]),
        ("api_key", &[("url", "/send?k={api_key}")]),
        ("api_key", &[("api_key", "x")]),
        ("authorization", &[("authorization", "Bearer x"), ("username", "x"), ("password", "y")]),
        ("authorization", &[("authorization", "a\nb")]),
        ("inbound_from", &[inbound]),
        ("inbound_to", &[inbound, ("inbound_from", "from")]),
        ("inbound_body", &[inbound, ("inbound_from", "from"), ("inbound_to", "to")]),
        ("inbound_id", &[("inbound_channel", "sms")]),
        ("receipt_status", &[statuses]),
        ("receipt_statuses", &[("receipt_status", "status")]),
        (
            "receipt_statuses",
            &[("receipt_status", "s"), ("receipt_statuses", "DELIVRD"), ("receipt_reference", "r")],
        ),
        (
            "receipt_statuses",
            &[("receipt_status", "s"), ("receipt_statuses", "x = lost"), ("receipt_reference", "r")],
        ),
        (
            "receipt_statuses",
            &[("receipt_status", "s"), ("receipt_statuses", "x = received"), ("receipt_reference", "r")],
        ),
        ("receipt_id", &[("receipt_status", "status"), statuses]),
        ("message_id", &[("receipt_status", "status"), statuses, ("receipt_id", "id")]),
    ] {
        assert_eq!(refused(changes).as_deref(), Some(key), "{changes:?}");
    }
    let no_gateway = configure(&settings(NO_GATEWAY, &[])).unwrap_err();
    assert_eq!(no_gateway.key, "base_url");
}

#[test]
fn a_secret_in_a_template_is_no_part_of_what_debug_shows() {
    let changes = [("url", "/send?key=written-out"), ("headers", "X-Key: {api_key}"), ("api_key", "k3y")];
    let shown = format!("{:?}", configure(&settings("https://sms.example.com", &changes)).unwrap());
    assert!(
        shown.contains("sms.example.com") && !shown.contains("written-out") && !shown.contains("k3y"),
        "{shown}"
    );
}

/// The examples of the page and of `app init` are complete: they configure as they are.
#[test]
fn the_examples_that_are_written_down_are_accepted() {
    let page = include_str!("../../../../docs/providers/http.md");
    let examples: Vec<&str> = page
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .filter_map(|block| block.split_once("kind = \"http\"\n"))
        .map(|(_, keys)| keys)
        .chain([KIND.setup])
        .collect();
    assert_eq!(examples.len(), 3);
    for example in examples {
        let mut table: toml::Table = example.parse().unwrap();
        table.remove("channels");
        // Below its `[[providers]]`, `[providers.codes]` would be the entry's.
        let codes = table.remove("providers").map(|mut entry| entry["codes"].as_table_mut().unwrap().clone());
        let base_url = table.remove("base_url").unwrap();
        let mut settings = settings(base_url.as_str().unwrap(), &[]);
        settings.values =
            table.iter().map(|(key, value)| (key.clone(), value.as_str().unwrap().into())).collect();
        let class = |(code, class): (String, toml::Value)| (code, class.as_str().unwrap().parse().unwrap());
        settings.codes = codes.into_iter().flatten().map(class).collect();
        configure(&settings).unwrap_or_else(|error| panic!("{error}\n{example}"));
    }
}

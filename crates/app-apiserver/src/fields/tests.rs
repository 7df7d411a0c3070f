//! What is wrong with fields, and that all of it is told.

use super::*;

fn fields(json: &str) -> Fields {
    Fields::of(serde_json::from_str(json).unwrap())
}

fn codes(fields: Fields) -> Vec<(String, String)> {
    fields.errors.into_iter().map(|error| (error.field, error.code)).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(field, code)| ((*field).to_owned(), (*code).to_owned())).collect()
}

#[test]
fn everything_wrong_is_collected() {
    let mut fields = fields(r#"{"a": 1, "b": "x\u0000", "c": "xyz", "d": 2, "d": 3, "snd_at": "now"}"#);
    fields.text("a", Text::Lines, 10);
    fields.text("b", Text::Lines, 10);
    fields.text("c", Text::Lines, 2);
    fields.take("d");
    fields.required_text("e", Text::Line, 5);
    fields.refuse_the_rest(&[&["a"]]);
    let expected = [
        ("d", "duplicate_field"),
        ("a", "wrong_type"),
        ("b", "control_character"),
        ("c", "too_long"),
        ("e", "required"),
        ("snd_at", "unknown_field"),
    ];
    assert_eq!(codes(fields), pairs(&expected));
}

#[test]
fn a_time_whose_plus_was_lost_in_a_url_is_refused_with_advice() {
    let mut query = Fields::of_query(Some("since=2026-11-23T10:30:00+02:00&until=soon"));
    query.time("since");
    query.time("until");
    let advised: Vec<bool> = query.errors.iter().map(|error| error.message.contains("%2B")).collect();
    assert_eq!(advised, [true, false]);
    let mut query = Fields::of_query(Some("since=2026-11-23T10:30:00%2B02:00"));
    assert!(query.time("since").is_some());
}

#[test]
fn line_breaks_are_text_but_no_part_of_a_line() {
    let json = r#"{"lines": "a\r\n\tb", "line": "a\nb", "del": "\u007f", "c1": "\u0085"}"#;
    let mut fields = fields(json);
    fields.text("lines", Text::Lines, 10);
    fields.text("line", Text::Line, 10);
    fields.text("del", Text::Lines, 10);
    fields.text("c1", Text::Lines, 10);
    let expected = [("line", "control_character"), ("del", "control_character"), ("c1", "control_character")];
    assert_eq!(codes(fields), pairs(&expected));
}

#[test]
fn only_web_urls_are_attachments() {
    for url in ["https://example.com/a.png", "http://127.0.0.1:1/x?y=z#f", "HTTPS://EXAMPLE.com"] {
        assert!(is_web_url(url), "{url}");
    }
    let long = format!("https://example.com/{}", "a".repeat(URL_BYTES_MAX));
    for text in [
        "",
        "a.png",
        "ftp://example.com/a",
        "file:///etc/passwd",
        "javascript:x",
        "https://",
        "https:///a b",
        "http:///x",
        "http:////x",
        "http://\\x",
        "http:x",
        "https:/x",
        "http://?x",
        "http://e.com/\n",
        &long,
    ] {
        assert!(!is_web_url(text), "{text}");
    }
}

#[test]
fn metadata_is_bounded_and_holds_no_nul() {
    let many: Map<String, Value> = (0..51).map(|n| (n.to_string(), Value::from(n))).collect();
    for (metadata, code) in [
        (Value::Object(many), "too_many"),
        (serde_json::json!({"a": "x".repeat(METADATA_BYTES_MAX)}), "too_long"),
        (serde_json::json!({"a": [{"b\u{0}": 1}]}), "control_character"),
        (serde_json::json!("text"), "wrong_type"),
    ] {
        let mut fields = Fields::of(Object(vec![("metadata".to_owned(), metadata)]));
        fields.metadata("metadata");
        assert_eq!(codes(fields), pairs(&[("metadata", code)]));
    }
}

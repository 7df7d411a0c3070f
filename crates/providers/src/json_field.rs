//! Fields of providers' JSON that come in more than one form, or may be missing.

use jiff::Timestamp;
use serde_json::Value;

use crate::inbound_text::code_word;

/// The list's elements; none where it is no list.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A time by RFC 3339.
pub(crate) fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// A number that stands for itself or in a text: `21610` and `"21610"` are the same.
pub(crate) fn number(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => number.as_u64().map(|number| number.to_string()),
        Value::String(text) => text.parse::<u32>().ok().map(|number| number.to_string()),
        _ => None,
    }
}

/// A number, or a word of the provider's vocabulary.
pub(crate) fn code(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => number.as_u64().map(|number| number.to_string()),
        Value::String(text) => code_word(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_or_a_code_is_read_from_what_may_hold_it() {
        for (value, as_number, as_code) in [
            (json!(21610), Some("21610"), Some("21610")),
            (json!("21610"), Some("21610"), Some("21610")),
            (json!("007"), Some("7"), Some("007")),
            (json!("EC_BUSY"), None, Some("EC_BUSY")),
            (json!("to +14155550100"), None, None),
            (json!(-1), None, None),
            (json!(1.5), None, None),
            (json!(null), None, None),
            (json!([1]), None, None),
        ] {
            assert_eq!((number(&value).as_deref(), code(&value).as_deref()), (as_number, as_code), "{value}");
        }
    }

    #[test]
    fn what_is_no_list_or_time_is_none() {
        assert_eq!(list(&json!({ "a": [1] })).len() + list(&json!(null)).len(), 0);
        assert_eq!(list(&json!([1, 2])).len(), 2);
        assert!(time(&json!("2023-11-14T22:13:20.5Z")).is_some());
        assert!(time(&json!("yesterday")).is_none() && time(&json!(1_700_000_000)).is_none());
    }
}

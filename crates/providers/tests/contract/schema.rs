//! Checks requests and answers against the providers' own OpenAPI descriptions (`tests/openapi/`), as far as these
//! use JSON Schema. A keyword, pattern or format that is not understood here is a problem, never passed over.

use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Map, Value, json};
use url::Url;

pub(crate) struct Description {
    root: Value,
    path: String,
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

impl Description {
    pub(crate) fn new(root: Value, path: &str) -> Self {
        Self { root, path: path.to_owned() }
    }

    pub(crate) fn problems_of_request(&self, request: &Request<Bytes>) -> Vec<String> {
        let mut problems = Vec::new();
        let method = request.method().as_str().to_ascii_lowercase();
        let operation = &self.root["paths"][&self.path][&method];
        if !operation.is_object() {
            problems.push(format!("{method} {} is not described", self.path));
        }
        if !fits_template(request.uri().path(), &self.path) {
            problems.push(format!("{} is not {}", request.uri().path(), self.path));
        }
        let content_type = request.headers()["content-type"].to_str().unwrap();
        let schema = &self.resolved(&operation["requestBody"])["content"][content_type]["schema"];
        let value = match content_type {
            FORM => self.form_as_json(request.body(), schema),
            JSON => serde_json::from_slice(request.body()).unwrap(),
            other => panic!("{other}: what is that?"),
        };
        self.check(schema, &value, "body", &mut problems);
        problems
    }

    pub(crate) fn problems_of_response(&self, response: &Response<Bytes>) -> Vec<String> {
        let responses = &self.root["paths"][&self.path]["post"]["responses"];
        let described = self.resolved(&responses[response.status().as_str()]);
        let mut problems = Vec::new();
        let value = serde_json::from_slice(response.body()).unwrap();
        self.check(&described["content"][JSON]["schema"], &value, "body", &mut problems);
        problems
    }

    /// A form's values are texts; the schema says what they stand for.
    fn form_as_json(&self, body: &[u8], schema: &Value) -> Value {
        let mut object = Map::new();
        for (name, value) in form_urlencoded::parse(body).into_owned() {
            let property = self.resolved(&schema["properties"][&name]);
            match property["type"].as_str() {
                Some("array") => {
                    let list = object.entry(name).or_insert_with(|| json!([]));
                    list.as_array_mut().unwrap().push(json!(value));
                }
                Some("boolean" | "integer" | "number") => {
                    object.insert(name, serde_json::from_str(&value).unwrap_or(json!(value)));
                }
                _ => {
                    let repeated = object.insert(name.clone(), json!(value));
                    assert!(repeated.is_none(), "{name} is repeated");
                }
            }
        }
        Value::Object(object)
    }

    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(reference) => self.root.pointer(reference.trim_start_matches('#')).unwrap(),
            None => schema,
        }
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, problems: &mut Vec<String>) {
        let Some(keywords) = schema.as_object() else {
            problems.push(format!("{at}: is not described"));
            return;
        };
        if value.is_null() && schema["nullable"] == true {
            return;
        }
        let mut problem = |what: String| problems.push(format!("{at}: {what}"));
        let text = value.as_str();
        let length = text.map(|text| text.chars().count());
        for (keyword, rule) in keywords {
            match (keyword.as_str(), rule) {
                ("type", rule) if !has_type(value, rule.as_str().unwrap()) => {
                    problem(format!("is no {rule}"))
                }
                ("enum", Value::Array(words)) if !words.contains(value) => {
                    problem(format!("is none of {words:?}"))
                }
                ("minLength", rule) if length.is_some_and(|n| n < as_usize(rule)) => {
                    problem("is too short".into())
                }
                ("maxLength", rule) if length.is_some_and(|n| n > as_usize(rule)) => {
                    problem("is too long".into())
                }
                ("pattern", rule) if text.is_some_and(|text| !fits_pattern(text, rule.as_str().unwrap())) => {
                    problem(format!("does not match {rule}"));
                }
                ("format", rule) if text.is_some_and(|text| !fits_format(text, rule.as_str().unwrap())) => {
                    problem(format!("is no {rule}"));
                }
                ("maxItems", rule) if value.as_array().is_some_and(|list| list.len() > as_usize(rule)) => {
                    problem("has too many items".into());
                }
                ("maxProperties", rule)
                    if value.as_object().is_some_and(|map| map.len() > as_usize(rule)) =>
                {
                    problem("has too many properties".into());
                }
                ("required", Value::Array(names)) => {
                    for name in names.iter().filter(|name| value.get(name.as_str().unwrap()).is_none()) {
                        problem(format!("lacks {name}"));
                    }
                }
                (
                    "type"
                    | "enum"
                    | "minLength"
                    | "maxLength"
                    | "pattern"
                    | "format"
                    | "maxItems"
                    | "maxProperties"
                    | "properties"
                    | "items"
                    | "$ref"
                    | "nullable"
                    | "uniqueItems"
                    | "additionalProperties"
                    | "title"
                    | "description"
                    | "default"
                    | "example",
                    _,
                ) => {}
                (keyword, _) if keyword.starts_with("x-") => {}
                (keyword, _) => problem(format!("the keyword {keyword} is not understood")),
            }
        }
        if schema["$ref"].is_string() {
            self.check(self.resolved(schema), value, at, problems);
        }
        if let (Some(properties), Some(object)) = (schema["properties"].as_object(), value.as_object()) {
            for (name, value) in object {
                match properties.get(name) {
                    Some(property) => self.check(property, value, &format!("{at}.{name}"), problems),
                    None => problems.push(format!("{at}.{name}: is not known")),
                }
            }
        }
        if let (Some(property), Some(object)) = (schema.get("additionalProperties"), value.as_object())
            && property.is_object()
        {
            for (name, value) in object {
                self.check(property, value, &format!("{at}.{name}"), problems);
            }
        }
        if let (Some(items), Some(list)) = (schema.get("items"), value.as_array()) {
            for (index, item) in list.iter().enumerate() {
                self.check(items, item, &format!("{at}[{index}]"), problems);
            }
        }
        if schema["uniqueItems"] == true
            && let Some(list) = value.as_array()
            && list.iter().enumerate().any(|(index, item)| list[..index].contains(item))
        {
            problems.push(format!("{at}: repeats an item"));
        }
    }
}

fn as_usize(rule: &Value) -> usize {
    usize::try_from(rule.as_u64().unwrap()).unwrap()
}

fn has_type(value: &Value, name: &str) -> bool {
    match name {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

/// The one shape of pattern in use: alternatives of letters, then so many hexadecimal digits.
fn fits_pattern(text: &str, pattern: &str) -> bool {
    let inner = pattern.strip_prefix('^').and_then(|rest| rest.strip_suffix("[0-9a-fA-F]{32}$"));
    let prefixes = inner.unwrap_or_else(|| panic!("the pattern {pattern} is not understood"));
    prefixes.trim_matches(['(', ')']).split('|').any(|prefix| {
        text.strip_prefix(prefix)
            .is_some_and(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()))
    })
}

fn fits_format(text: &str, format: &str) -> bool {
    match format {
        "uri" => Url::parse(text).is_ok_and(|url| url.host().is_some()),
        "email" => text.split_once('@').is_some_and(|(local, host)| !local.is_empty() && host.contains('.')),
        // Or the address of a channel, as its description says.
        "phone-number" => {
            let number = text.strip_prefix("whatsapp:").unwrap_or(text);
            !number.is_empty() && !number.contains(['@', ':'])
        }
        "date-time-rfc-2822" => jiff::fmt::rfc2822::parse(text).is_ok(),
        "currency" => text.len() == 3,
        _ => false,
    }
}

fn fits_template(path: &str, template: &str) -> bool {
    let (path, template): (Vec<_>, Vec<_>) = (path.split('/').collect(), template.split('/').collect());
    path.len() == template.len()
        && path
            .iter()
            .zip(&template)
            .all(|(part, slot)| part == slot || (slot.starts_with('{') && !part.is_empty()))
}

/// A checker that finds nothing proves nothing.
#[test]
fn the_checker_finds_what_is_wrong() {
    let description =
        Description::new(json!({ "components": { "id": { "pattern": "^(SM|MM)[0-9a-fA-F]{32}$" } } }), "/");
    let schema = json!({
        "type": "object",
        "required": ["to"],
        "properties": {
            "to": { "type": "string", "minLength": 2, "maxLength": 3 },
            "id": { "$ref": "#/components/id" },
            "list": { "type": "array", "maxItems": 1, "uniqueItems": true, "items": { "type": "integer" } },
            "url": { "type": "string", "format": "uri", "nullable": true },
            "odd": { "multipleOf": 2 },
        },
    });
    for (value, expected) in [
        (json!({ "to": "ab", "id": "MM0123456789abcdef0123456789ABCDEF", "list": [1], "url": null }), vec![]),
        (json!([]), vec!["body: lacks \"to\"", "body: is no \"object\""]),
        (json!({ "to": 7 }), vec!["body.to: is no \"string\""]),
        (json!({ "to": "abcd", "x": 1 }), vec!["body.to: is too long", "body.x: is not known"]),
        (json!({ "to": "a" }), vec!["body.to: is too short"]),
        (json!({ "to": "ab", "id": "SM01" }), vec!["body.id: does not match \"^(SM|MM)[0-9a-fA-F]{32}$\""]),
        (
            json!({ "to": "ab", "list": ["x", "x"] }),
            vec![
                "body.list: has too many items",
                "body.list[0]: is no \"integer\"",
                "body.list[1]: is no \"integer\"",
                "body.list: repeats an item",
            ],
        ),
        (json!({ "to": "ab", "url": "nowhere" }), vec!["body.url: is no \"uri\""]),
        (json!({ "to": "ab", "odd": 1 }), vec!["body.odd: the keyword multipleOf is not understood"]),
    ] {
        let mut problems = Vec::new();
        description.check(&schema, &value, "body", &mut problems);
        problems.sort();
        let mut expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
        expected.sort();
        assert_eq!(problems, expected, "{value}");
    }
    assert!(fits_template("/a/1/b", "/a/{id}/b") && !fits_template("/a//b", "/a/{id}/b"));
}

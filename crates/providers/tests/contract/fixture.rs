//! Reads the fixture folders. A folder that is missing or empty fails the test that reads it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use providers::{Fetched, Kind, Provider, Settings, WebhookRequest};
use secrecy::SecretString;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::schema::Description;

pub(crate) const WEBHOOK_URL: &str = "https://relay.example.org/api/webhooks/main";

pub(crate) fn message_id() -> Uuid {
    Uuid::try_parse("0190f3a2-7b1c-70a7-8123-456789abcdef").unwrap()
}

pub(crate) fn crate_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) struct KindFixtures {
    pub(crate) kind: &'static Kind,
    pub(crate) settings: Value,
    folder: PathBuf,
}

impl KindFixtures {
    pub(crate) fn of(kind: &'static Kind) -> Self {
        let folder = crate_folder().join("tests/contract").join(kind.name);
        Self { kind, settings: read(&folder.join("settings.json")), folder }
    }

    pub(crate) fn cases(&self, group: &str) -> Vec<Fixture> {
        let folder = self.folder.join(group);
        if group == "webhooks" && !self.kind.receipts && !self.kind.inbound {
            return Vec::new();
        }
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        assert!(!paths.is_empty(), "{} is empty", folder.display());
        paths.into_iter().map(|path| Fixture { json: read(&path), path }).collect()
    }

    /// The kind's settings with the fixture's own over them; an empty text takes one away.
    pub(crate) fn values(&self, fixture: &Fixture) -> Map<String, Value> {
        let mut values = self.settings["values"].as_object().unwrap().clone();
        values.extend(fixture.json["settings"].as_object().cloned().unwrap_or_default());
        values
    }

    pub(crate) fn provider(&self, fixture: &Fixture) -> Box<dyn Provider> {
        let values = self.values(fixture);
        let verify = fixture.json["verify"].as_bool().unwrap_or(true);
        let mut settings = settings(self.kind, &values, fixture.json["base_url"].as_str(), verify);
        for (code, class) in fixture.json["codes"].as_object().into_iter().flatten() {
            settings.codes.insert(code.clone(), class.as_str().unwrap().parse().unwrap());
        }
        (self.kind.configure)(&settings).unwrap_or_else(|error| panic!("{fixture}: {error}"))
    }

    /// The provider's own description of its API, where it is to be had.
    pub(crate) fn description(&self) -> Option<Description> {
        let openapi = self.settings["openapi"].as_object()?;
        let file = crate_folder().join("tests/openapi").join(openapi["file"].as_str().unwrap());
        Some(Description::new(read(&file), openapi["path"].as_str().unwrap()))
    }
}

pub(crate) fn settings(
    kind: &Kind,
    values: &Map<String, Value>,
    base_url: Option<&str>,
    verify: bool,
) -> Settings {
    let values: BTreeMap<String, SecretString> =
        values.iter().map(|(key, value)| (key.clone(), value.as_str().unwrap().into())).collect();
    // Of a kind that has no address of its own.
    let own = read(&crate_folder().join("tests/contract").join(kind.name).join("settings.json"));
    Settings {
        base_url: base_url.or(own["base_url"].as_str()).unwrap_or(kind.base_url).parse().unwrap(),
        verify,
        codes: BTreeMap::new(),
        values,
    }
}

pub(crate) struct Fixture {
    pub(crate) json: Value,
    path: PathBuf,
}

impl fmt::Display for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

impl Fixture {
    pub(crate) fn expected(&self, name: &str) -> Value {
        let mut expected = self.json[name].clone();
        if let Some(pairs) = expected.get_mut("form").and_then(Value::as_array_mut) {
            for pair in pairs {
                pair[1] = text(&pair[1]).into();
            }
        }
        expected
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_second(self.json["now"].as_i64().unwrap_or(1_700_000_000)).unwrap()
    }

    pub(crate) fn headers(&self) -> HeaderMap {
        let pairs = self.json["headers"].as_object().cloned().unwrap_or_default();
        pairs
            .iter()
            .map(|(name, value)| {
                let value = HeaderValue::from_str(value.as_str().unwrap()).unwrap();
                (name.parse::<HeaderName>().unwrap(), value)
            })
            .collect()
    }

    pub(crate) fn delivery(&self) -> Delivery {
        let lines = |name: &str| {
            let lines: Vec<&str> =
                self.json[name].as_array()?.iter().map(|line| line.as_str().unwrap()).collect();
            Some(lines.join("\r\n"))
        };
        let body = match (lines("body_lines"), lines("body_latin1_lines")) {
            (Some(text), _) => text.into_bytes(),
            (_, Some(text)) => latin1(&text),
            _ => self.json["body"].as_str().unwrap().as_bytes().to_vec(),
        };
        Delivery {
            method: self.json["method"].as_str().unwrap().parse().unwrap(),
            url: self.json["url"].as_str().unwrap().to_owned(),
            headers: self.headers(),
            body,
            now: self.now(),
            fetched: self.json["fetched"]
                .as_object()
                .cloned()
                .unwrap_or_default()
                .into_iter()
                .map(|(url, text)| Fetched { url, body: text.as_str().unwrap().as_bytes().to_vec() })
                .collect(),
        }
    }
}

/// A webhook that owns what it holds, so that tests can alter it.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) now: Timestamp,
    pub(crate) fetched: Vec<Fetched>,
}

impl Delivery {
    pub(crate) fn as_request(&self) -> WebhookRequest<'_> {
        WebhookRequest {
            method: &self.method,
            url: &self.url,
            headers: &self.headers,
            body: &self.body,
            now: self.now,
            fetched: &self.fetched,
        }
    }
}

/// A text as it is, or `{"repeat": "x", "times": 3}`.
pub(crate) fn text(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => {
            value["repeat"].as_str().unwrap().repeat(value["times"].as_u64().unwrap().try_into().unwrap())
        }
    }
}

/// Each character as the byte of its number.
pub(crate) fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

pub(crate) fn read(path: &Path) -> Value {
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

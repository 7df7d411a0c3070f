//! Every kind's webhooks against content that strangers make up: what a kind's fixture brings, altered. Verification is
//! off, so that the parsers are reached; signatures over such bodies are the same hash of more bytes.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, StatusCode};
use providers::{KINDS, Kind};
use serde_json::{Value, json};
use service::Clock;

use crate::server::{Server, server_with};

const PARTS: usize = 100_000;
const LEVELS: usize = 32_700;
/// The bound is 2 s. Here several builds may share two cores, and nothing is optimised.
const TIME_MAX: Duration = Duration::from_secs(20);

/// The foreign content that a sample brings.
type Content = fn(&Sample) -> Vec<u8>;

const CONTENTS: [(&str, Content); 5] = [
    ("deep nesting", Sample::nested),
    ("500 kB of tags", Sample::with_tags),
    ("100,000 parts", Sample::in_parts),
    ("invalid UTF-8", Sample::with_invalid_utf8),
    ("truncated body", Sample::truncated),
];

/// An inbound message of a kind as it stands in the kind's fixtures.
struct Sample {
    method: Method,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

fn contract(kind: &Kind) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../providers/tests/contract").join(kind.name)
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

impl Sample {
    fn of(kind: &Kind) -> Self {
        let mut paths: Vec<_> = std::fs::read_dir(contract(kind).join("webhooks"))
            .unwrap()
            .map(|file| file.unwrap().path())
            .collect();
        paths.sort();
        let brings_a_message = |fixture: &Value| {
            let inbound = fixture["webhook"]["inbound"].as_array();
            fixture["method"] == "POST" && inbound.is_some_and(|inbound| !inbound.is_empty())
        };
        let fixture = paths.iter().map(|path| read(path)).find(brings_a_message).unwrap();
        let lines = |name: &str| {
            let lines = fixture[name].as_array()?.iter().map(|line| line.as_str().unwrap());
            Some(lines.collect::<Vec<_>>().join("\r\n"))
        };
        let body = lines("body_lines").or_else(|| lines("body_latin1_lines"));
        let text = body.unwrap_or_else(|| fixture["body"].as_str().unwrap().to_owned());
        let query = fixture["url"].as_str().unwrap().split_once('?').map_or("", |(_, query)| query);
        let headers = fixture["headers"].as_object().unwrap();
        Self {
            method: Method::POST,
            query: query.to_owned(),
            headers: headers.iter().map(|(n, v)| (n.clone(), v.as_str().unwrap().to_owned())).collect(),
            body: text.into_bytes(),
        }
    }

    fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    fn is_form(&self) -> bool {
        self.headers.iter().any(|(_, value)| value.starts_with("application/x-www-form-urlencoded"))
    }

    /// The delimiter of a form of parts.
    fn delimiter(&self) -> Option<String> {
        let value = &self.headers.iter().find(|(_, value)| value.starts_with("multipart/"))?.1;
        Some(format!("--{}", value.split_once("boundary=")?.1.trim_matches('"')))
    }

    /// With these parts of a form before its own.
    fn with_form_parts(&self, delimiter: &str, parts: &str) -> Vec<u8> {
        let first = format!("{delimiter}\r\n");
        self.text().replacen(&first, &format!("{parts}{first}"), 1).into_bytes()
    }

    fn nested(&self) -> Vec<u8> {
        let mail = format!(
            "From: a@example.net\r\nTo: app@example.com\r\n{}",
            "Content-Type: message/rfc822\r\n\r\n".repeat(LEVELS)
        );
        if let Some(json) = self.json() {
            let deep = format!("{}1{}", "[".repeat(LEVELS), "]".repeat(LEVELS));
            return match json {
                Value::Object(_) => self.text().replacen('{', &format!("{{\"deep\":{deep},"), 1).into_bytes(),
                _ => self.text().replacen('[', &format!("[{deep},"), 1).into_bytes(),
            };
        }
        match self.delimiter() {
            Some(delimiter) => {
                let header = "Content-Disposition: form-data; name=\"email\"";
                self.with_form_parts(&delimiter, &format!("{delimiter}\r\n{header}\r\n\r\n{mail}\r\n"))
            }
            None if self.is_form() => {
                let name = format!("a{}", "%5Bb%5D".repeat(LEVELS));
                format!("{}&{name}=1&body-mime={}", self.text(), mail.replace(' ', "+")).into_bytes()
            }
            None => mail.into_bytes(),
        }
    }

    fn with_tags(&self) -> Vec<u8> {
        let tags = "<div>".repeat(PARTS);
        if let Some(mut json) = self.json() {
            replace_texts(&mut json, &tags);
            return json.to_string().into_bytes();
        }
        match self.delimiter() {
            Some(delimiter) => {
                let header = "Content-Disposition: form-data; name=\"html\"";
                self.with_form_parts(&delimiter, &format!("{delimiter}\r\n{header}\r\n\r\n{tags}\r\n"))
            }
            None if self.is_form() => {
                format!("Body={tags}&Text={tags}&body-html={tags}&{}", self.text()).into_bytes()
            }
            None => {
                format!("From: a@example.net\r\nTo: app@example.com\r\nContent-Type: text/html\r\n\r\n{tags}")
                    .into_bytes()
            }
        }
    }

    fn in_parts(&self) -> Vec<u8> {
        if let Some(mut json) = self.json() {
            repeat_items(&mut json);
            return json.to_string().into_bytes();
        }
        let mut parts = String::new();
        match self.delimiter() {
            Some(delimiter) => {
                for n in 0..PARTS {
                    let header =
                        format!("Content-Disposition: form-data; name=\"attachment{n}\"; filename=a");
                    write!(parts, "{delimiter}\r\n{header}\r\n\r\nx\r\n").unwrap();
                }
                self.with_form_parts(&delimiter, &parts)
            }
            None if self.is_form() => {
                for n in 0..PARTS {
                    write!(parts, "&MediaUrl{n}=https://a.example/{n}&Media{n}=https://a.example/{n}")
                        .unwrap();
                }
                format!("NumMedia={PARTS}&{}{parts}", self.text()).into_bytes()
            }
            None => {
                parts.push_str("From: a@example.net\r\nTo: app@example.com\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n");
                parts.push_str(&"--b\r\nContent-Disposition: attachment\r\n\r\nx\r\n".repeat(PARTS));
                parts.into_bytes()
            }
        }
    }

    fn with_invalid_utf8(&self) -> Vec<u8> {
        let mut body = self.body.clone();
        let middle = body.len() / 2;
        body.splice(middle..middle, [0xff, 0xc0, 0x80, 0xed, 0xa0, 0x80]);
        body
    }

    fn truncated(&self) -> Vec<u8> {
        self.body[..self.body.len() / 2].to_vec()
    }
}

/// Texts that people write.
fn replace_texts(value: &mut Value, text: &str) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| replace_texts(item, text)),
        Value::Object(fields) => {
            for (name, field) in fields {
                let is_text =
                    ["text", "body", "TextBody", "HtmlBody", "Message", "content"].contains(&name.as_str());
                match field {
                    Value::String(old) if is_text => *old = text.to_owned(),
                    field => replace_texts(field, text),
                }
            }
        }
        _ => {}
    }
}

/// The first list with something in it, a hundred thousand times as long; else a new one.
fn repeat_items(value: &mut Value) {
    fn first_list(value: &mut Value) -> Option<&mut Vec<Value>> {
        match value {
            Value::Array(items) if !items.is_empty() => Some(items),
            Value::Object(fields) => fields.values_mut().find_map(first_list),
            _ => None,
        }
    }
    match first_list(value) {
        Some(items) => *items = vec![items[0].clone(); PARTS / 10],
        None => value["media"] = vec![json!({"url": "https://a.example/1"}); PARTS].into(),
    }
}

fn config() -> String {
    let mut toml = String::new();
    for kind in KINDS {
        let settings = read(&contract(kind).join("settings.json"));
        write!(toml, "[[providers]]\nid = \"{0}\"\nkind = \"{0}\"\nverify = false\n", kind.name).unwrap();
        // A simulated provider, at which nothing is to be had.
        let scheme = if kind.name == "smtp" { "smtp" } else { "http" };
        writeln!(toml, "base_url = \"{scheme}://127.0.0.1:9\"").unwrap();
        for (key, value) in settings["values"].as_object().unwrap().iter().filter(|(key, _)| *key != "host") {
            writeln!(toml, "{key} = {value}").unwrap();
        }
    }
    toml
}

async fn post(server: &Server, kind: &Kind, sample: &Sample, body: Vec<u8>) -> (StatusCode, Duration) {
    let headers: Vec<(&str, &str)> = sample.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let target = format!("/api/webhooks/{}?{}", kind.name, sample.query);
    let began = Instant::now();
    let answer = server.client.send(sample.method.clone(), &target, &headers, Bytes::from(body)).await;
    (answer.status, began.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_foreign_content_of_any_kind_ends_or_stalls_the_server() {
    let server = server_with(&config(), "127.0.0.1:0", Clock::System).await;
    let (mut table, mut slowest, mut count) = (String::new(), Duration::ZERO, 0);
    for kind in KINDS {
        let sample = Sample::of(kind);
        write!(table, "{:<12}", kind.name).unwrap();
        for (content, alter) in CONTENTS {
            let body = alter(&sample);
            let (status, took) = post(&server, kind, &sample, body).await;
            let is_answer = status.is_success() || status.is_client_error() || status == 503;
            assert!(is_answer, "{content} of {}: {status}", kind.name);
            assert!(took < TIME_MAX, "{content} of {}: {took:?}", kind.name);
            write!(table, " {:>3} {:>6.0?}", status.as_u16(), took).unwrap();
            slowest = slowest.max(took);
            count += 1;
        }
        table.push('\n');
        server.client.get("/healthz").await.expect(200);
    }
    assert_eq!(count, 17 * CONTENTS.len());
    println!(
        "{:?}\n{table}{count} webhooks, the slowest after {slowest:?}",
        CONTENTS.map(|(content, _)| content)
    );
}

//! The authorisation matrix: every route with every kind of credential, Host and Origin, on a server with keys and on an
//! open one. The routes are read from the sources of the routers: one that is not in the table fails the test.

#[path = "authorisation/table.rs"]
mod table;

use std::collections::BTreeMap;

use app_db::keys::Role;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use service::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use self::table::Guard::{self, Action, Login, Page};
use self::table::{Credential, HOSTS, ORIGINS, ROUTES, is_let_in, is_let_in_when_open};
use crate::authentication::{create_key_of, with_key};
use crate::console::submit;
use crate::server::{CONFIG, Server, server, server_with};

/// `GET /path` of every `.route("/path", get(...))` in a source.
fn routes_in(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for rest in source.split(".route(").skip(1) {
        let mut depth = 1;
        let end = rest.find(|c| {
            depth += match c {
                '(' => 1,
                ')' => -1,
                _ => 0,
            };
            depth == 0
        });
        let call = &rest[..end.unwrap()];
        let (path, handlers) = call.split_once('"').and_then(|(_, rest)| rest.split_once('"')).unwrap();
        for (method, name) in
            [("get(", "GET"), ("post(", "POST"), ("patch(", "PATCH"), ("put(", "PUT"), ("delete(", "DELETE")]
        {
            let is_call =
                |at: usize| !handlers[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
            if handlers.match_indices(method).any(|(at, _)| is_call(at)) {
                found.push(format!("{name} {path}"));
            }
        }
    }
    found
}

#[test]
fn every_route_is_in_the_matrix() {
    let mut in_sources = routes_in(include_str!("../../src/router.rs"));
    in_sources.extend(routes_in(include_str!("../../src/console.rs")));
    in_sources.sort();
    let mut in_matrix: Vec<String> = ROUTES.iter().map(|(_, route)| (*route).to_owned()).collect();
    in_matrix.sort();
    assert_eq!(in_sources, in_matrix, "say in ROUTES what a new route asks for");
    let document = serde_json::to_value(app_apiserver::document()).unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "post", "patch", "put", "delete"] {
            let route = format!("{} {path}", method.to_uppercase());
            assert!(item.get(method).is_none() || in_matrix.contains(&route), "{route} is documented only");
        }
    }
}

/// The answer's status, its `Location`, and a problem's code.
struct Verdict {
    status: u16,
    location: String,
    code: String,
}

impl Verdict {
    fn is_let_in(&self, guard: Guard) -> bool {
        match (guard, self.status) {
            // A login without a key is answered 401 by the page itself.
            (Login, 401) => true,
            (_, 401) => false,
            (_, 403) => false,
            (Page | Action, 303) => !self.location.starts_with("/login?"),
            _ => true,
        }
    }
}

async fn ask(server: &Server, route: &str, headers: &[String]) -> Verdict {
    let (method, path) = route.split_once(' ').unwrap();
    let path = path.replace("{provider_id}", "twilio-main").replace("{name}", "x").replace("{id}", "x");
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    for header in headers {
        head.push_str(&format!("{header}\r\n"));
    }
    if method == "POST" {
        let is_form = !path.starts_with("/api/");
        let content_type = if is_form { "application/x-www-form-urlencoded" } else { "application/json" };
        head.push_str(&format!("content-type: {content_type}\r\ncontent-length: 0\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    let mut buffer = [0_u8; 8192];
    // A live page goes on for ever: its head is enough.
    loop {
        let count = stream.read(&mut buffer).await.unwrap();
        answer.push_str(&String::from_utf8_lossy(&buffer[..count]));
        let has_head = answer.contains("\r\n\r\n");
        let is_refusal = answer.starts_with("HTTP/1.1 4");
        if count == 0 || (has_head && !is_refusal) {
            break;
        }
    }
    let header = |name: &str| {
        let line = answer.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_default().to_owned()
    };
    let code = answer.split_once("\"code\":\"").and_then(|(_, rest)| rest.split('"').next());
    Verdict {
        status: answer.get(9..12).and_then(|text| text.parse().ok()).unwrap_or_default(),
        location: header("location"),
        code: code.unwrap_or_default().to_owned(),
    }
}

#[derive(Default)]
struct Matrix {
    /// By guard and by credential: let in, and refused.
    counts: BTreeMap<(Guard, Credential), (usize, usize)>,
    wrong: Vec<String>,
}

impl Matrix {
    #[expect(clippy::too_many_arguments, reason = "one cell of the matrix")]
    fn note(
        &mut self,
        guard: Guard,
        route: &str,
        credential: Credential,
        host: &str,
        origin: Option<&str>,
        verdict: &Verdict,
        expected: bool,
    ) {
        let is_let_in = verdict.is_let_in(guard);
        let counts = self.counts.entry((guard, credential)).or_default();
        if is_let_in {
            counts.0 += 1;
        } else {
            counts.1 += 1;
        }
        if is_let_in != expected {
            let Verdict { status, location, code } = verdict;
            self.wrong.push(format!(
                "{route} with {credential:?}, Host {host}, Origin {origin:?}: {status} {code} {location}"
            ));
        }
    }

    fn print(&self, title: &str) {
        println!("{title}: let in / refused");
        for ((guard, credential), (let_in, refused)) in &self.counts {
            println!("  {guard:<10?} {credential:<14?} {let_in:>4} / {refused}");
        }
        let total: usize = self.counts.values().map(|(let_in, refused)| let_in + refused).sum();
        println!("  {total} requests, {} with the wrong outcome", self.wrong.len());
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
    }
}

fn common(host: &str, origin: Option<&str>) -> Vec<String> {
    let mut headers = vec![format!("host: {host}")];
    headers.extend(origin.map(|origin| format!("origin: https://{origin}")));
    headers
}

async fn session(server: &Server, key: &str) -> String {
    let answer = submit(&server.client, "/login", &format!("key={key}")).await.expect(303);
    answer.header("set-cookie").split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn every_route_lets_in_whom_it_should_on_a_server_with_keys() {
    let config = format!("{CONFIG}\n[webhooks]\nsecret = \"hush\"\n");
    let server = server_with(&config, "127.0.0.1:0", Clock::System).await;
    let operator = create_key_of(&server.database, 1, Role::Operator).await;
    let application = create_key_of(&server.database, 2, Role::Application).await;
    let revoked = create_key_of(&server.database, 3, Role::Operator).await;
    server
        .execute(&format!("update api_keys set revoked_at = now() where prefix = '{}'", &revoked[..10]))
        .await;
    testkit::until("the keys count", async || {
        let mut count = with_key(&server.client, &revoked).get("/api/messages").await.status == 401;
        for key in [&operator, &application] {
            count &= with_key(&server.client, key).get("/api/messages").await.status == 200;
        }
        count.then_some(())
    })
    .await;
    let mut cookie = session(&server, &operator).await;
    let mut matrix = Matrix::default();
    for &(guard, route) in ROUTES {
        for credential in Credential::ALL {
            let basic = |text: String| Some(format!("authorization: Basic {}", BASE64.encode(text)));
            for host in HOSTS {
                for origin in ORIGINS {
                    let header = match credential {
                        Credential::None => None,
                        Credential::Wrong => Some("authorization: Bearer wrong".to_owned()),
                        Credential::Revoked => Some(format!("authorization: Bearer {revoked}")),
                        Credential::Application => Some(format!("authorization: Bearer {application}")),
                        Credential::Operator => Some(format!("authorization: Bearer {operator}")),
                        Credential::BasicUser => basic(format!("{operator}:")),
                        Credential::BasicPassword => basic(format!("api:{operator}")),
                        Credential::WebhookSecret => Some("authorization: Bearer hush".to_owned()),
                        Credential::Session => Some(format!("cookie: {cookie}")),
                    };
                    let headers: Vec<String> = common(host, origin).into_iter().chain(header).collect();
                    let verdict = ask(&server, route, &headers).await;
                    let expected = is_let_in(guard, credential, host, origin);
                    matrix.note(guard, route, credential, host, origin, &verdict, expected);
                    if route == "POST /logout" && credential == Credential::Session && expected {
                        cookie = session(&server, &operator).await;
                    }
                }
            }
        }
    }
    matrix.print("With keys");
}

#[tokio::test]
async fn every_route_lets_in_whom_it_should_on_an_open_server() {
    let server = server().await;
    let mut matrix = Matrix::default();
    for &(guard, route) in ROUTES {
        for host in HOSTS {
            for origin in ORIGINS {
                let verdict = ask(&server, route, &common(host, origin)).await;
                let expected = is_let_in_when_open(guard, host, origin);
                matrix.note(guard, route, Credential::None, host, origin, &verdict, expected);
            }
        }
    }
    matrix.print("Without keys");
    assert_eq!(server.count("api_keys").await + server.count("messages").await, 0);
}

//! Stands where providers reach us, passes on what they send, and keeps it, so that it can be sent again, damaged.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{Method, StatusCode};
use testkit::{Answer, HttpClient};
use tokio::net::TcpListener;

use super::lines::Proof;

const BODY_BYTES_MAX: usize = 32 << 20;

/// A webhook as it came.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    method: Method,
    target: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    pub(crate) url: String,
    recorded: Arc<Mutex<Vec<Recorded>>>,
}

#[derive(Clone)]
struct Passage {
    to: HttpClient,
    recorded: Arc<Mutex<Vec<Recorded>>>,
}

impl Recorder {
    /// On its port at once; passes on to `to`.
    pub(crate) async fn start(to: HttpClient) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let recorded = Arc::default();
        let passage = Passage { to, recorded: Arc::clone(&recorded) };
        let router = Router::new().fallback(pass_on).with_state(passage);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, recorded }
    }

    /// What has come for a provider so far.
    pub(crate) fn of(&self, provider_id: &str) -> Vec<Recorded> {
        let path = format!("/api/webhooks/{provider_id}");
        let is_its = |webhook: &&Recorded| webhook.target.split('?').next() == Some(&path);
        self.recorded.lock().unwrap().iter().filter(is_its).cloned().collect()
    }
}

async fn pass_on(State(passage): State<Passage>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let own = ["host", "content-length", "transfer-encoding", "connection"];
    let headers = parts.headers.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    let recorded = Recorded {
        method: parts.method,
        target: parts.uri.path_and_query().unwrap().to_string(),
        headers: headers
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect(),
        body: to_bytes(body, BODY_BYTES_MAX).await.unwrap(),
    };
    // Before it arrives: what it changes is not seen sooner.
    passage.recorded.lock().unwrap().push(recorded.clone());
    match recorded.try_send_to(&passage.to).await {
        Some(answer) => (answer.status, answer.body).into_response(),
        None => StatusCode::BAD_GATEWAY.into_response(),
    }
}

impl Recorded {
    pub(crate) async fn send_to(&self, to: &HttpClient) -> Answer {
        self.try_send_to(to).await.unwrap()
    }

    async fn try_send_to(&self, to: &HttpClient) -> Option<Answer> {
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        to.try_send(self.method.clone(), &self.target, &headers, self.body.clone()).await.ok()
    }

    /// The same for another provider.
    pub(crate) fn sent_to(&self, provider_id: &str) -> Self {
        let query = self.target.split_once('?').map(|(_, query)| format!("?{query}")).unwrap_or_default();
        Self { target: format!("/api/webhooks/{provider_id}{query}"), ..self.clone() }
    }

    /// With one character of the proof changed.
    pub(crate) fn damaged(&self, proof: Proof) -> Self {
        let mut damaged = self.clone();
        match proof {
            Proof::Headers(names) => {
                let proofs = damaged.headers.iter_mut().filter(|(name, _)| names.contains(&name.as_str()));
                let changed =
                    proofs.map(|(_, value)| *value = with_another(value, value.len() * 2 / 3, 'A', 'B'));
                assert_ne!(changed.count(), 0, "{names:?} of {self:?}");
            }
            Proof::HexInBody => {
                let body = String::from_utf8(self.body.to_vec()).unwrap();
                let is_hex =
                    |place: &usize| body.as_bytes()[*place..*place + 64].iter().all(u8::is_ascii_hexdigit);
                let place = (0..body.len().saturating_sub(63)).find(is_hex).expect("a signature");
                damaged.body = with_another(&body, place + 32, '0', '1').into();
            }
            Proof::Secret => {
                let place = self.target.find("secret=").expect("a secret") + "secret=".len();
                damaged.target = with_another(&self.target, place + 5, 'x', 'y');
            }
            Proof::Sns => {
                let mut body: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
                let signature = body["Signature"].as_str().unwrap();
                body["Signature"] = with_another(signature, 7, '!', '?').into();
                damaged.body = body.to_string().into();
            }
        }
        damaged
    }
}

/// `one` in that place, or `other` if that is there already.
fn with_another(text: &str, place: usize, one: char, other: char) -> String {
    let is = text.chars().nth(place);
    let put = if is == Some(one) { other } else { one };
    text.chars().enumerate().map(|(at, character)| if at == place { put } else { character }).collect()
}

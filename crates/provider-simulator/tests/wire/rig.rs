//! A simulator on a port of its own, a client that keeps connections, and a target for webhooks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::DecodePublicKey as _;
use provider_simulator::{
    DEMO_SENDGRID_API_KEY, DEMO_SENDGRID_WEBHOOK_PUBLIC_KEY, DEMO_TWILIO_ACCOUNT_SID, DEMO_TWILIO_AUTH_TOKEN,
    Options, Receipts, Simulator, twilio_signature,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

const SAFETY: Duration = Duration::from_secs(20);
pub(crate) const MESSAGE_ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// Receipts leave at once.
pub(crate) fn options() -> Options {
    let receipts = Receipts { enabled: true, sent_after_ms: 0, delivered_after_ms: 0 };
    Options { receipts, seed: Some(7), ..Options::default() }
}

pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SAFETY, future).await.expect("nothing arrived in time")
}

/// Calls a simulator.
pub(crate) struct Caller {
    pub url: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// A simulator of this process, and its caller.
pub(crate) struct Rig {
    pub simulator: Simulator,
    caller: Caller,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
    shutdown: CancellationToken,
    _ends_with_the_test: DropGuard,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {:?}", self.body))
    }
}

impl Rig {
    pub(crate) async fn start(options: Options) -> Self {
        let simulator = Simulator::new(options).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let served = tokio::spawn({
            let (simulator, shutdown) = (simulator.clone(), shutdown.clone());
            async move { simulator.serve(listener, shutdown).await }
        });
        let _ends_with_the_test = shutdown.clone().drop_guard();
        Self { simulator, caller: Caller::new(url), served, shutdown, _ends_with_the_test }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        drop(self.caller);
        in_time(self.served).await.unwrap().unwrap();
    }
}

impl std::ops::Deref for Rig {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl Caller {
    pub(crate) fn new(url: String) -> Self {
        Self { url, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Nothing where the connection broke or was refused, before the answer's end.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Option<Answer> {
        let mut request = http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        in_time(async {
            let (head, body) = self.client.request(request).await.ok()?.into_parts();
            let body = body.collect().await.ok()?.to_bytes();
            Some(Answer { status: head.status.as_u16(), headers: head.headers, body })
        })
        .await
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.call(Method::GET, path, &[], "").await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, &[], body.to_string()).await.unwrap()
    }

    /// Puts a fault in force for whatever fits `matches`.
    pub(crate) async fn fault(&self, fault: Value, matches: Value) {
        let answer = self.post("/faults", json!({ "match": matches, "fault": fault })).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    pub(crate) async fn try_sms(&self, form: &[(&str, &str)]) -> Option<Answer> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let headers = [("authorization", &*basic()), ("content-type", "application/x-www-form-urlencoded")];
        self.call(Method::POST, &messages_path(), &headers, body).await
    }

    pub(crate) async fn sms(&self, form: &[(&str, &str)]) -> Answer {
        self.try_sms(form).await.expect("the connection broke")
    }

    pub(crate) async fn try_mail(&self, mail: &Value) -> Option<Answer> {
        let authorization = format!("Bearer {DEMO_SENDGRID_API_KEY}");
        let headers = [("authorization", &*authorization), ("content-type", "application/json")];
        self.call(Method::POST, "/v3/mail/send", &headers, mail.to_string()).await
    }

    pub(crate) async fn mail(&self, mail: &Value) -> Answer {
        self.try_mail(mail).await.expect("the connection broke")
    }
}

pub(crate) fn basic() -> String {
    format!("Basic {}", STANDARD.encode(format!("{DEMO_TWILIO_ACCOUNT_SID}:{DEMO_TWILIO_AUTH_TOKEN}")))
}

pub(crate) fn messages_path() -> String {
    format!("/2010-04-01/Accounts/{DEMO_TWILIO_ACCOUNT_SID}/Messages.json")
}

/// A text message without a callback.
pub(crate) const PLAIN: [(&str, &str); 3] =
    [("From", "+12025550100"), ("To", "+12025550199"), ("Body", "Hello")];

pub(crate) fn plain_mail() -> Value {
    json!({
        "personalizations": [{
            "to": [{ "email": "ann@example.net" }],
            "custom_args": { "app_message_id": MESSAGE_ID, "app_attempt": "2" },
        }],
        "from": { "email": "app@example.com" },
        "subject": "Hi",
        "content": [{ "type": "text/plain", "value": "Hello Ann" }],
    })
}

/// A webhook as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Hook {
    pub url: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Hook {
    pub(crate) fn form(&self) -> BTreeMap<String, String> {
        form_urlencoded::parse(&self.body).into_owned().collect()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The signing function is proven by the vectors; here the URL and the form are what is judged.
    pub(crate) fn assert_signed_by_twilio(&self) {
        let form: Vec<(String, String)> = form_urlencoded::parse(&self.body).into_owned().collect();
        let expected = twilio_signature(DEMO_TWILIO_AUTH_TOKEN, &self.url, &form);
        assert_eq!(self.header("x-twilio-signature"), expected);
    }

    pub(crate) fn signed_events(&self) -> Vec<Value> {
        assert!(self.body.ends_with(b"]\r\n"));
        let timestamp = self.header("x-twilio-email-event-webhook-timestamp");
        let signature = self.header("x-twilio-email-event-webhook-signature");
        assert!(is_signed(DEMO_SENDGRID_WEBHOOK_PUBLIC_KEY, timestamp, &self.body, signature));
        serde_json::from_slice(&self.body).unwrap()
    }
}

pub(crate) fn is_signed(public_key: &str, timestamp: &str, body: &[u8], signature: &str) -> bool {
    let key = VerifyingKey::from_public_key_der(&STANDARD.decode(public_key).unwrap()).unwrap();
    let signature = Signature::from_der(&STANDARD.decode(signature).unwrap()).unwrap();
    key.verify(&[timestamp.as_bytes(), body].concat(), &signature).is_ok()
}

/// A target for webhooks.
pub(crate) struct Target {
    pub url: String,
    hooks: mpsc::UnboundedReceiver<Hook>,
    statuses: Arc<Mutex<VecDeque<u16>>>,
}

#[derive(Clone)]
struct Taken {
    base: String,
    hooks: mpsc::UnboundedSender<Hook>,
    statuses: Arc<Mutex<VecDeque<u16>>>,
}

impl Target {
    pub(crate) async fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn on(listener: TcpListener) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, hooks) = mpsc::unbounded_channel();
        let statuses = Arc::new(Mutex::new(VecDeque::new()));
        let state = Taken { base: url.clone(), hooks: sender, statuses: Arc::clone(&statuses) };
        let router = Router::new().fallback(take).with_state(state);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, hooks, statuses }
    }

    /// The answers to the next webhooks; 200 after them.
    pub(crate) fn answer_with(&self, statuses: &[u16]) {
        self.statuses.lock().unwrap().extend(statuses);
    }

    pub(crate) async fn next(&mut self) -> Hook {
        in_time(self.hooks.recv()).await.unwrap()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.hooks.is_empty()
    }
}

async fn take(State(taken): State<Taken>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let url = format!("{}{}", taken.base, head.uri);
    let body = body.collect().await.unwrap().to_bytes();
    let status = taken.statuses.lock().unwrap().pop_front().unwrap_or(200);
    let _ = taken.hooks.send(Hook { url, headers: head.headers, body });
    StatusCode::from_u16(status).unwrap().into_response()
}

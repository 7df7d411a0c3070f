//! The simulator's page, in a demonstration: faults by button, so that an outage and its recovery can be watched, and
//! somebody who writes to us. Speaks to the simulator's control API (docs/simulator.md).

use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::form::{self, see};
use super::layout::{self, Section};
use super::live::{self, At};
use super::session::Session;
use super::trouble::Trouble;
use crate::App;
use crate::authentication::Caller;
use crate::fields::Text;
use crate::problem::Problem;

const TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 1 << 20;
const TEXT_CHARS_MAX: usize = 1600;

/// Where the simulator is, and who speaks to it.
pub(super) struct Simulator {
    url: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Simulator {
    pub(super) fn new(url: String) -> Self {
        Self { url, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Problem> {
        let away = |why: String| {
            let detail = format!("the simulator at {} cannot be spoken to: {why}", self.url);
            Problem::new(StatusCode::BAD_GATEWAY, "simulator_unavailable", detail)
        };
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body))
            .map_err(|error| Problem::internal().because(error))?;
        let call = async {
            let response = self.client.request(request).await.map_err(|error| error.to_string())?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            Ok::<_, String>((status, body.map_err(|error| error.to_string())?.to_bytes()))
        };
        let answered = tokio::time::timeout(TIMEOUT, call).await;
        let (status, body) = answered.map_err(|_| away("no answer in time".to_owned()))?.map_err(away)?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_success() {
            return Ok(answer);
        }
        let why = answer["error"].as_str().map_or_else(|| status.to_string(), str::to_owned);
        Err(Problem::bad_request("simulator_refused", format!("the simulator says: {why}")))
    }
}

fn simulator(app: &App) -> Result<&Simulator, Problem> {
    let detail = "there is no simulator here: `app up` without providers of your own starts one";
    app.console.simulator.as_ref().ok_or_else(|| Problem::not_found("no_simulator", detail))
}

/// A fault by button: its name, what it does, and the rule that does it.
fn faults() -> [(&'static str, &'static str, Value); 7] {
    let sms = json!({ "kind": "twilio" });
    [
        (
            "Outage of 30 s",
            "Every SMS is answered 503. The breaker opens, messages wait, and go when it is over.",
            json!({ "match": sms, "fault": { "type": "outage", "for_s": 30 } }),
        ),
        (
            "Too many requests",
            "The next 20 calls are answered 429, wait 2 s.",
            json!({ "match": sms, "fault": { "type": "throttle", "retry_after_s": 2 }, "times": 20 }),
        ),
        (
            "Slow",
            "The next 20 answers take 5 s.",
            json!({ "match": sms, "fault": { "type": "hang", "for_s": 5 }, "times": 20 }),
        ),
        (
            "No answer",
            "The next message is accepted and the connection breaks: nobody knows whether it was taken.",
            json!({ "match": sms, "fault": { "type": "accept_then_reset" }, "times": 1 }),
        ),
        (
            "Undelivered",
            "The carrier refuses the next 5 messages.",
            json!({ "match": sms, "fault": { "type": "undelivered" }, "times": 5 }),
        ),
        (
            "Late receipts",
            "The next 20 receipts come 10 s late.",
            json!({ "match": sms, "fault": { "type": "late_receipts", "delay_ms": 10000 }, "times": 20 }),
        ),
        (
            "Wrong credentials",
            "The next call is answered 401: the account is halted until it answers again.",
            json!({ "match": sms, "fault": { "type": "status", "status": 401 }, "times": 1 }),
        ),
    ]
}

pub(super) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Trouble> {
    let in_force = in_force(&app).await?;
    let main = html! {
        h1 { "Simulator" }
        p { "It stands in for every provider here; nothing leaves this machine. Break it, and watch "
            a href="/providers" { "Providers" } " and " a href="/outbox" { "Outbox" } "." }
        h2 { "Faults" }
        ul .faults {
            @for (number, (name, does, _)) in faults().iter().enumerate() {
                li {
                    form .row method="post" action="/simulator/faults" {
                        input type="hidden" name="fault" value=(number);
                        button type="submit" { (name) }
                        span { (does) }
                    }
                }
            }
        }
        h3 { "In force" }
        (live::region("in-force", "/live/simulator", &in_force))
        (inbound())
    };
    Ok(layout::page(&app, caller, Section::Simulator, "Simulator", &main))
}

pub(super) async fn live(
    State(app): State<App>,
    Extension(session): Extension<Session>,
) -> Result<Response, Trouble> {
    live::stream(app, session, At::Other, |app| async move { in_force(&app).await }).await
}

async fn in_force(app: &App) -> Result<Markup, Problem> {
    let active = simulator(app)?.call(Method::GET, "/faults", None).await?;
    let rules: Vec<&Value> = active["faults"].as_array().into_iter().flatten().collect();
    Ok(html! {
        @if rules.is_empty() {
            p { "None." }
        } @else {
            ul {
                @for rule in rules {
                    li {
                        code { (rule["fault"]["type"].as_str().unwrap_or_default()) }
                        ", has met " (rule["hits"])
                        @if let Some(times) = rule["times"].as_u64() { " of " (times) }
                        " calls"
                        @if let Some(left) = rule["ends_in_s"].as_f64() { ", ends in " (left.ceil()) " s" }
                    }
                }
            }
            form method="post" action="/simulator/faults/clear" { button type="submit" .plain { "End all" } }
        }
    })
}

fn inbound() -> Markup {
    html! {
        h2 { "Somebody writes to us" }
        form .stack method="post" action="/simulator/inbound" {
            label for="from" { "From" }
            input #from name="from" value="+12025550199" required;
            label for="to" { "To" }
            input #to name="to" value="+12025550100" required;
            label for="text" { "Text" }
            textarea #text name="body" rows="2" required maxlength=(TEXT_CHARS_MAX) { "Hello?" }
            button type="submit" { "Deliver" }
        }
        p .quiet { "An address with an @ is delivered as an email." }
    }
}

/// For an inbox without a conversation: one by a click, which answers.
pub(super) fn first_contact() -> Markup {
    html! {
        form .row method="post" action="/simulator/inbound" {
            input type="hidden" name="from" value="+12025550199";
            input type="hidden" name="to" value="+12025550100";
            input type="hidden" name="body" value="Hello! I am simulated: answer me, and I answer back.";
            button type="submit" { "Have somebody write to you" }
        }
    }
}

pub(super) async fn add_fault(State(app): State<App>, request: Request) -> Result<Response, Trouble> {
    let mut fields = form::read(&app, request).await?;
    let number: Option<usize> = fields.text("fault", Text::Line, 3).and_then(|text| text.parse().ok());
    let all = faults();
    let Some((_, _, rule)) = number.and_then(|number| all.get(number)) else {
        return Err(Problem::bad_request("unknown_fault", "there is no such fault").into());
    };
    simulator(&app)?.call(Method::POST, "/faults", Some(rule)).await?;
    Ok(see("/simulator"))
}

pub(super) async fn clear_faults(State(app): State<App>) -> Result<Response, Trouble> {
    simulator(&app)?.call(Method::DELETE, "/faults", None).await?;
    Ok(see("/simulator"))
}

pub(super) async fn write_to_us(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Trouble> {
    let mut fields = form::read(&app, request).await?;
    let from = fields.required_text("from", Text::Line, 320).unwrap_or_default();
    let to = fields.required_text("to", Text::Line, 320).unwrap_or_default();
    let body = fields.required_text("body", Text::Lines, TEXT_CHARS_MAX).unwrap_or_default();
    fields.finish()?;
    let kind = if to.contains('@') { "sendgrid" } else { "twilio" };
    let webhook_url = app
        .config
        .providers
        .iter()
        .find(|provider| provider.kind.name == kind)
        .map(|provider| format!("{}/api/webhooks/{}", app.config.public_url, provider.id));
    let mut asked = json!({ "kind": kind, "from": from, "to": to, "body": body });
    if kind == "sendgrid" {
        asked["subject"] = "Hello".into();
    } else if let Some(url) = webhook_url {
        // SendGrid's knows the secret in its address; Twilio's is told by each message, and this one answers none.
        asked["webhook_url"] = url.into();
    }
    let answer = simulator(&app)?.call(Method::POST, "/inbound", Some(&asked)).await?;
    let statuses = answer["statuses"].as_array().cloned().unwrap_or_default();
    if statuses.iter().all(|status| status.as_u64().is_some_and(|status| status < 300))
        && !statuses.is_empty()
    {
        return Ok(see("/"));
    }
    // As a provider that is refused: what came is in quarantine.
    let main = html! {
        h1 { "Simulator" }
        p .bad role="alert" { "The webhook was not taken: " (answer) }
        p { a href="/quarantine" { "Quarantine" } " " a href="/simulator" { "Back" } }
    };
    Ok(layout::still(&app, caller, Section::Simulator, "Simulator", &main))
}

//! An axum server that reads a request and answers 202, in this program: what HTTP alone costs.

use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use http::Method;
use tokio::net::TcpListener;

use crate::bench::Bench;
use crate::connection::{Loop, request};
use crate::people::{self, BODY, KNOWN, SENDER};

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let answer = |_: Bytes| async { (StatusCode::ACCEPTED, r#"{"status":"outbox"}"#) };
    let router = Router::new().route("/api/messages/sms", post(answer));
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let make = Arc::new(|n| {
        let to = people::nth(n, KNOWN);
        let body = format!(r#"{{"from":"{SENDER}","to":"{to}","type":"sms","body":"{BODY}"}}"#);
        request(Method::POST, "/api/messages/sms", &[("content-type", "application/json")], body)
    });
    let answered = Loop::new(address, bench.plan.time, make, 202).run().await;
    serving.abort();
    bench.samples.add("bare server/s", answered?.per_second());
    Ok(())
}

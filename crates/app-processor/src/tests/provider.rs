//! A provider whose every answer is the test's decision, and comes when the test gives it.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Listens until it is dropped.
pub(super) struct TestProvider {
    pub base_url: String,
    calls: mpsc::UnboundedReceiver<Call>,
    listening: tokio::task::JoinHandle<()>,
}

/// A request that waits for its answer.
pub(super) struct Call {
    pub body: String,
    stream: TcpStream,
}

impl TestProvider {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let (arrived, calls) = mpsc::unbounded_channel();
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let arrived = arrived.clone();
                tokio::spawn(async move {
                    if let Some(call) = read(stream).await {
                        let _ = arrived.send(call);
                    }
                });
            }
        });
        Self { base_url, calls, listening }
    }

    /// The next call, whole.
    pub(super) async fn call(&mut self) -> Call {
        let limit = std::time::Duration::from_secs(30);
        tokio::time::timeout(limit, self.calls.recv()).await.expect("a call comes").unwrap()
    }

    /// That many calls, which are under way at once.
    pub(super) async fn calls(&mut self, count: usize) -> Vec<Call> {
        let mut calls = Vec::new();
        for _ in 0..count {
            calls.push(self.call().await);
        }
        calls
    }

    /// Whether there was no call but those that the test has seen. Only to be asked when none can be under way.
    pub(super) fn has_no_more_calls(&mut self) -> bool {
        self.calls.try_recv().is_err()
    }
}

impl Drop for TestProvider {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Call {
    /// Whether the message goes to the number of these last four digits.
    pub(super) fn is_to(&self, number: u16) -> bool {
        self.body.contains(&format!("To=%2B1202555{number:04}&"))
    }

    /// `headers` are whole lines.
    pub(super) async fn answer(mut self, status: u16, headers: &str, body: &str) {
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status} -\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n");
        // A client that has read enough hangs up.
        let _ = self.stream.write_all(head.as_bytes()).await;
        let _ = self.stream.write_all(body.as_bytes()).await;
        let _ = self.stream.shutdown().await;
    }

    pub(super) async fn accept(self) {
        self.answer(201, "", r#"{"sid":"SM00000000000000000000000000000001","status":"queued"}"#).await;
    }

    /// Promises a longer answer than it gives.
    pub(super) async fn break_off(mut self) {
        let beginning = b"HTTP/1.1 201 -\r\ncontent-length: 100\r\n\r\n{\"sid\":\"SM";
        self.stream.write_all(beginning).await.unwrap();
    }

    /// The peer sees a reset instead of an answer.
    pub(super) fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }
}

async fn read(mut stream: TcpStream) -> Option<Call> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
        });
        if body.len() >= length.unwrap_or(0) {
            let body = body.to_owned();
            return Some(Call { body, stream });
        }
    }
}

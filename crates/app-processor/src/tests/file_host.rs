//! A host of files, which answers each path as the test says, and counts who asks.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Listens until it is dropped.
pub(super) struct FileHost {
    pub port: u16,
    asked: Arc<AtomicUsize>,
    listening: tokio::task::JoinHandle<()>,
}

impl FileHost {
    /// `files` are paths and whole answers, save their length; any other path is never answered.
    pub(super) async fn start(files: &[(&str, &str, &str)]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = |&(path, head, body): &(&str, &str, &str)| {
            let length = match head.contains("chunked") {
                true => String::new(),
                false => format!("content-length: {}\r\n", body.len()),
            };
            (path.to_owned(), format!("HTTP/1.1 {head}\r\nconnection: close\r\n{length}\r\n{body}"))
        };
        let files: Arc<HashMap<String, String>> = Arc::new(files.iter().map(answer).collect());
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream, Arc::clone(&files)));
            }
        });
        Self { port, asked, listening }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for FileHost {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn serve(mut stream: TcpStream, files: Arc<HashMap<String, String>>) {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let request = String::from_utf8_lossy(&bytes);
    match request.split(' ').nth(1).and_then(|path| files.get(path)) {
        Some(answer) => {
            let _ = stream.write_all(answer.as_bytes()).await;
        }
        None => std::future::pending().await,
    }
}

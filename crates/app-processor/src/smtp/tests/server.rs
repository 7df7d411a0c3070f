//! A mail server that says what its script says, and hears what it was told.

use std::net::Ipv4Addr;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::smtp::stream::Stream;

/// A certificate and its key, made for these tests alone.
const SERVER: &[u8] = include_bytes!("tls/server.pem");

/// A step of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Say(&'static str),
    /// A line that must begin so.
    Hear(&'static str),
    /// A mail, up to its last line.
    HearMail,
    /// So many bytes of a mail.
    HearBytes(usize),
    Tls,
    /// Last of its script.
    Reset,
    /// Says nothing more until the client goes.
    Hang,
}

pub(super) struct Server {
    pub(super) port: u16,
    running: JoinHandle<Vec<String>>,
}

impl Server {
    /// A script for each connection, in order. Then it listens no more.
    pub(super) async fn start(scripts: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let running = tokio::spawn(async move {
            let mut heard = Vec::new();
            for script in scripts {
                let (stream, _) = listener.accept().await.unwrap();
                run(stream, script, &mut heard).await;
            }
            heard
        });
        Self { port, running }
    }

    /// Every line and mail that it was told, when all scripts have run.
    pub(super) async fn heard(self) -> Vec<String> {
        let limit = std::time::Duration::from_secs(30);
        tokio::time::timeout(limit, self.running).await.expect("every script runs").unwrap()
    }
}

async fn run(tcp: TcpStream, script: Vec<Step>, heard: &mut Vec<String>) {
    if matches!(script.last(), Some(Step::Reset)) {
        tcp.set_zero_linger().unwrap();
    }
    let mut stream: Stream = Box::new(tcp);
    for step in script {
        match step {
            Step::Say(text) => stream.write_all(format!("{text}\r\n").as_bytes()).await.unwrap(),
            Step::Hear(expected) => {
                let line = until(&mut stream, b"\r\n").await;
                assert!(line.starts_with(expected), "{line:?} is not {expected:?}");
                heard.push(line);
            }
            Step::HearMail => heard.push(until(&mut stream, b"\r\n.\r\n").await),
            Step::HearBytes(count) => {
                let mut bytes = vec![0; count];
                stream.read_exact(&mut bytes).await.unwrap();
            }
            Step::Tls => match acceptor().accept(stream).await {
                Ok(encrypted) => stream = Box::new(encrypted),
                // The client does not trust it.
                Err(_) => return,
            },
            Step::Reset => return,
            Step::Hang => {
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        }
        let _ = stream.flush().await;
    }
    // With bytes unread, it would be a reset.
    let _ = stream.shutdown().await;
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

async fn until(stream: &mut Stream, end: &[u8]) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end) {
        bytes.push(stream.read_u8().await.expect("the client goes on"));
    }
    String::from_utf8(bytes).unwrap()
}

fn acceptor() -> TlsAcceptor {
    let certificates = CertificateDer::pem_slice_iter(SERVER).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(SERVER).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

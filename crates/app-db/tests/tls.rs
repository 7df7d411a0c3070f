//! Every `sslmode` against servers with a private authority, without TLS, and with client certificates, on a real
//! PostgreSQL behind a front that speaks TLS for it.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_rustls::TlsAcceptor;

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// As `pg_hba.conf` refuses a session without TLS.
const NOT_WITHOUT_TLS: &[u8] = b"E\0\0\0\x22SFATAL\0C28000\0Mno encryption\0\0";

fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls")).join(name)
}

/// What a front offers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Offer {
    NoTls,
    TlsOnly,
    TlsWithClientCertificate,
}

struct Front {
    port: u16,
    database: String,
    handshakes: Arc<AtomicUsize>,
}

impl Front {
    async fn start(database: &testkit::TestDatabase, offer: Offer, certificate: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let handshakes = Arc::new(AtomicUsize::new(0));
        let (acceptor, socket) = (acceptor(offer, certificate), socket_of(&database.url));
        let count = Arc::clone(&handshakes);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, offer, acceptor.clone(), socket.clone(), Arc::clone(&count)));
            }
        });
        let name = url::Url::parse(&database.url).unwrap().path().trim_start_matches('/').to_owned();
        Self { port, database: name, handshakes }
    }

    /// Whether a session with these parameters works, and whether it has TLS.
    async fn try_with(&self, parameters: &str) -> Result<bool, String> {
        let before = self.handshakes.load(Ordering::SeqCst);
        let (host, parameters) = match parameters.strip_prefix("as db.example ") {
            Some(rest) => ("host=db.example hostaddr=127.0.0.1", rest),
            None => ("host=localhost", parameters),
        };
        let text = format!("{host} port={} user=app dbname={} {parameters}", self.port, self.database);
        let pool = app_db::connect(&text, 1).map_err(|error| error.to_string())?;
        let client = app_db::pool::get(&pool).await.map_err(|error| format!("{error:?}"))?;
        client.query_one("select 1", &[]).await.unwrap();
        Ok(self.handshakes.load(Ordering::SeqCst) > before)
    }
}

fn socket_of(url: &str) -> String {
    let parsed = url::Url::parse(url).unwrap();
    let folder = parsed.host_str().unwrap().replace("%2F", "/").replace("%2f", "/");
    assert!(folder.starts_with('/'), "the tests' server listens on a socket");
    format!("{folder}/.s.PGSQL.{}", parsed.port().unwrap_or(5432))
}

fn acceptor(offer: Offer, certificate: &str) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = if offer == Offer::TlsWithClientCertificate {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(file("authority.pem")).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let certificates =
        CertificateDer::pem_file_iter(file(certificate)).unwrap().collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(file(certificate)).unwrap();
    Arc::new(builder.with_single_cert(certificates, key).unwrap()).into()
}

async fn serve(
    mut stream: TcpStream,
    offer: Offer,
    acceptor: TlsAcceptor,
    socket: String,
    handshakes: Arc<AtomicUsize>,
) -> std::io::Result<()> {
    let mut first = [0; 8];
    stream.read_exact(&mut first).await?;
    if first != SSL_REQUEST {
        if offer == Offer::NoTls {
            return forward(stream, &socket, &first).await;
        }
        // The rest of the startup message.
        let length = u32::from_be_bytes([first[0], first[1], first[2], first[3]]) as usize;
        stream.read_exact(&mut vec![0; length - 8]).await?;
        stream.write_all(NOT_WITHOUT_TLS).await?;
        return stream.shutdown().await;
    }
    if offer == Offer::NoTls {
        stream.write_all(b"N").await?;
        return forward(stream, &socket, &[]).await;
    }
    stream.write_all(b"S").await?;
    let stream = acceptor.accept(stream).await?;
    handshakes.fetch_add(1, Ordering::SeqCst);
    forward(stream, &socket, &[]).await
}

async fn forward(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    socket: &str,
    read: &[u8],
) -> std::io::Result<()> {
    let mut server = UnixStream::connect(socket).await?;
    server.write_all(read).await?;
    copy_bidirectional(&mut stream, &mut server).await.map(|_| ())
}

#[tokio::test]
async fn every_sslmode_does_with_a_private_authority_as_libpq_does() {
    let database = testkit::database().await;
    let front = Front::start(&database, Offer::TlsOnly, "server.pem").await;
    let (ours, another) = (file("authority.pem"), file("another-authority.pem"));
    let (ours, another) =
        (format!("sslrootcert={}", ours.display()), format!("sslrootcert={}", another.display()));
    for (parameters, works) in [
        ("sslmode=disable".to_owned(), false),
        ("sslmode=allow".to_owned(), true),
        (String::new(), true),
        ("sslmode=prefer".to_owned(), true),
        ("sslmode=require".to_owned(), true),
        (format!("sslmode=require {ours}"), true),
        (format!("sslmode=require {another}"), false),
        (format!("sslmode=prefer {another}"), false),
        (format!("sslmode=verify-ca {ours}"), true),
        (format!("sslmode=verify-ca {another}"), false),
        (format!("sslmode=verify-full {ours}"), true),
        (format!("sslmode=verify-full {another}"), false),
        (format!("as db.example sslmode=verify-ca {ours}"), true),
        (format!("as db.example sslmode=verify-full {ours}"), false),
        ("as db.example sslmode=require".to_owned(), true),
        ("sslmode=verify-full sslrootcert=system".to_owned(), false),
    ] {
        let tried = front.try_with(&parameters).await;
        match &tried {
            Ok(with_tls) => assert!(works && *with_tls, "{parameters}: {tried:?}"),
            Err(error) => assert!(!works, "{parameters}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_server_without_tls_serves_those_that_do_not_insist() {
    let database = testkit::database().await;
    let front = Front::start(&database, Offer::NoTls, "server.pem").await;
    for parameters in ["", "sslmode=disable", "sslmode=allow", "sslmode=prefer"] {
        assert_eq!(front.try_with(parameters).await, Ok(false), "{parameters}");
    }
    let verify_full = format!("sslmode=verify-full sslrootcert={}", file("authority.pem").display());
    for parameters in ["sslmode=require", &verify_full] {
        let error = front.try_with(parameters).await.unwrap_err();
        assert!(error.contains("NoTls"), "{parameters}: {error}");
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_a_server_that_asks_for_one() {
    let database = testkit::database().await;
    let front = Front::start(&database, Offer::TlsWithClientCertificate, "server.pem").await;
    let (certificate, key) = (file("client.pem"), file("client-key.pem"));
    let shown = format!("sslmode=require sslcert={} sslkey={}", certificate.display(), key.display());
    assert_eq!(front.try_with(&shown).await, Ok(true));
    assert!(front.try_with("sslmode=require").await.is_err());
    let no_key =
        front.try_with(&format!("sslmode=require sslcert={}", certificate.display())).await.unwrap_err();
    assert!(no_key.contains("sslkey"), "{no_key}");
    let no_file = front.try_with("sslmode=require sslcert=/nowhere sslkey=/nowhere").await.unwrap_err();
    assert!(no_file.contains("sslkey, /nowhere"), "{no_file}");
}

#[tokio::test]
async fn a_self_signed_certificate_may_be_trusted_itself() {
    let database = testkit::database().await;
    let front = Front::start(&database, Offer::TlsOnly, "self-signed.pem").await;
    let roots = format!("sslrootcert={}", file("self-signed-alone.pem").display());
    for (parameters, works) in [
        (format!("sslmode=verify-ca {roots}"), true),
        (format!("sslmode=verify-full {roots}"), true),
        (format!("as db.example sslmode=verify-full {roots}"), false),
        (format!("sslmode=verify-ca sslrootcert={}", file("authority.pem").display()), false),
    ] {
        let tried = front.try_with(&parameters).await;
        assert_eq!(tried.is_ok(), works, "{parameters}: {tried:?}");
    }
}

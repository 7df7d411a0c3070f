//! The bytes below SMTP: TCP, and TLS by the system's certificates.

use std::fmt;
use std::sync::{Arc, OnceLock};

use providers::{SmtpSecurity, SmtpServer};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::session::Failure;

pub(super) trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

pub(super) type Stream = Box<dyn Bytes>;

/// Makes connections. The certificates are read when the first one needs them.
#[derive(Default)]
pub(super) struct Connector {
    tls: OnceLock<Result<TlsConnector, String>>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl Connector {
    #[cfg(test)]
    pub(super) fn with_roots(roots: RootCertStore) -> Self {
        Self { tls: OnceLock::from(connector(roots)) }
    }

    pub(super) async fn connect(&self, server: &SmtpServer) -> Result<Stream, Failure> {
        let tcp = TcpStream::connect((server.host.as_str(), server.port)).await.map_err(broken)?;
        tcp.set_nodelay(true).map_err(broken)?;
        match server.security {
            SmtpSecurity::Tls => self.encrypt(Box::new(tcp), server).await,
            SmtpSecurity::StartTls | SmtpSecurity::None => Ok(Box::new(tcp)),
        }
    }

    /// The certificate must be one of the configured host's.
    pub(super) async fn encrypt(&self, stream: Stream, server: &SmtpServer) -> Result<Stream, Failure> {
        let tls = self.tls.get_or_init(|| connector(system_roots()?)).as_ref();
        let tls = tls.map_err(|problem| Failure::Broken(problem.clone()))?;
        let name = ServerName::try_from(server.host.clone())
            .map_err(|_| Failure::Broken("the host's name cannot stand in a certificate".to_owned()))?;
        let encrypted = tls.connect(name, stream).await.map_err(broken)?;
        Ok(Box::new(encrypted))
    }
}

fn system_roots() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        return Err(format!("the system's certificates cannot be read: {why}"));
    }
    Ok(roots)
}

fn connector(roots: RootCertStore) -> Result<TlsConnector, String> {
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

pub(super) fn broken(error: std::io::Error) -> Failure {
    Failure::Broken(error.to_string())
}

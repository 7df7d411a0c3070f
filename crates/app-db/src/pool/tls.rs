//! What of a server's certificate is verified, as libpq does: nothing, its authority, or its name too.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::ConnectError;
use super::settings::{Roots, Tls, TlsMode};

/// A maker of TLS sessions; nothing where the settings ask for none.
pub(super) fn connector(tls: &Tls) -> Result<Option<MakeRustlsConnect>, ConnectError> {
    if tls.mode == TlsMode::Disable {
        return Ok(None);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = verifier(tls, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConnectError::Certificates(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match &tls.certificate {
        None => builder.with_no_client_auth(),
        Some(certificate) => {
            let Some(key) = &tls.key else {
                let problem = format!("sslcert names {}, and sslkey names no key", certificate.display());
                return Err(ConnectError::Certificates(problem));
            };
            let read =
                PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable("sslkey", key, &error))?;
            builder
                .with_client_auth_cert(certificates("sslcert", certificate)?, read)
                .map_err(|error| unreadable("sslcert", certificate, &error))?
        }
    };
    Ok(Some(MakeRustlsConnect::new(config)))
}

fn verifier(tls: &Tls, provider: &Arc<CryptoProvider>) -> Result<Arc<Verifier>, ConnectError> {
    let Some(source) = &tls.roots else {
        return Ok(Arc::new(Verifier { provider: Arc::clone(provider), trusted: None, name: false }));
    };
    let certificates = match source {
        Roots::System => rustls_native_certs::load_native_certs().certs,
        Roots::File(path) => certificates("sslrootcert", path)?,
    };
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates.iter().cloned());
    if added == 0 {
        return Err(ConnectError::Certificates("sslrootcert holds no certificate".to_owned()));
    }
    let webpki = WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(provider))
        .build()
        .map_err(|error| ConnectError::Certificates(error.to_string()))?;
    Ok(Arc::new(Verifier {
        provider: Arc::clone(provider),
        trusted: Some(Trusted { webpki, certificates }),
        name: tls.mode == TlsMode::VerifyFull,
    }))
}

fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    read.map_err(|error| unreadable(key, path, &error))
}

fn unreadable(key: &str, path: &Path, error: &dyn fmt::Display) -> ConnectError {
    ConnectError::Certificates(format!("{key}, {}: {error}", path.display()))
}

#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// Nothing: any certificate is taken.
    trusted: Option<Trusted>,
    /// Whether the certificate must be for the server's name.
    name: bool,
}

#[derive(Debug)]
struct Trusted {
    webpki: Arc<WebPkiServerVerifier>,
    certificates: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(Trusted { webpki, certificates }) = &self.trusted else {
            return Ok(ServerCertVerified::assertion());
        };
        match webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.name => Ok(ServerCertVerified::assertion()),
            // A self-signed certificate that is trusted itself. OpenSSL makes them as authorities, which webpki does
            // not take for a server's own.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_)))
                if certificates.iter().any(|trusted| trusted == end_entity) =>
            {
                if self.name {
                    let certificate = rustls::server::ParsedCertificate::try_from(end_entity)?;
                    rustls::client::verify_server_name(&certificate, server_name)?;
                }
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

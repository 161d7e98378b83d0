//! TLS for the port. Owns the certificate; which versions and suites there are is the library's default: 1.2 and 1.3.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A certificate with its key.
#[derive(Clone)]
pub struct TlsConfig(TlsAcceptor);

/// A certificate or key that cannot be used. What is in the key is never shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// Not PEM, or no certificate in it.
    #[error("there is no certificate; give the chain in PEM, the own certificate first")]
    Certificate,
    /// Not PEM, or no key in it.
    #[error("there is no private key; give it in PEM, without a passphrase")]
    Key,
    /// They do not fit together.
    #[error("the certificate and the key cannot be used; check that they belong together")]
    Unusable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl TlsConfig {
    /// Reads a chain of certificates and a private key, both in PEM.
    ///
    /// # Errors
    /// [`TlsError`] if one is missing or they do not belong together.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<_, _>>()
            .map_err(|_| TlsError::Certificate)?;
        if chain.is_empty() {
            return Err(TlsError::Certificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Key)?;
        let unusable = |error: rustls::Error| TlsError::Unusable(error.into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(unusable)?;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        self.0.accept(stream).await
    }
}

impl std::fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsConfig(…)")
    }
}

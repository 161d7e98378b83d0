//! TLS from files to the client library's form. Owns reading certificates and keys, and what is wrong with them; the
//! cryptography is that of `ring` and nothing else.

use std::path::Path;
use std::sync::Arc;

use fred::types::config::{TlsConfig, TlsConnector, TlsHostMapping};
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::{OpenError, RedisTls};

/// Reads the files.
pub(super) fn connector(tls: &RedisTls) -> Result<TlsConfig, OpenError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| OpenError::Tls {
            what: "the build has no usable TLS".to_owned(),
            source: Box::new(error),
        })?
        .with_root_certificates(authorities(tls.ca_file.as_deref())?);
    let config = match (&tls.cert_file, &tls.key_file) {
        (Some(cert), Some(key)) => {
            let chain = certificates(cert)?;
            let private =
                PrivateKeyDer::from_pem_file(key).map_err(|error| unread(key, "a private key", error))?;
            builder.with_client_auth_cert(chain, private).map_err(|error| OpenError::Tls {
                what: format!("{} and {} do not belong together", cert.display(), key.display()),
                source: Box::new(error),
            })?
        }
        (None, None) => builder.with_no_client_auth(),
        _ => {
            return Err(OpenError::Setting {
                what: "the client's certificate or key",
                given: "set alone".to_owned(),
                allowed: "both or none",
            });
        }
    };
    Ok(TlsConfig { connector: TlsConnector::from(config), hostnames: TlsHostMapping::None })
}

/// Whom to trust: the file's authorities, or else the system's.
fn authorities(file: Option<&Path>) -> Result<RootCertStore, OpenError> {
    let mut store = RootCertStore::empty();
    let Some(path) = file else {
        let found = rustls_native_certs::load_native_certs();
        for error in found.errors {
            tracing::debug!(%error, "a certificate of the system is left out");
        }
        store.add_parsable_certificates(found.certs);
        if store.is_empty() {
            return Err(OpenError::Setting {
                what: "the authority to trust",
                given: "not set, and the system has none".to_owned(),
                allowed: "a file with its certificate (PEM)",
            });
        }
        return Ok(store);
    };
    for certificate in certificates(path)? {
        store.add(certificate).map_err(|error| OpenError::Tls {
            what: format!("{} has a certificate that cannot be trusted", path.display()),
            source: Box::new(error),
        })?;
    }
    Ok(store)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, OpenError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => Err(unread(path, "a certificate", PemError::NoItemsFound)),
        Ok(found) => Ok(found),
        Err(error) => Err(unread(path, "a certificate", error)),
    }
}

fn unread(path: &Path, wanted: &str, error: PemError) -> OpenError {
    OpenError::Tls {
        what: format!("{} does not give {wanted} (PEM)", path.display()),
        source: Box::new(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_not_what_they_should_be_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let with_ca = RedisTls { ca_file: Some(path.clone()), ..RedisTls::default() };
        assert!(connector(&with_ca).unwrap_err().to_string().contains("ca.pem does not give a certificate"));
        std::fs::write(&path, "nonsense").unwrap();
        assert!(connector(&with_ca).unwrap_err().to_string().contains("ca.pem does not give a certificate"));
        let alone = RedisTls { cert_file: Some(path), ..RedisTls::default() };
        assert!(connector(&alone).unwrap_err().to_string().contains("both or none"));
    }
}

//! The same inside TLS.

use std::sync::Arc;

use enhanced_locking_server::atlantis::{AtlantisConfig, TlsConfig, TlsError};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::client::{Client, Value};
use crate::common::{KEY, Port, config, of_pull};

#[tokio::test]
async fn a_client_that_trusts_the_certificate_is_served() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let tls = TlsConfig::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
    assert_eq!(format!("{tls:?}"), "TlsConfig(…)");
    let port = Port::with(AtlantisConfig { tls: Some(tls), ..config() }).await;

    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(made.cert.der().to_vec())).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let trusting = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(port.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(trusting)).connect(name, stream).await.unwrap();
    let mut client = Client::over(stream);
    assert!(matches!(client.say("hello 3").await, Value::Map(_)));
    assert_eq!(client.call(&["set", KEY, &of_pull(1)]).await, Value::ok());
    assert_eq!(client.call(&["get", KEY]).await, Value::bulk(of_pull(1)));

    // In clear there is nothing to be had.
    let mut plain = port.client().await;
    plain.send(b"ping\r\n").await;
    assert!(!plain.rest().await.contains("PONG"));
}

#[test]
fn what_is_no_certificate_is_refused() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), other.signing_key.serialize_pem());
    assert!(matches!(TlsConfig::from_pem(b"", key.as_bytes()), Err(TlsError::Certificate)));
    assert!(matches!(TlsConfig::from_pem(chain.as_bytes(), b"x"), Err(TlsError::Key)));
    assert!(matches!(TlsConfig::from_pem(chain.as_bytes(), key.as_bytes()), Err(TlsError::Unusable(_))));
}

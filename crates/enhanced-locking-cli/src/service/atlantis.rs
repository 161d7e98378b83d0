//! The Atlantis port from settings. Owns which setting means what for it.

use std::path::Path;

use enhanced_locking_config::Settings;
use enhanced_locking_server::AuthToken;
use enhanced_locking_server::atlantis::{AtlantisConfig, TlsConfig};

use crate::failure::{Failure, chain};

/// What the settings ask for; `None` without `atlantis.listen`.
///
/// # Errors
/// A [`Failure`] about a certificate that cannot be used.
pub(super) fn config(settings: &Settings) -> Result<Option<AtlantisConfig>, Failure> {
    let atlantis = &settings.atlantis;
    let Some(listen) = atlantis.listen else { return Ok(None) };
    let tls = match (&atlantis.tls.cert_file, &atlantis.tls.key_file) {
        (Some(certificate), Some(key)) => Some(tls(certificate, key)?),
        _ => None,
    };
    Ok(Some(AtlantisConfig {
        listen,
        username: atlantis.username.clone(),
        password: atlantis.password.as_ref().map(|password| AuthToken::new(password.expose())),
        tls,
        max_connections: atlantis.max_connections,
        shutdown_grace: settings.server.shutdown_grace,
        ..AtlantisConfig::default()
    }))
}

fn tls(certificate: &Path, key: &Path) -> Result<TlsConfig, Failure> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))
    };
    TlsConfig::from_pem(&read(certificate)?, &read(key)?)
        .map_err(|error| Failure::new(format!("{}: {}", certificate.display(), chain(&error))))
}

//! How the port listens and how much it takes. Owns the settings and their defaults.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::tls::TlsConfig;
use crate::AuthToken;

/// Settings of an [`AtlantisPort`](super::AtlantisPort).
#[derive(Clone, Debug)]
pub struct AtlantisConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The user name that clients may give besides `default`.
    pub username: Option<String>,
    /// What clients must present; `None` admits everybody.
    pub password: Option<AuthToken>,
    /// The certificate; `None` speaks without TLS.
    pub tls: Option<TlsConfig>,
    /// Connections open at the same time; further ones are refused as Redis does.
    pub max_connections: usize,
    /// How long a connection may be silent between requests. Atlantis opens a new one when it needs it.
    pub idle_timeout: Duration,
    /// How long a client may take to say who it is.
    pub handshake_timeout: Duration,
    /// How long a request may take to arrive in full, and an answer to be taken.
    pub request_timeout: Duration,
    /// How long requests under way have to finish when the service stops.
    pub shutdown_grace: Duration,
}

impl Default for AtlantisConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 6379)),
            username: None,
            password: None,
            tls: None,
            max_connections: 1_000,
            idle_timeout: Duration::from_secs(15 * 60),
            handshake_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            shutdown_grace: Duration::from_secs(10),
        }
    }
}

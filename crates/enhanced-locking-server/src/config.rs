//! How the service listens and how much it takes. Owns the settings and their defaults; files and flags are `enhanced-locking-config`'s.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use enhanced_locking_foundation::Lease;

use crate::WebhookConfig;

/// Settings of a [`Server`](crate::Server).
///
/// ```
/// use enhanced_locking_server::{AuthToken, ServerConfig};
///
/// let config = ServerConfig { auth_token: Some(AuthToken::new("s3cret")), ..ServerConfig::default() };
/// assert_eq!(config.listen.port(), 4141);
/// assert!(!format!("{config:?}").contains("s3cret"));
/// ```
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The longest body of a request, in bytes.
    pub max_body_bytes: usize,
    /// Calls worked on at the same time, without those that wait.
    pub max_in_flight: usize,
    /// Calls that wait for a lock or read events at the same time. Counted apart, so that they cannot starve the others.
    pub max_waiting: usize,
    /// Connections open at the same time; further ones are accepted when one closes.
    pub max_connections: usize,
    /// How long a client may take to send the head of a request, and then its body. Idle connections are closed after it as well.
    pub read_timeout: Duration,
    /// The longest one call may wait for a lock.
    pub longest_wait: Duration,
    /// How often a call that waits shows that its request is still wanted. Must be well below the store's keep-alive.
    pub touch_interval: Duration,
    /// How long calls under way have to finish when the service stops.
    pub shutdown_grace: Duration,
    /// What callers must present; `None` admits everybody.
    pub auth_token: Option<AuthToken>,
    /// The lease of a request that names none.
    pub default_lease: Lease,
    /// Who may report closed pull requests.
    pub webhooks: WebhookConfig,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 4141)),
            max_body_bytes: 1024 * 1024,
            max_in_flight: 1_024,
            max_waiting: 10_000,
            max_connections: 12_000,
            read_timeout: Duration::from_secs(60),
            longest_wait: Duration::from_secs(60 * 60),
            touch_interval: Duration::from_secs(5),
            shutdown_grace: Duration::from_secs(10),
            auth_token: None,
            default_lease: Lease::DEFAULT,
            webhooks: WebhookConfig::default(),
        }
    }
}

/// A secret that callers present. Never printed.
#[derive(Clone)]
pub struct AuthToken(String);

impl AuthToken {
    /// Wraps a secret.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// For signatures.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Compares in constant time, so that a wrong guess does not tell how wrong it is.
    pub(crate) fn matches(&self, given: &str) -> bool {
        self.matches_bytes(given.as_bytes())
    }

    /// The same for what need not be text.
    pub(crate) fn matches_bytes(&self, given: &[u8]) -> bool {
        subtle::ConstantTimeEq::ct_eq(self.0.as_bytes(), given).into()
    }
}

impl std::fmt::Debug for AuthToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuthToken(…)")
    }
}

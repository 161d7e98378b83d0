//! Where a service is and how to talk to it. Owns the checks of both.

use std::time::Duration;

use hyper::header::HeaderValue;
use url::Url;

use crate::api::BASE_PATH;

/// How to reach a service.
///
/// ```
/// use enhanced_locking_client::{RemoteBackend, RemoteConfig};
///
/// let backend = RemoteBackend::new(&RemoteConfig::new("http://127.0.0.1:4141").token("secret"))?;
/// assert_eq!(backend.server(), "http://127.0.0.1:4141");
/// # Ok::<(), enhanced_locking_client::ConnectError>(())
/// ```
#[derive(Clone)]
pub struct RemoteConfig {
    server: String,
    token: Option<String>,
    connect_timeout: Duration,
    answer_timeout: Duration,
}

impl RemoteConfig {
    /// A service by its address, for example `http://127.0.0.1:4141`; a path in front of the API is kept.
    #[must_use]
    pub fn new(server: impl Into<String>) -> Self {
        Self {
            server: server.into(),
            token: None,
            connect_timeout: Duration::from_secs(2),
            answer_timeout: Duration::from_secs(10),
        }
    }

    /// Shows a token to the service.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Sets how long a connection may take to be made; 2 seconds unless set.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how long an answer may take beyond the time that was waited for; 10 seconds unless set.
    #[must_use]
    pub fn answer_timeout(mut self, timeout: Duration) -> Self {
        self.answer_timeout = timeout;
        self
    }

    pub(super) fn answer(&self) -> Duration {
        self.answer_timeout
    }

    pub(super) fn connect(&self) -> Duration {
        self.connect_timeout
    }

    /// The address as given, without the slash at its end.
    pub(super) fn server(&self) -> &str {
        self.server.trim_end_matches('/')
    }

    /// Where the API begins.
    pub(super) fn base(&self) -> Result<Url, ConnectError> {
        let bad =
            |reason: &str| ConnectError::Address { given: self.server.clone(), reason: reason.to_owned() };
        // As given: with the path of the API behind it, a missing host would be taken from there.
        let mut url =
            Url::parse(&self.server).map_err(|_| bad("it is not a URL such as http://127.0.0.1:4141"))?;
        match url.scheme() {
            "http" => {}
            "https" => return Err(bad("this build speaks plain http only; put a TLS proxy in between")),
            _ => return Err(bad("it must begin with http://")),
        }
        if !url.has_host() || url.query().is_some() || url.fragment().is_some() {
            return Err(bad("it must be a host, perhaps a port and a path, and nothing else"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("user and password do not belong there; use a token"));
        }
        let path = format!("{}{BASE_PATH}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Ok(url)
    }

    pub(super) fn authorization(&self) -> Result<Option<HeaderValue>, ConnectError> {
        let Some(token) = &self.token else { return Ok(None) };
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| ConnectError::Token)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

impl std::fmt::Debug for RemoteConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteConfig")
            .field("server", &self.server)
            .field("token", &self.token.as_ref().map(|_| "***"))
            .finish_non_exhaustive()
    }
}

/// A client that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address of the service is not one.
    #[error("{given:?} is not the address of a service: {reason}")]
    Address {
        /// What was given.
        given: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The token cannot be sent.
    #[error("the token has characters that cannot be sent; it must be one line of printable ASCII")]
    Token,
    /// The operating system refused what a client needs.
    #[error("cannot make an HTTP client")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_before_anything_is_sent() {
        for good in ["http://h", "http://h:1/", "http://127.0.0.1:4141/locks/"] {
            let base = RemoteConfig::new(good).base().unwrap();
            assert!(base.path().ends_with(BASE_PATH) && !base.path().contains("//"), "{base}");
        }
        for bad in
            ["", "h:1", "https://h", "ftp://h", "http://", "http://h?x=1", "http://h#a", "http://u:p@h"]
        {
            assert!(RemoteConfig::new(bad).base().is_err(), "{bad}");
        }
    }

    #[test]
    fn tokens_are_never_shown_and_must_be_sendable() {
        let config = RemoteConfig::new("http://h").token("hunter2");
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(config.authorization().unwrap().unwrap().is_sensitive());
        assert!(RemoteConfig::new("http://h").token("a\nb").authorization().is_err());
    }
}

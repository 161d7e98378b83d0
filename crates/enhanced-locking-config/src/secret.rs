//! Owns the type that carries a password or a token through the settings without ever printing it.
//! Does not own where secrets come from (see the loader) nor how they are compared with what a client
//! sends: that needs a constant-time comparison, which the server does.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// A password or token: wiped from memory when dropped, shown as `***` by [`Debug`] and [`Display`](fmt::Display).
///
/// ```
/// use enhanced_locking_config::Secret;
///
/// let token = Secret::new("s3cret".to_owned());
/// assert_eq!(format!("{token:?} {token}"), "*** ***");
/// assert_eq!(token.expose(), "s3cret");
/// ```
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps the text.
    pub fn new(text: String) -> Self {
        Self(SecretString::from(text))
    }

    /// The text itself, for the one place that must send or compare it. Never log it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Tells whether two loaded configurations differ. Not constant-time: never authenticate with it.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

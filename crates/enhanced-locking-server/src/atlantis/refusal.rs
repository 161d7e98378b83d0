//! Errors in the words of the protocol. Owns which of them a client may try again.
//!
//! go-redis sends a command again that was answered `TRYAGAIN`: only what did not happen is answered so. Values are
//! never quoted: they hold tokens.

use enhanced_locking_compat::legacy::{HeldLock, LegacyError};

use super::resp::Reply;

impl Reply {
    /// A refusal that is the same every time.
    pub(super) fn error(text: &'static str) -> Self {
        Self::Error(text.to_owned())
    }
}

impl From<LegacyError> for Reply {
    fn from(error: LegacyError) -> Self {
        if error.is_worth_another_try() {
            tracing::warn!(%error, "the Atlantis port could not answer");
            Self::Error(format!("TRYAGAIN {error}"))
        } else {
            if matches!(error, LegacyError::Store(_)) {
                tracing::warn!(%error, "the Atlantis port could not answer");
            }
            Self::Error(format!("ERR {error}"))
        }
    }
}

/// A lock that somebody else holds: whose it is, since when, and where people see it.
pub(super) fn held_by(held: &HeldLock) -> Reply {
    let request = &held.record.request;
    let url = request.metadata.entries().get("url").map(|url| format!(", see {url}")).unwrap_or_default();
    Reply::Error(format!(
        "ERR locked by {} since {}{url}; wait until it is unlocked",
        request.owner, held.record.acquired_at
    ))
}

//! The key of a pull request's status. Owns what Atlantis refuses in it.

use crate::record::Pull;

/// What parts the three parts.
const SEPARATOR: &str = "::";

/// The pull request whose status is stored.
///
/// ```
/// use enhanced_locking_compat::key::PullKey;
/// let key = PullKey::new("github.com", "acme/infra", 42)?;
/// assert_eq!(key.text(), "github.com::acme/infra::42");
/// assert_eq!(PullKey::parse("github.com::acme/infra::42"), Some(key));
/// assert!(PullKey::new("github.com", "acme::infra", 42).is_err());
/// # Ok::<(), enhanced_locking_compat::key::PullKeyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PullKey {
    host: String,
    repo: String,
    number: i64,
}

/// A part that the key cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PullKeyError {
    /// The host has the separator in it.
    #[error("the name of the host has `::` in it, which parts the key; Atlantis refuses it too")]
    Host,
    /// The repository has the separator in it.
    #[error("the name of the repository has `::` in it, which parts the key; Atlantis refuses it too")]
    Repo,
}

impl PullKey {
    /// The key of a pull request.
    ///
    /// # Errors
    /// [`PullKeyError`] if a name has `::` in it.
    pub fn new(host: &str, repo: &str, number: i64) -> Result<Self, PullKeyError> {
        if host.contains(SEPARATOR) {
            return Err(PullKeyError::Host);
        }
        if repo.contains(SEPARATOR) {
            return Err(PullKeyError::Repo);
        }
        Ok(Self { host: host.to_owned(), repo: repo.to_owned(), number })
    }

    /// The key of a stored pull request.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of(pull: &Pull) -> Result<Self, PullKeyError> {
        Self::new(&pull.base_repo.vcs_host.hostname, &pull.base_repo.full_name, pull.number)
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository.
    #[must_use]
    pub fn repo(&self) -> &str {
        &self.repo
    }

    /// The number of the pull request.
    #[must_use]
    pub fn number(&self) -> i64 {
        self.number
    }

    /// The key, in Redis and in the bolt file.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { host, repo, number } = self;
        format!("{host}{SEPARATOR}{repo}{SEPARATOR}{number}")
    }

    /// Takes a key apart; `None` if Atlantis would not have made it.
    ///
    /// A colon at the edge of a name leaves open to which it belongs; then it is the repository's.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (host, rest) = text.split_once(SEPARATOR)?;
        let (repo, number) = rest.rsplit_once(SEPARATOR)?;
        let key = Self::new(host, repo, number.parse().ok()?).ok()?;
        // Settles signs and zeros in front of the number.
        (key.text() == text).then_some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn runs_without_a_pull_request_have_negative_numbers() {
        assert_eq!(PullKey::parse("h::o/r::-7").unwrap().number(), -7);
    }

    #[test]
    fn other_keys_are_refused() {
        for text in ["", "h::r", "h::r::", "h::r::x", "h::r::+1", "h::r::01", "h::a::b::1", "pr/o/r/p/w/"] {
            assert_eq!(PullKey::parse(text), None, "{text}");
        }
        assert_eq!(PullKey::new("a::b", "r", 1), Err(PullKeyError::Host));
        assert_eq!(PullKey::new("h", "a::b", 1), Err(PullKeyError::Repo));
    }

    proptest! {
        #[test]
        fn keys_survive_the_round_trip(host in "[a-z.:]{0,6}", repo in "[a-z/:]{0,6}", number in any::<i64>()) {
            if let Ok(key) = PullKey::new(&host, &repo, number) {
                let again = PullKey::parse(&key.text());
                let colon = host.ends_with(':') || repo.starts_with(':') || repo.ends_with(':');
                prop_assert!(colon || again.as_ref() == Some(&key));
                prop_assert!(again.is_none_or(|again| again.text() == key.text()));
            }
        }
    }
}

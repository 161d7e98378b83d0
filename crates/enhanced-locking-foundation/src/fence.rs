//! Fencing tokens and the check that a guarded resource makes. Owns the rule that tokens only rise.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Timestamp;

/// A number that rises with every grant of a resource, across release, expiry, force, deletion, restart and failover.
///
/// The rule (design §4): `max(last token + 1, server time in microseconds)`. Below 2^53 until the year 2255, so that it fits JSON and Lua numbers.
///
/// ```
/// use enhanced_locking_foundation::{FencingToken, Timestamp};
/// let first = FencingToken::NONE.next(Timestamp::from_micros(100));
/// assert_eq!(first.as_u64(), 100);
/// assert_eq!(first.next(Timestamp::from_micros(100)).as_u64(), 101);
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct FencingToken(u64);

impl FencingToken {
    /// Lower than every token that is ever granted.
    pub const NONE: Self = Self(0);

    /// A token that was received from elsewhere.
    #[must_use]
    pub const fn from_u64(value: u64) -> Self {
        Self(value)
    }

    /// Its number.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The token of the next grant after this one.
    #[must_use]
    pub fn next(self, now: Timestamp) -> Self {
        Self((self.0 + 1).max(now.as_micros()))
    }
}

impl std::fmt::Display for FencingToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}

impl std::str::FromStr for FencingToken {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// The check a guarded resource makes: a token lower than one already seen belongs to a holder that lost its lock.
///
/// Keep one per guarded resource, where the writes are serialised; for a database, store the highest token in
/// the row and put `token >= ?` into the condition of the update.
///
/// ```
/// use enhanced_locking_foundation::{FenceGuard, FencingToken};
/// let guard = FenceGuard::new();
/// guard.check(FencingToken::from_u64(7))?;
/// guard.check(FencingToken::from_u64(7))?; // the same holder writes again
/// assert!(guard.check(FencingToken::from_u64(6)).is_err());
/// # Ok::<(), enhanced_locking_foundation::StaleToken>(())
/// ```
#[derive(Debug, Default)]
pub struct FenceGuard(AtomicU64);

impl FenceGuard {
    /// A guard that has seen no token.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Admits a token that is at least as high as every token admitted before.
    ///
    /// # Errors
    /// [`StaleToken`] if a higher one was admitted: the caller must not write.
    pub fn check(&self, token: FencingToken) -> Result<(), StaleToken> {
        let seen = self.0.fetch_max(token.0, Ordering::SeqCst);
        if token.0 < seen { Err(StaleToken { given: token, seen: FencingToken(seen) }) } else { Ok(()) }
    }

    /// The highest token admitted.
    #[must_use]
    pub fn highest(&self) -> FencingToken {
        FencingToken(self.0.load(Ordering::SeqCst))
    }
}

/// A token that is too old: its holder lost the lock and somebody else has written since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("fencing token {given} is stale, {seen} was already used; the lock was lost, do not write")]
pub struct StaleToken {
    /// The token that was refused.
    pub given: FencingToken,
    /// The highest token admitted before.
    pub seen: FencingToken,
}

//! Resources that locks guard, with and without a check of fencing tokens: what a lock is for, counted.
//!
//! Owns the rows and the count of lost updates. An update is read, wait, write; it is lost if somebody who read the
//! same version, or an older one, writes over it. That a lock alone cannot prevent it (a holder that was paused past
//! its lease does not know) and that a check of tokens always does is what tests show with this.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use enhanced_locking_foundation::{FenceGuard, FencingToken, ResourceKey, StaleToken};

/// What became of the updates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Updates {
    /// Writes that were carried out.
    pub written: u64,
    /// Reads and writes that were refused because of their token.
    pub refused: u64,
    /// Writes that somebody wrote over without having read them.
    pub lost: u64,
}

impl fmt::Display for Updates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} written, {} refused, {} lost", self.written, self.refused, self.lost)
    }
}

/// One row per key, each as a guarded resource should be, or as most are.
///
/// A read presents its token, too. Were only writes checked, a holder could read, its predecessor write with a token
/// that is still good, and the holder write over that.
///
/// ```
/// use enhanced_locking_foundation::{FencingToken, ResourceKey};
/// use enhanced_locking_testkit::guard::GuardedResources;
///
/// let (old, new) = (FencingToken::from_u64(1), FencingToken::from_u64(2));
/// let key = ResourceKey::new("k")?;
/// for (rows, lost) in [(GuardedResources::checked(), 0), (GuardedResources::unchecked(), 1)] {
///     let before = rows.read(&key, old)?;
///     let version = rows.read(&key, new)?;
///     rows.write(&key, new, version)?;
///     let late = rows.write(&key, old, before);
///     assert_eq!(late.is_err(), lost == 0);
///     assert_eq!(rows.updates().lost, lost);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct GuardedResources {
    checks: bool,
    state: Mutex<State>,
}

/// The version of a row that was read: what a write must be based on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(u64);

#[derive(Debug, Default)]
struct State {
    rows: BTreeMap<ResourceKey, Row>,
    updates: Updates,
}

#[derive(Debug, Default)]
struct Row {
    version: u64,
    guard: FenceGuard,
}

impl GuardedResources {
    /// Resources that refuse tokens lower than one they have seen.
    #[must_use]
    pub fn checked() -> Self {
        Self { checks: true, state: Mutex::default() }
    }

    /// Resources that trust whoever comes.
    #[must_use]
    pub fn unchecked() -> Self {
        Self { checks: false, state: Mutex::default() }
    }

    /// Reads a row.
    ///
    /// # Errors
    /// [`StaleToken`] if a checked resource has seen a higher one.
    pub fn read(&self, key: &ResourceKey, token: FencingToken) -> Result<Version, StaleToken> {
        let mut state = self.lock();
        let row = admit(&mut state, self.checks, key, token)?;
        Ok(Version(row.version))
    }

    /// Writes a row after what was read of it.
    ///
    /// # Errors
    /// [`StaleToken`] if a checked resource has seen a higher one: nothing is written.
    pub fn write(&self, key: &ResourceKey, token: FencingToken, read: Version) -> Result<(), StaleToken> {
        let mut state = self.lock();
        let row = admit(&mut state, self.checks, key, token)?;
        let over = row.version.saturating_sub(read.0);
        row.version += 1;
        state.updates.written += 1;
        state.updates.lost += over;
        Ok(())
    }

    /// What became of all updates so far.
    #[must_use]
    pub fn updates(&self) -> Updates {
        self.lock().updates
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn admit<'s>(
    state: &'s mut State,
    checks: bool,
    key: &ResourceKey,
    token: FencingToken,
) -> Result<&'s mut Row, StaleToken> {
    let State { rows, updates } = state;
    let row = rows.entry(key.clone()).or_default();
    let admitted = if checks { row.guard.check(token) } else { Ok(()) };
    updates.refused += u64::from(admitted.is_err());
    admitted.map(|()| row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(n: u64) -> FencingToken {
        FencingToken::from_u64(n)
    }

    fn key() -> ResourceKey {
        ResourceKey::new("k").unwrap()
    }

    #[test]
    fn one_after_the_other_loses_nothing() {
        for rows in [GuardedResources::checked(), GuardedResources::unchecked()] {
            for n in 1..=5 {
                let version = rows.read(&key(), token(n)).unwrap();
                rows.write(&key(), token(n), version).unwrap();
            }
            assert_eq!(rows.updates(), Updates { written: 5, refused: 0, lost: 0 });
        }
    }

    #[test]
    fn a_reader_shuts_out_its_predecessor() {
        let rows = GuardedResources::checked();
        let old = rows.read(&key(), token(1)).unwrap();
        let new = rows.read(&key(), token(2)).unwrap();
        assert!(rows.write(&key(), token(1), old).is_err());
        rows.write(&key(), token(2), new).unwrap();
        assert_eq!(rows.updates(), Updates { written: 1, refused: 1, lost: 0 });
    }

    #[test]
    fn a_write_over_three_unseen_ones_has_lost_three() {
        let rows = GuardedResources::unchecked();
        let old = rows.read(&key(), token(1)).unwrap();
        for n in 2..5 {
            let version = rows.read(&key(), token(n)).unwrap();
            rows.write(&key(), token(n), version).unwrap();
        }
        rows.write(&key(), token(1), old).unwrap();
        assert_eq!(rows.updates(), Updates { written: 4, refused: 0, lost: 3 });
    }

    #[test]
    fn keys_have_their_own_tokens() {
        let rows = GuardedResources::checked();
        rows.read(&key(), token(9)).unwrap();
        assert!(rows.read(&ResourceKey::new("other").unwrap(), token(1)).is_ok());
    }
}

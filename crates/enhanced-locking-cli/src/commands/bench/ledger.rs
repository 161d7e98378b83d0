//! Who holds what, as the callers themselves see it. Owns the check: windows of one key do not overlap, tokens only rise.
//!
//! A window begins when the caller has been told that it holds the key and ends before it sends the release: for all of it
//! the service holds the key for this caller, or is wrong.

use std::sync::{Mutex, PoisonError};

use enhanced_locking_foundation::{FencingToken, ResourceKey};
use tokio::time::Instant;

use crate::failure::Failure;

/// Mistakes that are told one by one; the others are counted.
const TOLD: usize = 10;

/// The keys of a run.
#[derive(Debug)]
pub(super) struct Ledger {
    keys: Vec<(ResourceKey, Mutex<Window>)>,
    broken: Mutex<Broken>,
}

#[derive(Debug)]
struct Window {
    /// The caller who holds the key.
    holder: Option<u32>,
    highest: FencingToken,
    /// When the last holder began to release it.
    left: Option<Instant>,
}

/// What was wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Broken {
    /// How often.
    pub count: u64,
    /// The first of it, in words.
    pub told: Vec<String>,
}

impl Ledger {
    /// So many keys of a run.
    ///
    /// # Errors
    /// A [`Failure`] if the name cannot be part of a key.
    pub(super) fn new(name: &str, keys: u32) -> Result<Self, Failure> {
        let window = || Window { holder: None, highest: FencingToken::NONE, left: None };
        let key = |number| Ok((ResourceKey::new(format!("bench/{name}/{number:06}"))?, Mutex::new(window())));
        let keys = (0..keys).map(key).collect::<Result<_, Failure>>()?;
        Ok(Self { keys, broken: Mutex::default() })
    }

    /// The place of the key of a caller's `turn`. With enough keys nobody meets anybody.
    pub(super) fn place(&self, caller: u32, callers: u32, turn: u64) -> usize {
        let (caller, callers, keys) = (u64::from(caller), u64::from(callers), self.keys.len() as u64);
        let place = if keys >= callers {
            let own = keys / callers + u64::from(caller < keys % callers);
            caller + turn % own * callers
        } else {
            (caller + turn) % keys
        };
        usize::try_from(place).unwrap_or(0)
    }

    /// The key of a place.
    pub(super) fn key(&self, place: usize) -> &ResourceKey {
        &self.keys[place].0
    }

    /// A caller was told that it holds the key. Since when the one before it was releasing it, if there was one.
    pub(super) fn enter(&self, place: usize, caller: u32, token: FencingToken) -> Option<Instant> {
        let (key, window) = &self.keys[place];
        let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = window.holder.replace(caller) {
            self.note(format!("{key}: caller {caller} got it while caller {other} held it"));
        }
        if token <= window.highest {
            self.note(format!("{key}: token {token} came after {}", window.highest));
        }
        window.highest = token.max(window.highest);
        window.left
    }

    /// The caller is about to release the key.
    pub(super) fn leave(&self, place: usize, caller: u32) {
        let mut window = self.keys[place].1.lock().unwrap_or_else(PoisonError::into_inner);
        if window.holder == Some(caller) {
            window.holder = None;
        }
        window.left = Some(Instant::now());
    }

    /// What was wrong so far.
    pub(super) fn broken(&self) -> Broken {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, what: String) {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        broken.count += 1;
        if broken.told.len() < TOLD {
            broken.told.push(what);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn token(number: u64) -> FencingToken {
        FencingToken::from_u64(number)
    }

    #[tokio::test]
    async fn one_after_the_other_with_rising_tokens_is_right() {
        let ledger = Ledger::new("n", 1).unwrap();
        assert_eq!(ledger.enter(0, 1, token(5)), None);
        ledger.leave(0, 1);
        assert!(ledger.enter(0, 2, token(6)).is_some());
        assert_eq!(ledger.broken(), Broken::default());
    }

    #[tokio::test]
    async fn two_at_once_and_tokens_that_do_not_rise_are_noticed() {
        let ledger = Ledger::new("n", 2).unwrap();
        ledger.enter(0, 1, token(5));
        ledger.enter(1, 2, token(5));
        assert_eq!(ledger.broken().count, 0, "keys have nothing to do with each other");
        ledger.enter(0, 2, token(6));
        assert_eq!(ledger.broken().told, ["bench/n/000000: caller 2 got it while caller 1 held it"]);
        ledger.leave(0, 2);
        ledger.enter(0, 1, token(6));
        assert_eq!(ledger.broken().told[1], "bench/n/000000: token 6 came after 6");
    }

    #[test]
    fn callers_meet_only_if_there_are_fewer_keys() {
        for (keys, callers) in [(3, 3), (7, 3), (8, 3)] {
            let ledger = Ledger::new("n", keys).unwrap();
            let of =
                |caller| (0..20).map(|turn| ledger.place(caller, callers, turn)).collect::<BTreeSet<_>>();
            let all: Vec<usize> = (0..callers).flat_map(of).collect();
            assert_eq!(all.len(), keys as usize, "nobody shares one of {keys}");
            assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), keys as usize, "all are used");
        }
        let ledger = Ledger::new("n", 2).unwrap();
        assert_eq!((ledger.place(0, 3, 0), ledger.place(2, 3, 0), ledger.place(2, 3, 1)), (0, 0, 1));
    }
}

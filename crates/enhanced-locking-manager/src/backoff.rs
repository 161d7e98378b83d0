//! How long to wait before trying again. Owns the curve and its jitter; who may try again, and until when, is decided by the caller.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Exponential backoff with jitter: each delay is between half and all of `first`, twice that, four times …, at most `longest`.
///
/// The jitter keeps a thousand clients of a service that comes back from asking all at once.
///
/// ```
/// use enhanced_locking_manager::Backoff;
/// use std::time::Duration;
/// let backoff = Backoff::default();
/// assert!(backoff.delay(0) <= Duration::from_millis(50));
/// assert!(backoff.delay(40) >= Duration::from_secs(1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The longest first delay.
    pub first: Duration,
    /// The longest delay of all.
    pub longest: Duration,
}

impl Backoff {
    /// The delay after so many failures before this one.
    #[must_use]
    pub fn delay(&self, failures: u32) -> Duration {
        let full = self.first.saturating_mul(1u32 << failures.min(20)).min(self.longest);
        let half = full / 2;
        half + half.mul_f64(unit())
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(50), longest: Duration::from_secs(2) }
    }
}

/// A number from 0 to 1, different each time. Every hasher of the standard library has its own random keys; jitter needs no better source.
fn unit() -> f64 {
    let bits = RandomState::new().hash_one(0u8) >> 32;
    f64::from(u32::try_from(bits).unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_up_to_the_longest_and_never_pass_it() {
        let backoff = Backoff { first: Duration::from_millis(10), longest: Duration::from_millis(100) };
        for failures in 0..64 {
            let full = Duration::from_millis((10u64 << failures.min(20)).min(100));
            let delay = backoff.delay(failures);
            assert!(delay <= full && delay >= full / 2, "{failures}: {delay:?}");
        }
    }

    #[test]
    fn delays_differ_from_each_other() {
        let backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(1) };
        let first = backoff.delay(0);
        assert!((0..50).any(|_| backoff.delay(0) != first));
    }
}

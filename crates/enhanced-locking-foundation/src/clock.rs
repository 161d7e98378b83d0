//! The clock port and its two adapters. The only place of the workspace's libraries that reads the operating system's clocks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Timestamp;
use crate::time::micros;

/// Server time. Leases are judged by one clock; clients' clocks never are (design §4, "time").
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The time now. Must never go backwards within one process.
    fn now(&self) -> Timestamp;
}

/// The wall clock as read once, carried on by the monotonic clock.
///
/// A wall clock that is set forward while the service runs would end every lease at once; this one cannot jump.
#[derive(Debug)]
pub struct SteadyClock {
    wall: Timestamp,
    since: Instant,
}

impl SteadyClock {
    /// Reads the wall clock, now and never again.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the adapter that reads the clocks for everybody else"
    )]
    pub fn new() -> Self {
        let wall =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(Timestamp::ZERO, |d| Timestamp::ZERO.plus(d));
        Self { wall, since: Instant::now() }
    }

    /// Like [`SteadyClock::new`], but never earlier than `floor`: the last time known to a store that was opened again.
    #[must_use]
    pub fn not_before(floor: Timestamp) -> Self {
        let mut clock = Self::new();
        clock.wall = clock.wall.max(floor);
        clock
    }
}

impl Default for SteadyClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> Timestamp {
        self.wall.plus(self.since.elapsed())
    }
}

/// A clock that stands still until it is told to move: for tests and simulations.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that shows `start`.
    #[must_use]
    pub fn new(start: Timestamp) -> Self {
        Self(AtomicU64::new(start.as_micros()))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(micros(by), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_opened_again_starts_no_earlier_than_what_was_stored() {
        let future = SteadyClock::new().now().plus(Duration::from_secs(3600));
        assert!(SteadyClock::not_before(future).now() >= future);
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::new(Timestamp::from_micros(5));
        assert_eq!(clock.now(), clock.now());
        clock.advance(Duration::from_millis(1));
        assert_eq!(clock.now(), Timestamp::from_micros(1005));
    }
}

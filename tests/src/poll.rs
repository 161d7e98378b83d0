//! Waiting for conditions, with a limit. Owns the only pause of the helpers; no test sleeps and hopes.

use std::time::Duration;

use enhanced_locking_foundation::{Clock, SteadyClock, Timestamp};
use rustix::thread::{Timespec, nanosleep};

/// How long anything may take before a test gives up: much longer than it takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A point in time after which a test gives up.
///
/// ```
/// use std::time::Duration;
/// use enhanced_locking_tests::Deadline;
///
/// assert!(Deadline::after(Duration::ZERO).is_over());
/// assert!(!Deadline::after(Duration::from_secs(60)).is_over());
/// ```
#[derive(Debug)]
pub struct Deadline {
    clock: SteadyClock,
    begun: Timestamp,
    limit: Duration,
}

impl Deadline {
    /// That long from now.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        let clock = SteadyClock::new();
        let begun = clock.now();
        Self { clock, begun, limit }
    }

    /// The time since it was made.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.clock.now().since(self.begun)
    }

    /// Whether it has passed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.elapsed() >= self.limit
    }
}

/// Waits until something is so.
///
/// # Panics
/// If it is not so within [`PATIENCE`].
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Deadline::after(PATIENCE);
    while !is_so() {
        assert!(!deadline.is_over(), "not within {PATIENCE:?}: {what}");
        pause(Duration::from_millis(5));
    }
}

/// Lets other processes run before looking again. For loops with a [`Deadline`], and for moments chosen at random.
pub fn pause(time: Duration) {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let _ = nanosleep(&Timespec { tv_sec: seconds, tv_nsec: time.subsec_nanos().into() });
}

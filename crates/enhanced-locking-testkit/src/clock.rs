//! A clock on tokio's time. Owns nothing but the reading: pausing and advancing are tokio's.

use enhanced_locking_foundation::{Clock, Timestamp};
use tokio::time::Instant;

/// Follows tokio's time, so that a test with paused time moves leases and sleeping tasks together.
///
/// In a paused runtime time jumps to the next timer whenever every task sleeps: a simulation of hours takes
/// milliseconds. Outside a paused runtime it is an ordinary clock.
///
/// ```
/// use std::time::Duration;
/// use enhanced_locking_foundation::{Clock, Timestamp};
/// use enhanced_locking_testkit::clock::TokioClock;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
/// runtime.block_on(async {
///     let clock = TokioClock::new(Timestamp::from_micros(1_000));
///     tokio::time::sleep(Duration::from_secs(3600)).await;
///     assert!(clock.now().since(Timestamp::from_micros(1_000)) >= Duration::from_secs(3600));
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    start: Timestamp,
    since: Instant,
}

impl TokioClock {
    /// A clock that shows `start` now.
    #[must_use]
    pub fn new(start: Timestamp) -> Self {
        Self { start, since: Instant::now() }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        self.start.plus(self.since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_moves_with_paused_time_and_not_without() {
        let start = Timestamp::from_micros(5);
        let clock = TokioClock::new(start);
        assert_eq!(clock.now(), start);
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(clock.now(), start.plus(Duration::from_secs(7)));
    }
}

//! Waiting for another process. Owns the one place that looks again and again at what sends no event.

use std::time::{Duration, Instant};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks every few milliseconds until there is something to see, or `limit` is over.
///
/// Blocks the thread. Whatever must go on meanwhile needs a thread of its own, as the proxy has.
///
/// ```
/// use std::time::Duration;
/// use enhanced_locking_testkit::redis::poll_until;
///
/// let mut looks = 0;
/// let seen = poll_until(Duration::from_secs(5), || { looks += 1; (looks == 3).then_some(looks) });
/// assert_eq!(seen, Some(3));
/// ```
#[expect(
    clippy::disallowed_methods,
    reason = "the state of another process has no event, and its time is the time of the wall"
)]
pub fn poll_until<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(seen) = look() {
            return Some(seen);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_at_least_once_and_gives_up_at_the_limit() {
        let mut looks = 0;
        let nothing: Option<()> = poll_until(Duration::ZERO, || {
            looks += 1;
            None
        });
        assert_eq!((nothing, looks), (None, 1));
    }
}

//! How long a lease is good for on our own clock. Owns the arithmetic (invariant 7); it never sees a server's time of day.

use std::time::Duration;

use enhanced_locking_foundation::Lease;
use tokio::time::Instant;

/// The span a confirmed lease gives, counted from an instant *before* the confirming request was sent.
///
/// The server began the lease later than that instant, so everything here comes earlier than at the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// The instant before the confirming request.
    pub(crate) confirmed: Instant,
    /// When to renew.
    pub(crate) renew_at: Option<Instant>,
    /// From when on the lease is at risk: half of it is gone.
    pub(crate) at_risk_at: Option<Instant>,
    /// From when on nobody may rely on it.
    pub(crate) valid_until: Option<Instant>,
    /// When the server may end it at the earliest.
    pub(crate) ends_at: Option<Instant>,
}

impl Window {
    /// The longest lease as which a sticky lock with a maximum age is treated near its end.
    const STICKY_END: Duration = Duration::from_secs(30);

    /// The span of a lease, bounded by the end of its maximum age if it has one.
    pub(crate) fn new(confirmed: Instant, lease: Lease, age: Option<(Duration, Instant)>) -> Self {
        let scale = lease.duration().or(age.map(|(max_age, _)| max_age.min(Self::STICKY_END)));
        let age_ends = age.map(|(_, ends)| ends);
        let (Some(scale), lease_ends) = (scale, lease.duration().and_then(|d| confirmed.checked_add(d)))
        else {
            return Self { confirmed, renew_at: None, at_risk_at: None, valid_until: None, ends_at: None };
        };
        let half_gone = lease.duration().and_then(|lease| confirmed.checked_add(lease / 2));
        let age_half_gone = age_ends.and_then(|ends| ends.checked_sub(scale / 2));
        let ends_at = earlier(lease_ends, age_ends);
        Self {
            confirmed,
            renew_at: lease.duration().and_then(|lease| confirmed.checked_add(lease / 3)),
            at_risk_at: earlier(half_gone, age_half_gone),
            valid_until: ends_at.map(|ends| ends.checked_sub(margin(scale)).unwrap_or(confirmed)),
            ends_at,
        }
    }

    /// Whether so much of a lease has passed that it should be confirmed before anybody builds on it.
    pub(crate) fn is_stale(confirmed: Instant, lease: Lease) -> bool {
        lease.duration().is_some_and(|lease| confirmed.elapsed() > lease / 3)
    }
}

/// What is kept back of a lease: a tenth, 100 ms at least, but never more than a quarter of a tiny one.
///
/// It covers the difference in speed of two clocks and the time a program needs to stop.
pub(crate) fn margin(lease: Duration) -> Duration {
    (lease / 10).max(Duration::from_millis(100)).min(lease / 4)
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_renewed_at_a_third_at_risk_at_half_and_given_up_before_its_end() {
        let now = Instant::now();
        let window = Window::new(now, Lease::For(secs(30)), None);
        assert_eq!(window.renew_at, Some(now + secs(10)));
        assert_eq!(window.at_risk_at, Some(now + secs(15)));
        assert_eq!(window.valid_until, Some(now + secs(27)));
        assert_eq!(window.ends_at, Some(now + secs(30)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_maximum_age_cuts_a_lease_short_and_is_announced() {
        let now = Instant::now();
        let window = Window::new(now, Lease::For(secs(30)), Some((secs(100), now + secs(20))));
        assert_eq!(window.at_risk_at, Some(now + secs(5)));
        assert_eq!(window.valid_until, Some(now + secs(17)));
        let sticky = Window::new(now, Lease::Sticky, Some((secs(1000), now + secs(1000))));
        assert_eq!(sticky.at_risk_at, Some(now + secs(985)));
        assert_eq!(sticky.valid_until, Some(now + secs(997)));
        assert_eq!(sticky.renew_at, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sticky_lock_never_ends_and_no_duration_is_too_long() {
        let now = Instant::now();
        assert_eq!(Window::new(now, Lease::Sticky, None).valid_until, None);
        assert_eq!(Window::new(now, Lease::For(Duration::MAX), None).valid_until, None);
    }

    #[test]
    fn the_margin_of_a_tiny_lease_leaves_most_of_it() {
        assert_eq!(margin(secs(60)), secs(6));
        assert_eq!(margin(secs(1) / 2), Duration::from_millis(100));
        assert_eq!(margin(Duration::from_millis(100)), Duration::from_millis(25));
    }
}

//! A circuit breaker: when a server is gone, callers are refused at once instead of waiting for it one by one. Owns the
//! three states and their times; what counts as a failure is decided where it is used.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Failures in a row that open it.
const FAILURES: u32 = 3;
/// How long it stays open at first; doubled with every probe that fails.
const FIRST_REST: Duration = Duration::from_millis(100);
/// How long it stays open at most: what a server that is back costs at worst.
const LONGEST_REST: Duration = Duration::from_secs(2);

/// Whether calls are let through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BreakerState {
    /// All are.
    #[default]
    Closed,
    /// None is, for a while.
    Open,
    /// One is, to see whether the server is back.
    HalfOpen,
}

impl BreakerState {
    /// The name in health and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// Lets calls through or refuses them. Its clock is tokio's, which tests can pause.
#[derive(Debug)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Clone, Copy, Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant, rest: Duration },
    Probing { rest: Duration },
}

/// One call that was let through. Dropped without a word, it has told nothing.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    breaker: &'a Breaker,
    told: bool,
}

impl Breaker {
    /// A closed one.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State::Closed { failures: 0 }))
    }

    /// Lets a call through, or tells after what time the next one has a chance.
    pub(crate) fn admit(&self) -> Result<Permit<'_>, Duration> {
        let mut state = self.0.lock();
        match *state {
            State::Closed { .. } => {}
            State::Open { until, rest } => {
                let left = until.saturating_duration_since(Instant::now());
                if !left.is_zero() {
                    return Err(left);
                }
                *state = State::Probing { rest };
            }
            State::Probing { rest } => return Err(rest),
        }
        Ok(Permit { breaker: self, told: false })
    }

    /// There is a new connection: the next call may see whether it is good.
    pub(crate) fn hurry(&self) {
        if let State::Open { until, .. } = &mut *self.0.lock() {
            *until = Instant::now();
        }
    }

    /// Where it stands.
    pub(crate) fn state(&self) -> BreakerState {
        match *self.0.lock() {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::Probing { .. } => BreakerState::HalfOpen,
        }
    }
}

impl Permit<'_> {
    /// The server answered.
    pub(crate) fn succeeded(mut self) {
        self.told = true;
        *self.breaker.0.lock() = State::Closed { failures: 0 };
    }

    /// It did not.
    pub(crate) fn failed(mut self) {
        self.told = true;
        let mut state = self.breaker.0.lock();
        let rest = match *state {
            State::Closed { failures } if failures + 1 < FAILURES => {
                *state = State::Closed { failures: failures + 1 };
                return;
            }
            State::Closed { .. } => FIRST_REST,
            State::Probing { rest } => (rest * 2).min(LONGEST_REST),
            // One that was let through before it opened; it is open already.
            State::Open { .. } => return,
        };
        *state = State::Open { until: Instant::now() + jitter(rest), rest };
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.breaker.0.lock();
        if !self.told
            && let State::Probing { rest } = *state
        {
            // The caller gave up before there was an answer: the next one may see.
            *state = State::Open { until: Instant::now(), rest };
        }
    }
}

/// Half to all of a time, so that many processes do not come back in one instant.
pub(crate) fn jitter(time: Duration) -> Duration {
    let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0_u8);
    let part = u32::try_from(random % 1_024).unwrap_or(0);
    time / 2 + time * part / 2_048
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &Breaker, times: u32) {
        for _ in 0..times {
            breaker.admit().unwrap().failed();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn some_failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let breaker = Breaker::new();
        fail(&breaker, FAILURES - 1);
        breaker.admit().unwrap().succeeded();
        fail(&breaker, FAILURES - 1);
        assert_eq!(breaker.state(), BreakerState::Closed);
        fail(&breaker, 1);
        assert_eq!(breaker.state(), BreakerState::Open);
        let hint = breaker.admit().unwrap_err();
        assert!(hint <= FIRST_REST && hint >= FIRST_REST / 2, "{hint:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_rest_one_is_let_through_and_its_success_closes_it() {
        let breaker = Breaker::new();
        fail(&breaker, FAILURES);
        tokio::time::advance(FIRST_REST).await;
        let probe = breaker.admit().unwrap();
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert!(breaker.admit().is_err(), "only one sees whether it is back");
        probe.succeeded();
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert!(breaker.admit().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn every_probe_that_fails_doubles_the_rest_up_to_the_longest() {
        let breaker = Breaker::new();
        fail(&breaker, FAILURES);
        let mut longest = Duration::ZERO;
        for _ in 0..10 {
            longest = breaker.admit().unwrap_err();
            tokio::time::advance(longest).await;
            fail(&breaker, 1);
        }
        assert!(longest <= LONGEST_REST && longest >= LONGEST_REST / 2, "{longest:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_was_given_up_leaves_room_for_another() {
        let breaker = Breaker::new();
        fail(&breaker, FAILURES);
        tokio::time::advance(FIRST_REST).await;
        drop(breaker.admit().unwrap());
        assert!(breaker.admit().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_ends_the_rest() {
        let breaker = Breaker::new();
        fail(&breaker, FAILURES);
        assert!(breaker.admit().is_err());
        breaker.hurry();
        breaker.admit().unwrap().succeeded();
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn jitter_stays_between_half_and_all() {
        for _ in 0..1_000 {
            let time = jitter(Duration::from_millis(100));
            assert!((Duration::from_millis(50)..=Duration::from_millis(100)).contains(&time), "{time:?}");
        }
    }
}

//! Redis keeps the contract of the backend port: every case of the conformance suite, with one bucket and with
//! many; as functions, and as a script where the server takes none.
#![expect(clippy::expect_used, reason = "the helpers of tests may panic")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_foundation::{LockBackend, ManualClock, Timestamp};
use enhanced_locking_redis::open;
use enhanced_locking_testkit::backend_conformance;
use enhanced_locking_testkit::conformance::{Fixture, FixturePolicy};

struct Redis {
    clock: Arc<ManualClock>,
    buckets: u16,
    functions: bool,
}

impl Redis {
    fn new(buckets: u16, functions: bool) -> Self {
        Self {
            clock: Arc::new(ManualClock::new(Timestamp::from_micros(1_764_000_000_000_000))),
            buckets,
            functions,
        }
    }

    /// Many buckets, but for the cases about what only one has: exact totals, and an order among all keys in what
    /// happens at the same instant.
    fn spread() -> Self {
        const WHOLE: [&str; 8] = [
            "clearing::all_of_a_pull_ends_before_anything_is_handed_on",
            "limits::a_batch_that_does_not_fit_takes_nothing",
            "limits::an_owner_waits_in_so_many_lines",
            "limits::so_many_are_held_in_all",
            "limits::so_many_wait_in_all",
            "sweeping::a_hand_off_ends_nobody_before_its_turn",
            "sweeping::a_sweep_begins_with_what_ended_first",
            "sweeping::what_is_over_at_once_ends_in_the_order_of_keys_and_ids",
        ];
        let thread = std::thread::current();
        let case = thread.name().unwrap_or_default();
        Self::new(if WHOLE.iter().any(|whole| case.ends_with(whole)) { 1 } else { 16 }, false)
    }
}

#[async_trait::async_trait]
impl Fixture for Redis {
    async fn open(&self, policy: FixturePolicy) -> Arc<dyn LockBackend> {
        let mut config = common::config(policy, self.functions);
        config.buckets = Some(self.buckets);
        config.clock = Some(self.clock.clone());
        open(config).await.expect("the store opens")
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}

backend_conformance!(one_bucket, Redis::new(1, true));
backend_conformance!(many_buckets, Redis::spread());

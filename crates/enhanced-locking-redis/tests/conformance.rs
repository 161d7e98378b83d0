//! Redis keeps the contract of the backend port: every case of the conformance suite, on one server.
#![expect(clippy::expect_used, reason = "the helpers of tests may panic")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_foundation::{LockBackend, ManualClock, Timestamp};
use enhanced_locking_redis::open;
use enhanced_locking_testkit::backend_conformance;
use enhanced_locking_testkit::conformance::{Fixture, FixturePolicy};

struct Redis(Arc<ManualClock>);

impl Redis {
    fn new() -> Self {
        Self(Arc::new(ManualClock::new(Timestamp::from_micros(1_764_000_000_000_000))))
    }
}

#[async_trait::async_trait]
impl Fixture for Redis {
    async fn open(&self, policy: FixturePolicy) -> Arc<dyn LockBackend> {
        let mut config = common::config(policy);
        config.clock = Some(self.0.clone());
        open(config).await.expect("the store opens")
    }

    async fn advance(&self, by: Duration) {
        self.0.advance(by);
    }
}

backend_conformance!(redis, Redis::new());

//! The embedded store keeps the contract of the backend port, restarts included: every case of the conformance suite.
#![expect(clippy::expect_used, reason = "the helpers of tests may panic")]

use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_core::TablePolicy;
use enhanced_locking_embedded::{EmbeddedBackend, EmbeddedConfig, open};
use enhanced_locking_foundation::{Limits, LockBackend, ManualClock, Timestamp};
use enhanced_locking_queue::CreditTable;
use enhanced_locking_testkit::conformance::documents::{DocumentFixture, DocumentedStore};
use enhanced_locking_testkit::conformance::{Fixture, FixturePolicy};
use enhanced_locking_testkit::{backend_conformance, document_conformance};
use tokio::sync::Mutex;

struct Embedded {
    directory: tempfile::TempDir,
    clock: Arc<ManualClock>,
    opened: Mutex<Option<(EmbeddedConfig, Arc<EmbeddedBackend>)>>,
}

impl Embedded {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
            clock: Arc::new(ManualClock::new(Timestamp::from_micros(1_764_000_000_000_000))),
            opened: Mutex::new(None),
        }
    }
}

impl Embedded {
    async fn open(&self, policy: FixturePolicy) -> Arc<EmbeddedBackend> {
        let mut config = EmbeddedConfig::new(self.directory.path());
        config.map_size = 64 << 10;
        config.clock = Some(self.clock.clone());
        config.policy = TablePolicy {
            limits: policy.limits,
            timing: policy.timing,
            credits: CreditTable::new(policy.credits),
        };
        let backend = open(config.clone()).expect("the store opens");
        *self.opened.lock().await = Some((config, backend.clone()));
        backend
    }

    async fn reopen(&self) -> Option<Arc<EmbeddedBackend>> {
        let mut opened = self.opened.lock().await;
        let (config, backend) = opened.take()?;
        backend.close().await.expect("the store closes");
        let backend = open(config.clone()).expect("the store opens again");
        *opened = Some((config, backend.clone()));
        Some(backend)
    }
}

#[async_trait::async_trait]
impl Fixture for Embedded {
    async fn open(&self, policy: FixturePolicy) -> Arc<dyn LockBackend> {
        self.open(policy).await
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    async fn reopen(&self) -> Option<Arc<dyn LockBackend>> {
        Some(self.reopen().await?)
    }
}

#[async_trait::async_trait]
impl DocumentFixture for Embedded {
    async fn open(&self, limits: Limits) -> Arc<dyn DocumentedStore> {
        self.open(FixturePolicy { limits, ..FixturePolicy::default() }).await
    }

    async fn reopen(&self) -> Option<Arc<dyn DocumentedStore>> {
        Some(self.reopen().await?)
    }
}

backend_conformance!(embedded, Embedded::new());
document_conformance!(documents, Embedded::new());

//! The store in memory keeps the contract of the backend port: every case of the conformance suite.

use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_core::TablePolicy;
use enhanced_locking_core::memory::MemoryBackend;
use enhanced_locking_foundation::{Limits, LockBackend, ManualClock, Timestamp};
use enhanced_locking_queue::CreditTable;
use enhanced_locking_testkit::conformance::documents::{DocumentFixture, DocumentedStore};
use enhanced_locking_testkit::conformance::{Fixture, FixturePolicy};
use enhanced_locking_testkit::{backend_conformance, document_conformance};

struct Memory(Arc<ManualClock>);

impl Memory {
    fn new() -> Self {
        Self(Arc::new(ManualClock::new(Timestamp::from_micros(1_764_000_000_000_000))))
    }
}

#[async_trait::async_trait]
impl Fixture for Memory {
    async fn open(&self, policy: FixturePolicy) -> Arc<dyn LockBackend> {
        let policy = TablePolicy {
            limits: policy.limits,
            timing: policy.timing,
            credits: CreditTable::new(policy.credits),
        };
        MemoryBackend::new(policy, self.0.clone())
    }

    async fn advance(&self, by: Duration) {
        self.0.advance(by);
    }
}

#[async_trait::async_trait]
impl DocumentFixture for Memory {
    async fn open(&self, limits: Limits) -> Arc<dyn DocumentedStore> {
        MemoryBackend::new(TablePolicy { limits, ..TablePolicy::default() }, self.0.clone())
    }
}

backend_conformance!(memory, Memory::new());
document_conformance!(documents, Memory::new());

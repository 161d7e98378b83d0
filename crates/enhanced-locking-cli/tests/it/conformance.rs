//! The remote backend keeps the contract of the port: every case of the conformance suite, over HTTP, on a store in memory.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_client::{RemoteBackend, RemoteConfig};
use enhanced_locking_core::TablePolicy;
use enhanced_locking_core::memory::MemoryBackend;
use enhanced_locking_foundation::{LockBackend, ManualClock, Timestamp};
use enhanced_locking_queue::CreditTable;
use enhanced_locking_server::{Server, ServerConfig};
use enhanced_locking_testkit::backend_conformance;
use enhanced_locking_testkit::conformance::{Fixture, FixturePolicy};

struct Remote {
    clock: Arc<ManualClock>,
}

#[async_trait::async_trait]
impl Fixture for Remote {
    async fn open(&self, policy: FixturePolicy) -> Arc<dyn LockBackend> {
        let policy = TablePolicy {
            limits: policy.limits,
            timing: policy.timing,
            credits: CreditTable::new(policy.credits),
        };
        let store = MemoryBackend::new(policy, self.clock.clone());
        let config =
            ServerConfig { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), ..ServerConfig::default() };
        let server = Server::bind(config, store).await.expect("a free port");
        let url = format!("http://{}", server.local_addr());
        tokio::spawn(server.run(std::future::pending()));
        Arc::new(RemoteBackend::new(&RemoteConfig::new(url)).expect("an address"))
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    async fn reopen(&self) -> Option<Arc<dyn LockBackend>> {
        None
    }
}

backend_conformance!(
    remote,
    Remote { clock: Arc::new(ManualClock::new(Timestamp::from_micros(1_764_000_000_000_000))) }
);

//! The remote backend keeps the contract of the port: every case of the conformance suite, over HTTP, on a store in
//! memory and on one in Redis.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use enhanced_locking_client::{RemoteBackend, RemoteConfig};
use enhanced_locking_core::TablePolicy;
use enhanced_locking_core::memory::MemoryBackend;
use enhanced_locking_foundation::{LockBackend, ManualClock, Timestamp};
use enhanced_locking_queue::CreditTable;
use enhanced_locking_redis::{RedisConfig, RedisPolicy, Servers};
use enhanced_locking_server::{Server, ServerConfig};
use enhanced_locking_testkit::backend_conformance;
use enhanced_locking_testkit::conformance::{Fixture, FixturePolicy};
use enhanced_locking_testkit::redis::{RedisServer, ServerOptions};

/// Where the service behind the backend keeps its locks.
#[derive(Clone, Copy)]
enum Store {
    Memory,
    Redis,
}

struct Remote {
    clock: Arc<ManualClock>,
    store: Store,
}

impl Remote {
    fn on(store: Store) -> Self {
        Self { clock: Arc::new(ManualClock::new(Timestamp::from_micros(1_764_000_000_000_000))), store }
    }

    async fn store(&self, policy: FixturePolicy) -> Arc<dyn LockBackend> {
        let FixturePolicy { limits, timing, credits } = policy;
        let credits = CreditTable::new(credits);
        match self.store {
            Store::Memory => MemoryBackend::new(TablePolicy { limits, timing, credits }, self.clock.clone()),
            Store::Redis => {
                static SERVER: OnceLock<RedisServer> = OnceLock::new();
                static NEXT: AtomicU64 = AtomicU64::new(0);
                let server = SERVER
                    .get_or_init(|| RedisServer::start(&ServerOptions::default()).expect("a server starts"));
                let namespace = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
                let mut config = RedisConfig::new(Servers::unix(server.socket())).namespace(namespace);
                config.policy = RedisPolicy { limits, timing, credits };
                config.clock = Some(self.clock.clone());
                enhanced_locking_redis::open(config).await.expect("the store opens")
            }
        }
    }
}

#[async_trait::async_trait]
impl Fixture for Remote {
    async fn open(&self, policy: FixturePolicy) -> Arc<dyn LockBackend> {
        let store = self.store(policy).await;
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

backend_conformance!(remote, Remote::on(Store::Memory));
backend_conformance!(remote_on_redis, Remote::on(Store::Redis));

//! A real Redis server on loopback and stores in it. Owns starting it and reading its own counters; workloads are below.

pub mod floor;
pub mod handoff;
pub mod locks;
pub mod recovery;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use enhanced_locking_redis::{RedisBackend, RedisConfig, Servers, open};
use enhanced_locking_testkit::redis::{RedisServer, ServerOptions};
use futures_util::future::join_all;

/// A server that keeps everything in memory only, as the floors of peers were measured.
#[derive(Debug)]
pub struct Redis {
    server: RedisServer,
    namespaces: AtomicU64,
}

impl Redis {
    /// Starts one on a free port.
    #[must_use]
    pub fn start() -> Self {
        let server = RedisServer::start(&ServerOptions::default()).expect("a Redis server starts");
        Self { server, namespaces: AtomicU64::new(0) }
    }

    /// An empty store of its own, over TCP, with the defaults: one bucket, one connection for commands.
    pub async fn store(&self) -> Arc<RedisBackend> {
        self.stores(1, None).await.remove(0)
    }

    /// One empty store, opened so many times, as by so many processes. With a poll period other than the default, if
    /// what hints do is to be seen without it.
    pub async fn stores(&self, count: usize, poll_period: Option<Duration>) -> Vec<Arc<RedisBackend>> {
        let namespace = format!("bench-{}", self.namespaces.fetch_add(1, Ordering::Relaxed));
        let opened = (0..count).map(|_| async {
            let (host, port) = self.address();
            let mut config = RedisConfig::new(Servers::single(host, port)).namespace(&namespace);
            config.poll_period = poll_period.unwrap_or(config.poll_period);
            open(config).await.expect("the store opens")
        });
        join_all(opened).await
    }

    /// Forgets all keys. No store may be open.
    pub fn clear(&self) {
        self.server.call(["FLUSHALL"]).expect("the server answers");
    }

    /// Bytes the server uses for its data, clients and scripts.
    #[must_use]
    pub fn used_memory(&self) -> u64 {
        let memory = self.server.info("memory").expect("the server answers");
        memory.get("used_memory").and_then(|bytes| bytes.parse().ok()).expect("a number of bytes")
    }

    /// How often the server has carried out a command, also from within scripts.
    #[must_use]
    pub fn calls(&self, command: &str) -> u64 {
        let stats = self.server.info("commandstats").expect("the server answers");
        let line = stats.get(&format!("cmdstat_{command}"));
        line.and_then(|line| line.strip_prefix("calls=")?.split(',').next()?.parse().ok()).unwrap_or(0)
    }

    /// CPU time the server has used, and this process has: what a slow or busy machine does not change much.
    #[must_use]
    pub fn cpu(&self) -> (Duration, Duration) {
        let cpu = self.server.info("cpu").expect("the server answers");
        let seconds = |field: &str| cpu.get(field).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
        let server = seconds("used_cpu_user") + seconds("used_cpu_sys");
        (Duration::from_secs_f64(server), own_cpu())
    }

    /// Clients that are blocked, as by `BLPOP`.
    fn blocked_clients(&self) -> usize {
        let clients = self.server.info("clients").expect("the server answers");
        clients.get("blocked_clients").and_then(|count| count.parse().ok()).unwrap_or(0)
    }

    fn address(&self) -> (String, u16) {
        let address = self.server.address();
        (address.ip().to_string(), address.port())
    }
}

/// In steps of 10 ms; nothing where the system does not tell.
fn own_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may have spaces: user and system time in hundredths of a second.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    Duration::from_millis(
        10 * fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>(),
    )
}

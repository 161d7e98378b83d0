//! A real service on loopback: what a pair costs over HTTP beside the cheapest call there is. Owns starting it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_client::{RemoteBackend, RemoteConfig};
use enhanced_locking_embedded::{EmbeddedConfig, open};
use enhanced_locking_foundation::LockBackend;
use enhanced_locking_manager::{LockManager, ManagerConfig};
use enhanced_locking_server::{Server, ServerConfig};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

/// A service on the embedded store, in this process, spoken to over TCP.
#[derive(Debug)]
pub struct Service {
    url: String,
    task: JoinHandle<()>,
    _directory: tempfile::TempDir,
}

impl Service {
    /// Starts it on a free port.
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let store = open(EmbeddedConfig::new(directory.path())).expect("the store opens");
        let manager = LockManager::start(store, ManagerConfig::default());
        let config =
            ServerConfig { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), ..ServerConfig::default() };
        let server = Server::bind(config, manager.backend()).await.expect("a free port");
        let url = format!("http://{}", server.local_addr());
        let task = tokio::spawn(async move {
            server.run(std::future::pending()).await;
            drop(manager);
        });
        Self { url, task, _directory: directory }
    }

    /// The service as a backend.
    #[must_use]
    pub fn remote(&self) -> Arc<dyn LockBackend> {
        Arc::new(RemoteBackend::new(&RemoteConfig::new(&self.url)).expect("a client"))
    }

    /// `callers` tasks each ask `GET /healthz` so many times: the floor of any call.
    pub async fn healthz(&self, callers: usize, calls: usize) -> Duration {
        let client = reqwest::Client::new();
        let url = format!("{}/healthz", self.url);
        let mut tasks = JoinSet::new();
        let start = Instant::now();
        for _ in 0..callers {
            let (client, url) = (client.clone(), url.clone());
            tasks.spawn(async move {
                for _ in 0..calls {
                    let answer = client.get(&url).send().await.expect("the service answers");
                    answer.bytes().await.expect("a whole answer");
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("a caller does not fail");
        }
        start.elapsed()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

//! A real service on loopback: what a pair costs over HTTP beside the cheapest call there is. Owns starting it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_client::{RemoteBackend, RemoteConfig};
use enhanced_locking_embedded::{EmbeddedConfig, open};
use enhanced_locking_foundation::LockBackend;
use enhanced_locking_manager::{LockManager, ManagerConfig};
use enhanced_locking_server::{Server, ServerConfig};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A service on the embedded store, spoken to over TCP. It is in this process, but as far from its callers as one of
/// its own: they share no runtime.
#[derive(Debug)]
pub struct Service {
    address: SocketAddr,
    runtime: Option<Runtime>,
    _directory: tempfile::TempDir,
}

impl Service {
    /// Starts it on a free port.
    #[must_use]
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let address = runtime.block_on(async {
            let store = open(EmbeddedConfig::new(directory.path())).expect("the store opens");
            let manager = LockManager::start(store, ManagerConfig::default());
            let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let config = ServerConfig { listen, ..ServerConfig::default() };
            let server = Server::bind(config, manager.backend()).await.expect("a free port");
            let address = server.local_addr();
            tokio::spawn(async move {
                server.run(std::future::pending()).await;
                drop(manager);
            });
            address
        });
        Self { address, runtime: Some(runtime), _directory: directory }
    }

    /// The service as a backend.
    #[must_use]
    pub fn remote(&self) -> Arc<dyn LockBackend> {
        Arc::new(
            RemoteBackend::new(&RemoteConfig::new(format!("http://{}", self.address))).expect("a client"),
        )
    }

    /// `callers` tasks each ask `GET /healthz` so many times, on a connection each: the floor of any call.
    ///
    /// By the same library as the client of the service, with nothing around it.
    pub async fn healthz(&self, callers: usize, calls: usize) -> Duration {
        let mut tasks = JoinSet::new();
        let start = Instant::now();
        for _ in 0..callers {
            tasks.spawn(healthz(self.address, calls));
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("a caller does not fail");
        }
        start.elapsed()
    }
}

async fn healthz(address: SocketAddr, calls: usize) {
    let stream = TcpStream::connect(address).await.expect("the service listens");
    stream.set_nodelay(true).expect("an option every system has");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a connection");
    let asking = async move {
        for _ in 0..calls {
            let request = Request::get("/healthz").header("host", "localhost").body(Empty::<Bytes>::new());
            let request = request.expect("a request");
            sender.ready().await.expect("an open connection");
            let answer = sender.send_request(request).await.expect("the service answers");
            answer.into_body().collect().await.expect("a whole answer");
        }
    };
    // The connection ends when its sender is dropped.
    let (connection, ()) = tokio::join!(connection, asking);
    connection.expect("a connection that is closed in order");
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Whoever drops it may be on another runtime, where waiting is not allowed.
            runtime.shutdown_background();
        }
    }
}

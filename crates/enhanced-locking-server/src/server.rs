//! Listening, accepting and stopping. Owns the life of the service; one connection is `connection`'s, one call the handlers'.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_foundation::LockBackend;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::{BareStore, Operations, ServerConfig, connection, routes};

/// A service that has its address and is ready to run.
#[derive(Debug)]
pub struct Server {
    app: App,
    listener: TcpListener,
    address: SocketAddr,
}

/// The service cannot listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {address}; choose another address with `--listen`, or stop what uses it")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The same for the Atlantis port.
    #[error(
        "cannot listen on {address} for Atlantis; choose another address with `--atlantis-listen`, or stop what uses it"
    )]
    ListenAtlantis {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
}

impl Server {
    /// Listens, with the health and metrics that a bare store can tell.
    ///
    /// # Errors
    /// [`BindError`] if the address cannot be had.
    pub async fn bind(config: ServerConfig, backend: Arc<dyn LockBackend>) -> Result<Self, BindError> {
        let operations = Arc::new(BareStore::new(Arc::clone(&backend)));
        Self::bind_with(config, backend, operations).await
    }

    /// Listens, with somebody who knows about health and metrics: the manager.
    ///
    /// # Errors
    /// [`BindError`] if the address cannot be had.
    pub async fn bind_with(
        config: ServerConfig,
        backend: Arc<dyn LockBackend>,
        operations: Arc<dyn Operations>,
    ) -> Result<Self, BindError> {
        let failed = |source| BindError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { app: App::new(config, backend, operations), listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is ready; then stops accepting, answers what waits, and returns when all calls are
    /// done or [`ServerConfig::shutdown_grace`] is over. The backend stays open: closing it is the caller's.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let Self { app, listener, address } = self;
        tracing::info!(%address, "listening");
        let router = routes::router(app.clone());
        let connections = TaskTracker::new();
        let room = Arc::new(Semaphore::new(app.config.max_connections.min(Semaphore::MAX_PERMITS)));
        let mut shutdown = pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                () = shutdown.as_mut() => break,
                accepted = accept(&listener, &room) => accepted,
            };
            let Some((stream, peer, permit)) = accepted else { continue };
            let (app, router) = (app.clone(), router.clone());
            connections.spawn(async move {
                connection::serve(app, router, stream, peer).await;
                drop(permit);
            });
        }
        drop(listener);
        tracing::info!("stopping");
        app.stopping.cancel();
        connections.close();
        let grace = app.config.shutdown_grace;
        let orderly = async {
            app.operations.drain().await;
            connections.wait().await;
            app.tasks.close();
            app.tasks.wait().await;
        };
        if tokio::time::timeout(grace, orderly).await.is_err() {
            tracing::warn!(open = connections.len(), "stopped with calls still under way");
        }
    }
}

type Accepted = (tokio::net::TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

/// Accepts the next connection once there is room for it; `None` if that failed for the moment.
async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> Option<Accepted> {
    let permit = Arc::clone(room).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, permit)),
        Err(error) => {
            // Out of file descriptors, or the client was gone already: neither ends the service.
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

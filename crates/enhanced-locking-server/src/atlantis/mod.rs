//! The Atlantis port: enough of the Redis protocol that an unmodified Atlantis works on this system (`surfaces`, "The
//! Atlantis port"). Owns its life from listening to stopping; what the operations mean is `enhanced-locking-compat`'s.
//!
//! An Atlantis with `--locking-db-type=redis` reads a key, decides and writes it. Here the write decides: a `SET` on a
//! lock that somebody else holds is refused and names the holder, and a `DEL` hits only the holder that was read.
//!
//! | module | owns |
//! |---|---|
//! | `resp` | bytes, limits, the two forms of answers |
//! | `connection` | reading and writing in time, one request after the other |
//! | `session` | who is there: the handshake |
//! | `commands` | which command is what, and how many arguments it takes |
//! | `keys`, `set`, `listing`, `script` | reading and deleting, writing, listing, the one script |
//! | `cluster` | one node that owns all slots |
//! | `sightings` | which holder a client saw last |
//!
//! ```no_run
//! # async fn serve(locks: std::sync::Arc<dyn enhanced_locking_foundation::LockBackend>,
//! #     documents: std::sync::Arc<dyn enhanced_locking_foundation::DocumentStore>) -> Result<(), Box<dyn std::error::Error>> {
//! use enhanced_locking_server::AuthToken;
//! use enhanced_locking_server::atlantis::{AtlantisConfig, AtlantisPort};
//!
//! let config = AtlantisConfig { password: Some(AuthToken::new("s3cret")), ..AtlantisConfig::default() };
//! let port = AtlantisPort::bind(config, locks, documents).await?;
//! println!("start Atlantis with --redis-host {} --redis-port {}", port.local_addr().ip(), port.local_addr().port());
//! port.run(std::future::pending()).await;
//! # Ok(())
//! # }
//! ```

mod cluster;
mod commands;
mod config;
mod connection;
mod glob;
mod keys;
mod listing;
mod refusal;
mod resp;
mod script;
mod session;
mod set;
mod sightings;
mod tls;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use enhanced_locking_compat::legacy::LegacyLocks;
use enhanced_locking_foundation::{DocumentStore, LockBackend};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use config::AtlantisConfig;
pub use tls::{TlsConfig, TlsError};

use crate::BindError;
use sightings::Sightings;

/// How often the values of locks that are gone are looked for, and how many at once.
const SWEEP_PERIOD: Duration = Duration::from_secs(600);
const SWEEP_BUDGET: usize = 1_000;

/// The port, with its address and ready to run.
#[derive(Debug)]
pub struct AtlantisPort {
    shared: Arc<Shared>,
    listener: TcpListener,
    address: SocketAddr,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: AtlantisConfig,
    pub(crate) locks: LegacyLocks,
    pub(crate) sightings: Sightings,
    /// Room for requests that are longer than most.
    pub(crate) large: Arc<Semaphore>,
    /// Fires when the service stops.
    pub(crate) stopping: CancellationToken,
    pub(crate) connections_total: AtomicU64,
}

impl AtlantisPort {
    /// Listens, over a store of locks that keeps documents as well.
    ///
    /// # Errors
    /// [`BindError`] if the address cannot be had.
    pub async fn bind(
        config: AtlantisConfig,
        locks: Arc<dyn LockBackend>,
        documents: Arc<dyn DocumentStore>,
    ) -> Result<Self, BindError> {
        let failed = |source| BindError::ListenAtlantis { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let shared = Shared {
            config,
            locks: LegacyLocks::new(locks, documents),
            sightings: Sightings::default(),
            large: Arc::new(Semaphore::new(connection::LARGE_REQUESTS_MAX)),
            stopping: CancellationToken::new(),
            connections_total: AtomicU64::new(0),
        };
        Ok(Self { shared: Arc::new(shared), listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is ready; then stops accepting, answers what has arrived, and returns when all
    /// connections are closed or [`AtlantisConfig::shutdown_grace`] is over. The store stays open.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let Self { shared, listener, address } = self;
        tracing::info!(%address, "the Atlantis port is listening");
        let connections = TaskTracker::new();
        let room = Arc::new(Semaphore::new(shared.config.max_connections.min(Semaphore::MAX_PERMITS)));
        connections.spawn(sweep(Arc::clone(&shared)));
        let mut shutdown = pin!(shutdown);
        loop {
            let (stream, peer) = tokio::select! {
                () = shutdown.as_mut() => break,
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Out of file descriptors, or the client was gone already: neither ends the service.
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
            };
            match Arc::clone(&room).try_acquire_owned() {
                Ok(permit) => {
                    connections.spawn(accepted(Arc::clone(&shared), stream, peer, permit));
                }
                Err(_) => {
                    tracing::warn!(%peer, "too many connections to the Atlantis port");
                    // As Redis does. Not written in full is as good as not written.
                    drop(stream.try_write(b"-ERR max number of clients reached\r\n"));
                }
            }
        }
        drop(listener);
        shared.stopping.cancel();
        connections.close();
        if tokio::time::timeout(shared.config.shutdown_grace, connections.wait()).await.is_err() {
            tracing::warn!(
                open = connections.len(),
                "the Atlantis port stopped with requests still under way"
            );
        }
    }
}

/// One connection from its first byte to its last. The permit is given back when it ends.
async fn accepted(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
    // Answers are small and somebody waits for each.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "cannot switch off Nagle's algorithm");
    }
    let Ok(local) = stream.local_addr() else { return };
    let session = session::Session::new(&shared, peer, local);
    let ended = match &shared.config.tls {
        None => connection::serve(&shared, stream, session).await,
        Some(tls) => match tokio::time::timeout(shared.config.handshake_timeout, tls.accept(stream)).await {
            Ok(Ok(stream)) => connection::serve(&shared, stream, session).await,
            Ok(Err(error)) => Err(error),
            Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
        },
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended");
    }
    drop(permit);
}

/// Deletes what crashes left behind, a little at a time.
async fn sweep(shared: Arc<Shared>) {
    let mut cursor = None;
    loop {
        tokio::select! {
            () = shared.stopping.cancelled() => return,
            () = tokio::time::sleep(SWEEP_PERIOD) => {}
        }
        match shared.locks.sweep_orphans(cursor.as_deref(), SWEEP_BUDGET).await {
            Ok(swept) => cursor = swept.next,
            Err(error) => tracing::debug!(%error, "cannot look for values of locks that are gone"),
        }
    }
}

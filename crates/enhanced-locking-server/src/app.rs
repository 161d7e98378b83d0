//! What every handler needs at hand. Owns the shared state; the routes that use it are in `routes`.

use std::ops::Deref;
use std::sync::Arc;

use enhanced_locking_client::api::LockDefaults;
use enhanced_locking_foundation::LockBackend;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::limits::Limits;
use crate::waits::Waits;
use crate::{Operations, ServerConfig};

/// The shared state of all handlers: cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct App(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: ServerConfig,
    pub(crate) backend: Arc<dyn LockBackend>,
    pub(crate) operations: Arc<dyn Operations>,
    pub(crate) limits: Limits,
    /// The calls that wait for a lock on behalf of a connection.
    pub(crate) waits: Waits,
    /// Fires when the service stops: long polls answer, event streams end.
    pub(crate) stopping: CancellationToken,
    /// Work that outlives its request: giving up places of clients that went away.
    pub(crate) tasks: TaskTracker,
}

impl App {
    pub(crate) fn new(
        config: ServerConfig,
        backend: Arc<dyn LockBackend>,
        operations: Arc<dyn Operations>,
    ) -> Self {
        let limits = Limits::new(&config);
        Self(Arc::new(Shared {
            config,
            backend,
            operations,
            limits,
            waits: Waits::default(),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }))
    }

    pub(crate) fn defaults(&self) -> LockDefaults {
        LockDefaults { lease: self.config.default_lease, longest_call: self.config.longest_wait }
    }

    /// Whether new work is refused because the service goes down.
    pub(crate) fn is_draining(&self) -> bool {
        self.stopping.is_cancelled() || self.operations.is_draining()
    }
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

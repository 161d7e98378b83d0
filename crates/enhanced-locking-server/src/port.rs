//! What the service shows about itself: health, metrics, settings. Owns the small port and the version for a bare store.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use enhanced_locking_client::api::{
    ClusterView, ComponentView, HealthDetailView, HealthView, InfoView, StatsView,
};
use enhanced_locking_foundation::{BackendError, LockBackend};

/// What a service shows besides its locks. The manager knows all of it; [`BareStore`] does without one.
#[async_trait]
pub trait Operations: Send + Sync + std::fmt::Debug + 'static {
    /// How healthy it is, and why.
    async fn health(&self) -> HealthDetailView;

    /// The metrics as OpenMetrics text, ending with `# EOF`.
    async fn metrics_text(&self) -> String;

    /// The metrics as a JSON object, for people.
    async fn metrics_json(&self) -> String;

    /// The settings in force as a JSON object, secrets hidden.
    fn config_json(&self) -> String {
        "{}".to_owned()
    }

    /// Copies the store while it goes on, to a place of the service's own choice. Answers which.
    ///
    /// # Errors
    /// [`BackupError`].
    async fn backup(&self) -> Result<PathBuf, BackupError> {
        Err(BackupError::Unsupported)
    }

    /// The servers behind the store; `None` if it is in the service itself.
    async fn cluster(&self) -> Option<ClusterView> {
        None
    }

    /// Whether new work is refused because the service goes down.
    fn is_draining(&self) -> bool {
        false
    }

    /// The service was told to stop: refuse new work, finish what is under way.
    async fn drain(&self) {}
}

/// Why there is no copy of the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// It has no files of its own.
    #[error("this store has no files to copy; back it up with its own tools")]
    Unsupported,
    /// The copy could not be made.
    #[error(transparent)]
    Failed(#[from] BackendError),
}

/// Health and a few metrics of a store without a manager.
#[derive(Debug)]
pub struct BareStore(Arc<dyn LockBackend>);

impl BareStore {
    /// Watches a store.
    #[must_use]
    pub fn new(backend: Arc<dyn LockBackend>) -> Self {
        Self(backend)
    }
}

#[async_trait]
impl Operations for BareStore {
    async fn health(&self) -> HealthDetailView {
        let (ping, stats) = (self.0.ping().await, self.0.stats().await);
        let healthy = ping.is_ok();
        let score = if healthy { 100.0 } else { 0.0 };
        let status = if healthy { "healthy" } else { "unhealthy" };
        let detail = match ping {
            Ok(()) => "takes changes".to_owned(),
            Err(error) => error.to_string(),
        };
        HealthDetailView {
            health: HealthView { healthy, status: status.to_owned(), score },
            version: env!("CARGO_PKG_VERSION").to_owned(),
            components: vec![ComponentView { name: "store".to_owned(), score, weight: 1.0, detail }],
            store: InfoView::from(&self.0.info()),
            stats: stats.ok().as_ref().map(StatsView::from),
        }
    }

    async fn metrics_text(&self) -> String {
        let stats = self.0.stats().await.unwrap_or_default();
        let score = if self.0.ping().await.is_ok() { 100 } else { 0 };
        format!(
            "# HELP atlantis_queue_size Requests waiting in line.\n# TYPE atlantis_queue_size gauge\natlantis_queue_size {}\n\
             # HELP atlantis_locks_held Locks held.\n# TYPE atlantis_locks_held gauge\natlantis_locks_held {}\n\
             # HELP atlantis_enhanced_health_score Health from 0 to 100.\n# TYPE atlantis_enhanced_health_score gauge\natlantis_enhanced_health_score {score}\n# EOF\n",
            stats.waiting, stats.held
        )
    }

    async fn metrics_json(&self) -> String {
        let stats = self.0.stats().await.ok().as_ref().map(StatsView::from);
        serde_json::json!({ "stats": stats }).to_string()
    }
}

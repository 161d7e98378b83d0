//! What a service answers about itself and lets be done to it. Owns putting together health, figures and copies.

use std::path::PathBuf;

use async_trait::async_trait;
use enhanced_locking_client::api::{ComponentView, HealthDetailView, HealthView, InfoView, StatsView};
use enhanced_locking_foundation::{BackendError, LockBackend};
use enhanced_locking_manager::{HealthStatus, LockManager};
use enhanced_locking_server::{BackupError, Operations};

use super::store::Store;

/// What the service shows about itself, as its manager sees it.
#[derive(Debug)]
pub(super) struct Managed {
    /// The manager of the store.
    pub(super) manager: LockManager,
    /// The store.
    pub(super) store: Store,
    /// Where copies of the store go.
    pub(super) backups: PathBuf,
    /// The settings, as JSON without secrets.
    pub(super) settings: String,
}

#[async_trait]
impl Operations for Managed {
    async fn health(&self) -> HealthDetailView {
        let health = self.manager.health().await;
        let backend = self.manager.backend();
        let status = match health.status {
            HealthStatus::Healthy => "healthy",
            HealthStatus::Degraded => "degraded",
            HealthStatus::Unhealthy => "unhealthy",
        };
        HealthDetailView {
            health: HealthView {
                healthy: health.is_serving(),
                status: status.to_owned(),
                score: f64::from(health.score),
            },
            version: env!("CARGO_PKG_VERSION").to_owned(),
            components: health
                .parts
                .into_iter()
                .map(|part| ComponentView {
                    name: part.name.to_owned(),
                    score: f64::from(part.score),
                    weight: f64::from(part.weight) / 100.0,
                    detail: part.detail,
                })
                .collect(),
            store: InfoView::from(&backend.info()),
            stats: backend.stats().await.ok().as_ref().map(StatsView::from),
        }
    }

    async fn metrics_text(&self) -> String {
        self.manager.open_metrics().await
    }

    async fn metrics_json(&self) -> String {
        serde_json::to_string(&self.manager.metrics().await).unwrap_or_else(|_| "{}".to_owned())
    }

    fn config_json(&self) -> String {
        self.settings.clone()
    }

    async fn backup(&self) -> Result<PathBuf, BackupError> {
        let Store::Embedded(store) = &self.store else { return Err(BackupError::Unsupported) };
        // A name that sorts by time and needs no quotes.
        let name = store.now().await?.to_string().replace(':', "-");
        let directory = self.backups.join(name);
        let copied = store.engine().backup(&directory).await;
        copied.map_err(BackendError::from)?;
        tracing::info!(directory = %directory.display(), "the store was copied");
        Ok(directory)
    }

    fn is_draining(&self) -> bool {
        self.manager.is_draining()
    }

    async fn drain(&self) {
        self.manager.drain();
    }
}

//! What a service answers about itself and lets be done to it. Owns putting together health, figures and copies.

use std::path::PathBuf;

use async_trait::async_trait;
use enhanced_locking_client::api::{
    ClusterView, ComponentView, HealthDetailView, HealthView, InfoView, StatsView,
};
use enhanced_locking_foundation::{BackendError, LockBackend};
use enhanced_locking_manager::{HealthStatus, LockManager};
use enhanced_locking_server::{BackupError, Operations};

use super::cluster;
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
        let (healthy, score) = (health.is_serving(), f64::from(health.score));
        let parts = health.parts.into_iter().map(|part| ComponentView {
            name: part.name.to_owned(),
            score: f64::from(part.score),
            weight: f64::from(part.weight) / 100.0,
            detail: part.detail,
        });
        let mut components: Vec<ComponentView> = parts.collect();
        if let Store::Redis(store) = &self.store {
            components.push(cluster::component(&store.status().await));
        }
        HealthDetailView {
            health: HealthView { healthy, status: status.to_owned(), score },
            version: env!("CARGO_PKG_VERSION").to_owned(),
            components,
            store: InfoView::from(&backend.info()),
            stats: backend.stats().await.ok().as_ref().map(StatsView::from),
        }
    }

    async fn metrics_text(&self) -> String {
        let text = self.manager.open_metrics().await;
        match &self.store {
            Store::Redis(store) => cluster::with_metrics(text, &store.status().await),
            _ => text,
        }
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
        // Whoever reads the answer is in another directory.
        let directory = self.backups.join(name);
        let directory = std::path::absolute(&directory).unwrap_or(directory);
        let copied = store.engine().backup(&directory).await;
        copied.map_err(BackendError::from)?;
        tracing::info!(directory = %directory.display(), "the store was copied");
        Ok(directory)
    }

    async fn cluster(&self) -> Option<ClusterView> {
        let Store::Redis(store) = &self.store else { return None };
        Some(cluster::view(&store.info(), &store.status().await))
    }

    fn is_draining(&self) -> bool {
        self.manager.is_draining()
    }

    async fn drain(&self) {
        self.manager.drain();
    }
}

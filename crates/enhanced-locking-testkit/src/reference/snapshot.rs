//! What can be seen of a store from outside. Owns its normal form and reading it through the port.

use enhanced_locking_foundation::{
    BackendError, EdgeQuery, LockBackend, LockQuery, LockRecord, QueueView, ResourceKey, Stats, WaitEdge,
};

use super::command::sort;

/// The whole of a small store, in an order that does not depend on how it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Every resource that is held or waited for, in the order of keys.
    pub views: Vec<QueueView>,
    /// Every lock, in the order of keys and ids.
    pub locks: Vec<LockRecord>,
    /// The wait-for graph, in the order of keys and ids.
    pub edges: Vec<WaitEdge>,
    /// The figures.
    pub stats: Stats,
}

impl Snapshot {
    /// Reads a store through the port.
    ///
    /// # Errors
    /// [`BackendError`] if it cannot be read.
    pub async fn read(store: &dyn LockBackend, keys: &[ResourceKey]) -> Result<Self, BackendError> {
        let mut views = Vec::new();
        for key in keys {
            views.extend(store.resource(key, usize::MAX).await?);
        }
        let mut snapshot = Self {
            views,
            locks: store.locks(&LockQuery::default()).await?.items,
            edges: store.wait_edges(&EdgeQuery::All { cursor: None, limit: 0 }).await?.items,
            stats: store.stats().await?,
        };
        snapshot.normalise();
        Ok(snapshot)
    }

    /// Orders what has no order of its own: holders of one resource.
    pub fn normalise(&mut self) {
        for view in &mut self.views {
            sort(&mut view.holders);
        }
        for edge in &mut self.edges {
            edge.holders.sort();
        }
    }
}

//! The store in memory: a mutex around the table. Owns nothing durable: it is gone with the process.

use std::sync::Arc;

use enhanced_locking_foundation::{
    BackendError, BackendErrorKind, BackendInfo, Clock, Durability, Timestamp,
};
use parking_lot::Mutex;

use crate::backend::{Engine, TableBackend};
use crate::{Feed, LockTable, TablePolicy};

/// A backend whose locks live and die with the process: for tests, and for locks inside one program.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// use std::sync::Arc;
/// use enhanced_locking_core::{TablePolicy, memory::MemoryBackend};
/// use enhanced_locking_foundation::{AcquireOutcome, AcquireRequest, LockBackend, OwnerId, ResourceKey, SteadyClock};
///
/// let locks = MemoryBackend::new(TablePolicy::default(), Arc::new(SteadyClock::new()));
/// let request = AcquireRequest::new(ResourceKey::new("demo")?, OwnerId::new("me")?);
/// let AcquireOutcome::Held(record) = locks.acquire(request).await? else { panic!("nobody else is here") };
/// locks.release(&record.grant()).await?;
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type MemoryBackend = TableBackend<MemoryEngine>;

impl MemoryBackend {
    /// An empty store that keeps time by `clock`.
    #[must_use]
    pub fn new(policy: TablePolicy, clock: Arc<dyn Clock>) -> Arc<Self> {
        let feed = Feed::new(policy.limits.events, 0);
        let table = Mutex::new(Some(LockTable::new(policy)));
        Arc::new(Self::of(MemoryEngine { table, clock, feed }))
    }
}

/// A mutex around a table.
#[derive(Debug)]
pub struct MemoryEngine {
    /// `None` once it is closed.
    table: Mutex<Option<LockTable>>,
    clock: Arc<dyn Clock>,
    feed: Feed,
}

impl Engine for MemoryEngine {
    fn info(&self) -> BackendInfo {
        BackendInfo { name: "memory", location: "this process".to_owned(), durability: Durability::Process }
    }

    async fn submit<R: Send + 'static>(
        &self,
        change: impl FnOnce(&mut LockTable, Timestamp) -> R + Send + 'static,
    ) -> Result<R, BackendError> {
        let mut table = self.table.lock();
        let table = table.as_mut().ok_or_else(closed)?;
        let result = change(table, self.clock.now());
        // Published under the lock: the feed has the order of the table.
        self.feed.publish(table.drain_events());
        Ok(result)
    }

    async fn read<R: Send>(
        &self,
        question: impl Fn(&LockTable, Timestamp) -> R + Send,
    ) -> Result<R, BackendError> {
        let table = self.table.lock();
        let table = table.as_ref().ok_or_else(closed)?;
        Ok(question(table, self.clock.now()))
    }

    fn feed(&self) -> &Feed {
        &self.feed
    }

    async fn close(&self) -> Result<(), BackendError> {
        *self.table.lock() = None;
        Ok(())
    }
}

fn closed() -> BackendError {
    BackendError::new(BackendErrorKind::Closed, "this store was closed by its process")
}

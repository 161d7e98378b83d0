//! How much of documents is on its way to a table at once: an engine that stands still gets no more than a bounded part.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use enhanced_locking_core::backend::{Engine, TableBackend};
use enhanced_locking_core::{Feed, LockTable, TablePolicy};
use enhanced_locking_foundation::{
    BackendError, BackendInfo, DocumentName, DocumentOutcome, DocumentStore, DocumentUpdate, Durability,
    Timestamp,
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// Takes changes at once, and applies them when it is told to.
#[derive(Debug)]
struct Still {
    table: Mutex<LockTable>,
    taken: AtomicUsize,
    go: Semaphore,
    feed: Feed,
}

impl Engine for Still {
    fn info(&self) -> BackendInfo {
        BackendInfo { name: "still", location: String::new(), durability: Durability::Process }
    }

    async fn submit<R: Send + 'static>(
        &self,
        change: impl FnOnce(&mut LockTable, Timestamp) -> R + Send + 'static,
    ) -> Result<R, BackendError> {
        self.taken.fetch_add(1, Ordering::SeqCst);
        let _ = self.go.acquire().await.map(tokio::sync::SemaphorePermit::forget);
        Ok(change(&mut self.table.lock(), Timestamp::ZERO))
    }

    async fn read<R: Send>(
        &self,
        question: impl Fn(&LockTable, Timestamp) -> R + Send,
    ) -> Result<R, BackendError> {
        Ok(question(&self.table.lock(), Timestamp::ZERO))
    }

    fn feed(&self) -> &Feed {
        &self.feed
    }

    async fn close(&self) -> Result<(), BackendError> {
        Ok(())
    }
}

#[tokio::test]
async fn no_more_than_eight_of_the_longest_are_on_their_way() {
    let table = Mutex::new(LockTable::new(TablePolicy::default()));
    let engine = Still { table, taken: AtomicUsize::new(0), go: Semaphore::new(0), feed: Feed::new(10, 0) };
    let store = Arc::new(TableBackend::of(engine));
    let mut puts = tokio::task::JoinSet::new();
    for n in 0..12_u8 {
        let (store, name) = (Arc::clone(&store), DocumentName::new(n.to_string()).unwrap());
        puts.spawn(async move {
            let update = DocumentUpdate::write(vec![n; DocumentUpdate::MAX_VALUE]);
            store.put_document(&name, update).await.unwrap()
        });
    }
    let settle = async || {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        store.engine().taken.load(Ordering::SeqCst)
    };
    assert_eq!(settle().await, 8);
    store.engine().go.add_permits(1);
    assert_eq!(settle().await, 9);
    // Whoever gives up makes room as well.
    puts.abort_all();
    while puts.join_next().await.is_some() {}
    store.engine().go.add_permits(100);
    let name = DocumentName::new("later").unwrap();
    let put = store.put_document(&name, DocumentUpdate::write(vec![0; DocumentUpdate::MAX_VALUE])).await;
    assert_eq!(put.unwrap(), DocumentOutcome::Done { existed: false });
}

//! How much of documents is on its way to a table at once: an engine that stands still gets no more than a bounded part.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use enhanced_locking_core::backend::{Engine, TableBackend};
use enhanced_locking_core::{Feed, LockTable, TablePolicy};
use enhanced_locking_foundation::{
    BackendError, BackendErrorKind, BackendInfo, DocumentName, DocumentOutcome, DocumentStore,
    DocumentUpdate, Durability, Timestamp,
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// Takes changes at once, and applies them when it is told to.
#[derive(Debug)]
struct Still {
    table: Arc<Mutex<LockTable>>,
    taken: AtomicUsize,
    go: Arc<Semaphore>,
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
        let (table, go) = (Arc::clone(&self.table), Arc::clone(&self.go));
        // As behind a queue: it stays although its caller goes away.
        let change = tokio::spawn(async move {
            let _ = go.acquire().await.map(tokio::sync::SemaphorePermit::forget);
            change(&mut table.lock(), Timestamp::ZERO)
        });
        change.await.map_err(|e| BackendError::new(BackendErrorKind::Internal, e.to_string()))
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
    let table = Arc::new(Mutex::new(LockTable::new(TablePolicy::default())));
    let engine =
        Still { table, taken: AtomicUsize::new(0), go: Arc::new(Semaphore::new(0)), feed: Feed::new(10, 0) };
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
    // What callers leave behind when they go away takes its room until it is done.
    puts.abort_all();
    while puts.join_next().await.is_some() {}
    let later = Arc::clone(&store);
    let put = tokio::spawn(async move {
        let update = DocumentUpdate::write(vec![0; DocumentUpdate::MAX_VALUE]);
        later.put_document(&DocumentName::new("later").unwrap(), update).await.unwrap()
    });
    assert_eq!(settle().await, 9);
    store.engine().go.add_permits(100);
    assert_eq!(put.await.unwrap(), DocumentOutcome::Done { existed: false });
}

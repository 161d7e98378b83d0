//! All that can be seen of a store, as one text: two stores with the same picture hold the same locks and documents.

use std::fmt::Write;

use enhanced_locking_embedded::EmbeddedBackend;
use enhanced_locking_foundation::{
    DocumentStore, EventCursor, LockBackend, LockQuery, QueueQuery, RequestId,
};

/// Locks, lines, events, what became of some requests, and documents.
pub(crate) async fn picture(
    store: &EmbeddedBackend,
    requests: impl IntoIterator<Item = RequestId>,
) -> String {
    let mut text = String::new();
    let locks =
        store.locks(&LockQuery { limit: 1_000, ..LockQuery::default() }).await.expect("it lists locks");
    assert!(locks.next.is_none(), "the picture would not be whole");
    for lock in locks.items {
        writeln!(text, "{lock:?}").expect("memory");
    }
    let query = QueueQuery { limit: 1_000, waiters: 1_000, ..QueueQuery::default() };
    for queue in store.queues(&query).await.expect("it lists lines").items {
        writeln!(text, "{queue:?}").expect("memory");
    }
    let page = store.events(&EventCursor::start(), 10_000).await.expect("it lists events");
    for event in page.events {
        writeln!(text, "{event:?}").expect("memory");
    }
    for id in requests {
        writeln!(text, "{id}: {:?}", store.find(&id).await.expect("it finds requests")).expect("memory");
    }
    let names = store.documents("", None, 0).await.expect("it lists documents");
    assert!(names.next.is_none(), "the picture would not be whole");
    for name in names.items {
        let value = store.document(&name).await.expect("it reads documents");
        writeln!(text, "{name}: {}", value.expect("it is listed").escape_ascii()).expect("memory");
    }
    text
}

//! Values whose lock is gone are found, and no others are touched.

use enhanced_locking_compat::legacy::Swept;
use enhanced_locking_foundation::RequestId;

use crate::common::{Store, TEXT, of_pull, value};

#[tokio::test]
async fn only_old_values_of_locks_that_are_gone_are_deleted() {
    let store = Store::new();
    store.lock(&of_pull(1)).await;
    {
        let mut map = store.documents.map.lock();
        map.insert("atlantis/lock/by-hand".to_owned(), Vec::new());
        map.insert("atlantis/lock/01890000-0000-7000-8000-000000000000".to_owned(), Vec::new());
        // Perhaps of a lock that is being taken.
        map.insert(format!("atlantis/lock/{}", RequestId::generate()), Vec::new());
        map.insert("atlantis/key/h::o/r::1".to_owned(), Vec::new());
    }
    let swept = store.legacy.sweep_orphans(None, 100).await.unwrap();
    assert_eq!(swept, Swept { seen: 4, deleted: 2, next: None });
    assert_eq!(store.documents.names().len(), 3);
    assert_eq!(store.legacy.get_lock(TEXT).await.unwrap().unwrap().value, of_pull(1));
}

#[tokio::test]
async fn a_sweep_is_bounded_and_goes_on_where_it_ended() {
    let store = Store::new();
    for path in 0..5 {
        store.lock(&value(|lock| lock.project.path = format!("p{path}"))).await;
    }
    let (mut seen, mut sweeps, mut cursor) = (0, 0, None);
    loop {
        let swept = store.legacy.sweep_orphans(cursor.as_deref(), 2).await.unwrap();
        assert!(swept.seen <= 2 && swept.deleted == 0, "{swept:?}");
        (seen, sweeps, cursor) = (seen + swept.seen, sweeps + 1, swept.next);
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!((seen, sweeps), (5, 3));
}

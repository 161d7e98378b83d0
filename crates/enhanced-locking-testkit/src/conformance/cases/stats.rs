//! Cases about the figures of a store.

use enhanced_locking_foundation::{Priority, Stats};

use crate::conformance::{Bench, Fixture, ask, fail, secs};

async fn stats(t: &Bench<'_>) -> Stats {
    match t.store.stats().await {
        Ok(stats) => stats,
        Err(error) => fail(format_args!("{error}")),
    }
}

pub async fn an_empty_store_counts_nothing(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    assert_eq!(stats(&t).await, Stats { now: t.now().await, ..Stats::default() });
}

pub async fn locks_waiters_and_resources_are_counted(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    for name in ["r1", "r2", "r3"] {
        t.held(&ask(&key, name).shared()).await;
    }
    t.held(&ask(&t.key("other"), "r1")).await;
    t.queued(&ask(&key, "w1").priority(Priority::High)).await;
    t.queued(&ask(&key, "w2").priority(Priority::High)).await;
    t.queued(&ask(&t.key("other"), "w1").priority(Priority::Low)).await;
    let counted = stats(&t).await;
    assert_eq!((counted.held, counted.waiting, counted.resources), (4, 3, 2));
    assert_eq!(counted.waiting_by_priority, [1, 0, 2, 0, 0]);
}

pub async fn the_oldest_wait_is_told(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let first = ask(&key, "b");
    t.queued(&first).await;
    t.advance(secs(5)).await;
    t.queued(&ask(&key, "c")).await;
    t.advance(secs(2)).await;
    assert_eq!(stats(&t).await.oldest_wait, secs(7));
    t.cancel(&first).await;
    assert_eq!(stats(&t).await.oldest_wait, secs(2));
}

pub async fn counts_go_back_to_nothing(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let holder = t.held(&ask(&key, "a")).await;
    let waiter = ask(&key, "b").priority(Priority::Critical);
    t.queued(&waiter).await;
    assert!(t.store.reprioritise(&waiter.ticket(), Priority::Low).await.is_ok());
    assert_eq!(stats(&t).await.waiting_by_priority, [1, 0, 0, 0, 0]);
    let next = t.release(&holder).await.remove(0);
    t.release(&next).await;
    assert_eq!(stats(&t).await, Stats { now: t.now().await, ..Stats::default() });
}

//! Cases about the first thing every change does: ending what is over on its key, and handing on (design §4).

use enhanced_locking_foundation::{
    CancelOutcome, Cause, Cleared, EdgeQuery, EndReason, LockQuery, LockRecord, Priority, QueueQuery,
    ReprioritiseError, Selector,
};

use crate::conformance::{Bench, Fixture, ask, fail, leased, owner, secs};

/// `a` holds with a lease that has run out, `b` waits behind it. Nobody has looked yet.
async fn expired(t: &Bench<'_>) -> (LockRecord, enhanced_locking_foundation::AcquireRequest) {
    let key = t.key("k");
    let record = t.held(&leased(&key, "a")).await;
    let waiter = ask(&key, "b");
    t.queued(&waiter).await;
    t.advance(secs(30)).await;
    (record, waiter)
}

pub async fn a_force_meets_no_expired_holder(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let (old, waiter) = expired(&t).await;
    let key = &waiter.key;
    match t.store.force_release(key, Some(&old.request.id), Cause::none()).await {
        Ok(forced) => assert!(forced.is_empty(), "its lease ran out before: {forced:?}"),
        Err(error) => fail(format_args!("force: {error}")),
    }
    t.ended(&old.request, EndReason::Expired).await;
    assert_eq!(t.holders(key).await, ["b"]);
}

pub async fn a_clearing_meets_no_expired_holder(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let (old, waiter) = expired(&t).await;
    match t.store.clear(&Selector::Owner(owner("a")), Cause::none()).await {
        Ok(cleared) => assert_eq!(cleared, Cleared::default(), "there was nothing left to clear"),
        Err(error) => fail(format_args!("clear: {error}")),
    }
    t.ended(&old.request, EndReason::Expired).await;
    t.holds(&waiter).await;
}

pub async fn a_cancel_finds_what_was_due_to_be_granted(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let (_, waiter) = expired(&t).await;
    let outcome = t.cancel(&waiter).await;
    assert_eq!(outcome, CancelOutcome::Held(t.holds(&waiter).await), "the lock was its own already");
}

pub async fn a_priority_finds_what_was_due_to_be_granted(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let (_, waiter) = expired(&t).await;
    let answer = t.store.reprioritise(&waiter.ticket(), Priority::High).await;
    assert!(matches!(answer, Err(ReprioritiseError::NotQueued)), "{answer:?}");
    t.holds(&waiter).await;
}

pub async fn everything_that_is_over_ends_before_anybody_is_granted(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    // Shared holders and those behind, over at four different times, two of them at one.
    for (name, seconds) in [("d", 20), ("c", 10), ("e", 20)] {
        t.held(&leased(&key, name).shared().lease(enhanced_locking_foundation::Lease::For(secs(seconds))))
            .await;
    }
    t.queued(&leased(&key, "f")).await;
    let next = ask(&key, "g");
    t.queued(&next).await;
    t.advance(secs(60)).await;
    let mark = t.mark().await;
    t.holds(&next).await;
    let want = ["expired c", "expired d", "expired e", "abandoned f", "granted g"];
    assert_eq!(t.story(&mark).await, want, "in the order of their times, and of ids");
}

pub async fn another_key_is_left_alone(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let (old, _) = expired(&t).await;
    let mark = t.mark().await;
    t.held(&ask(&t.key("other"), "c")).await;
    assert_eq!(t.story(&mark).await, ["acquired c"]);
    assert_eq!(t.view(&old.request.key).await.map(|view| view.holders), Some(vec![old]));
}

pub async fn lists_and_figures_end_nothing(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let (old, waiter) = expired(&t).await;
    let mark = t.mark().await;
    let locks = t.store.locks(&LockQuery::default()).await.map(|page| page.items);
    assert_eq!(locks.ok(), Some(vec![old]));
    let queues = t.store.queues(&QueueQuery { waiters: 5, ..QueueQuery::default() }).await;
    assert_eq!(queues.map(|page| page.items.len()).ok(), Some(1));
    let edges = t.store.wait_edges(&EdgeQuery::Owner(owner("b"))).await;
    assert_eq!(edges.map(|page| page.items.len()).ok(), Some(1));
    let stats = t.store.stats().await;
    assert_eq!(stats.map(|stats| (stats.held, stats.waiting)).ok(), Some((1, 1)));
    assert!(t.story(&mark).await.is_empty(), "reads change nothing");
    t.holds(&waiter).await;
}

//! Cases about asking again as the same owner (design §4, "reentrancy").

use enhanced_locking_foundation::{AcquireError, Wait};

use crate::conformance::{Bench, Fixture, ask, leased, secs};

pub async fn the_holder_gets_its_own_grant_back(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let first = t.held(&ask(&key, "a")).await;
    let mark = t.mark().await;
    assert_eq!(t.held(&ask(&key, "a")).await, first, "same request, same token");
    assert_eq!(t.held(&ask(&key, "a").wait(Wait::No)).await, first);
    assert!(t.story(&mark).await.is_empty(), "asking again is no change");
}

pub async fn an_exclusive_holder_that_asks_for_shared_has_it(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let first = t.held(&ask(&key, "a")).await;
    assert_eq!(t.held(&ask(&key, "a").shared()).await, first);
    t.queued(&ask(&key, "b").shared()).await;
}

pub async fn a_shared_holder_that_asks_for_exclusive_is_refused(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let first = t.held(&ask(&key, "a").shared()).await;
    let error = t.refused(&ask(&key, "a")).await;
    assert!(matches!(error, AcquireError::Upgrade), "{error:?}");
    assert_eq!(t.held(&ask(&key, "a").shared()).await, first, "and still holds what it had");
}

pub async fn a_waiting_owner_keeps_its_place(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let first = ask(&key, "b");
    t.queued(&first).await;
    t.queued(&ask(&key, "c")).await;
    let mark = t.mark().await;
    let place = t.queued(&ask(&key, "b")).await;
    assert_eq!(place.request.id, first.id, "the place is the earlier request's");
    assert_eq!((place.position, place.depth), (1, 2));
    assert!(t.story(&mark).await.is_empty(), "asking again is no change");
}

pub async fn a_waiting_reader_that_asks_for_exclusive_is_refused(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let reader = ask(&key, "b").shared();
    t.queued(&reader).await;
    let error = t.refused(&ask(&key, "b")).await;
    assert!(matches!(error, AcquireError::Upgrade), "{error:?}");
    t.waits(&reader).await;
}

pub async fn a_waiting_writer_that_asks_for_shared_keeps_its_place(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a").shared()).await;
    let writer = ask(&key, "b");
    t.queued(&writer).await;
    assert_eq!(t.queued(&ask(&key, "b").shared()).await.request.id, writer.id);
}

pub async fn asking_again_does_not_lengthen_the_lease(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let first = t.held(&leased(&key, "a")).await;
    t.advance(secs(20)).await;
    assert_eq!(t.held(&leased(&key, "a")).await, first, "renewing is what lengthens a lease");
}

pub async fn an_owner_may_hold_many_keys(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    for name in ["k1", "k2", "k3"] {
        t.held(&ask(&t.key(name), "a")).await;
    }
    for name in ["k1", "k2", "k3"] {
        assert_eq!(t.holders(&t.key(name)).await, ["a"]);
    }
}

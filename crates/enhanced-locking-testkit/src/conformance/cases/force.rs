//! Cases about an operator taking locks away.

use enhanced_locking_foundation::{Cause, EndReason, EventKind, LockRecord, RequestId, ResourceKey};

use crate::conformance::{Bench, Fixture, ask, fail};

fn because() -> Cause {
    Cause::new("ops", "the runner is gone").unwrap_or_default()
}

async fn force(t: &Bench<'_>, key: &ResourceKey, id: Option<&RequestId>) -> Vec<LockRecord> {
    match t.store.force_release(key, id, because()).await {
        Ok(records) => records,
        Err(error) => fail(format_args!("force: {error}\n{}", t.line(key).await)),
    }
}

pub async fn a_forced_lock_goes_to_the_next(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let request = ask(&key, "a");
    let record = t.held(&request).await;
    let next = ask(&key, "b");
    t.queued(&next).await;
    let mark = t.mark().await;
    assert_eq!(force(&t, &key, None).await, std::slice::from_ref(&record));
    assert!(t.holds(&next).await.token > record.token);
    let ended = t.ended(&request, EndReason::ForceReleased).await;
    assert_eq!(ended.token, Some(record.token));
    let events = t.events_after(mark).await;
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(events[0].kind, EventKind::Ended { reason: EndReason::ForceReleased, cause: because() });
    assert_eq!(events[0].request.as_ref(), Some(&record.request));
}

pub async fn a_holder_that_was_forced_out_finds_out(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let record = t.held(&ask(&key, "a")).await;
    force(&t, &key, None).await;
    for error in [Some(t.not_released(&record).await), t.renew(&record, None).await.err()] {
        let reason = error.and_then(|error| error.ended).map(|ended| ended.reason);
        assert_eq!(reason, Some(EndReason::ForceReleased));
    }
}

pub async fn only_the_named_holder_is_forced_out(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let first = ask(&key, "a").shared();
    t.held(&first).await;
    t.held(&ask(&key, "b").shared()).await;
    assert_eq!(force(&t, &key, Some(&first.id)).await.len(), 1);
    assert_eq!(t.holders(&key).await, ["b"]);
}

pub async fn all_holders_are_forced_out_without_a_name(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    for name in ["a", "b", "c"] {
        t.held(&ask(&key, name).shared()).await;
    }
    let writer = ask(&key, "w");
    t.queued(&writer).await;
    assert_eq!(force(&t, &key, None).await.len(), 3);
    t.holds(&writer).await;
}

pub async fn forcing_a_free_key_takes_nothing(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    assert!(force(&t, &key, None).await.is_empty());
    assert!(t.events().await.is_empty(), "nothing changed");
}

pub async fn forcing_somebody_else_takes_nothing(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let waiter = ask(&key, "b");
    t.queued(&waiter).await;
    for id in [&waiter.id, &ask(&key, "x").id] {
        assert!(force(&t, &key, Some(id)).await.is_empty(), "{id} holds nothing");
    }
    assert_eq!((t.holders(&key).await, t.waiting(&key).await), (vec!["a".into()], vec!["b".into()]));
}

pub async fn holders_are_forced_out_in_the_order_of_their_ids(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let mut records = Vec::new();
    // The id begins with the name.
    for name in ["c", "a", "d", "b"] {
        records.push(t.held(&ask(&key, name).shared()).await);
    }
    t.release(&records[1]).await;
    let mark = t.mark().await;
    let forced = force(&t, &key, None).await;
    assert_eq!(forced.iter().map(|record| record.owner().as_str()).collect::<Vec<_>>(), ["b", "c", "d"]);
    assert_eq!(t.story(&mark).await, ["force_released b", "force_released c", "force_released d"]);
}

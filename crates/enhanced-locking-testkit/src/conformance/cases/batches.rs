//! Cases about taking several locks at once: all or nothing.

use enhanced_locking_foundation::{
    AcquireError, AcquireRequest, BatchOutcome, LockRecord, Priority, QueuePlace, RequestId,
};

use crate::conformance::{Bench, Fixture, ask, fail, leased, secs};

async fn all(t: &Bench<'_>, requests: &[AcquireRequest]) -> Result<BatchOutcome, AcquireError> {
    t.store.acquire_all(requests.to_vec()).await
}

async fn all_held(t: &Bench<'_>, requests: &[AcquireRequest]) -> Vec<LockRecord> {
    match all(t, requests).await {
        Ok(BatchOutcome::Held(records)) => records,
        other => fail(format_args!("the batch should be held: {other:?}")),
    }
}

async fn all_busy(t: &Bench<'_>, requests: &[AcquireRequest]) -> Vec<(RequestId, Vec<LockRecord>)> {
    match all(t, requests).await {
        Ok(BatchOutcome::Busy(blocked)) => blocked,
        other => fail(format_args!("the batch should be blocked: {other:?}")),
    }
}

async fn all_refused(t: &Bench<'_>, requests: &[AcquireRequest]) -> AcquireError {
    match all(t, requests).await {
        Err(error) => error,
        Ok(other) => fail(format_args!("the batch should be refused: {other:?}")),
    }
}

fn batch(t: &Bench<'_>, names: &[&str]) -> Vec<AcquireRequest> {
    names.iter().map(|name| ask(&t.key(name), "a")).collect()
}

pub async fn a_batch_is_held_together_in_the_order_asked(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let requests = batch(&t, &["z", "m", "a"]);
    let records = all_held(&t, &requests).await;
    assert_eq!(records.iter().map(|record| (*record.request).clone()).collect::<Vec<_>>(), requests);
    for request in &requests {
        assert_eq!(t.holders(&request.key).await, ["a"]);
        assert!(t.holds(request).await.claim_by.is_none());
    }
    assert_eq!(t.events().await.len(), 3, "one event each");
}

pub async fn one_blocked_key_leaves_all_as_they_were(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let requests = batch(&t, &["k1", "k2", "k3"]);
    let holder = t.held(&ask(&requests[1].key, "b")).await;
    let mark = t.mark().await;
    let blocked = all_busy(&t, &requests).await;
    assert_eq!(blocked, [(requests[1].id.clone(), vec![holder.clone()])]);
    assert!(t.story(&mark).await.is_empty(), "nothing changed");
    assert_eq!((t.view(&requests[0].key).await, t.view(&requests[2].key).await), (None, None));
    assert!(t.waiting(&requests[1].key).await.is_empty(), "a batch does not join lines");
    t.release(&holder).await;
    all_held(&t, &requests).await;
}

pub async fn every_blocked_key_is_named(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let requests = batch(&t, &["k1", "k2", "k3"]);
    t.held(&ask(&requests[0].key, "b")).await;
    t.held(&ask(&requests[2].key, "c")).await;
    let blocked = all_busy(&t, &requests).await;
    let ids: Vec<_> = blocked.iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(ids, [requests[0].id.clone(), requests[2].id.clone()]);
}

pub async fn a_key_asked_for_twice_is_refused(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let requests = batch(&t, &["k1", "k2", "k1"]);
    match all_refused(&t, &requests).await {
        AcquireError::DuplicateKey { key } => assert_eq!(key, requests[0].key),
        other => fail(format_args!("{other:?}")),
    }
    assert_eq!(t.view(&requests[1].key).await, None);
}

pub async fn an_id_named_twice_in_a_batch_is_refused(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let mut requests = batch(&t, &["k1", "k2", "k3"]);
    requests[2].id = requests[0].id.clone();
    let mark = t.mark().await;
    match all_refused(&t, &requests).await {
        AcquireError::IdReused { id } => assert_eq!(id, requests[0].id),
        other => fail(format_args!("{other:?}")),
    }
    assert!(t.story(&mark).await.is_empty(), "nothing changed");
    for request in &requests {
        assert_eq!(t.view(&request.key).await, None);
    }
    requests.pop();
    all_held(&t, &requests).await;
}

pub async fn a_batch_has_a_greatest_size(f: &dyn Fixture) {
    let t = Bench::with(f, |policy| policy.limits.batch = 2).await;
    all_held(&t, &batch(&t, &["k1", "k2"])).await;
    let requests = batch(&t, &["k3", "k4", "k5"]);
    match all_refused(&t, &requests).await {
        AcquireError::LimitReached { what, limit } => assert_eq!((what, limit), ("locks in one batch", 2)),
        other => fail(format_args!("{other:?}")),
    }
    assert_eq!(t.view(&requests[0].key).await, None);
}

pub async fn own_locks_count_as_granted(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let requests = batch(&t, &["k1", "k2"]);
    let own = t.held(&ask(&requests[0].key, "a")).await;
    let mark = t.mark().await;
    let records = all_held(&t, &requests).await;
    assert_eq!(records[0], own, "the grant it had, unchanged");
    assert_eq!(records[1].request.id, requests[1].id);
    assert_eq!(t.story(&mark).await, ["acquired a"]);
}

pub async fn a_retried_batch_gets_the_same_grants(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let requests = batch(&t, &["k1", "k2"]);
    let first = all_held(&t, &requests).await;
    let mark = t.mark().await;
    assert_eq!(all_held(&t, &requests).await, first);
    assert!(t.story(&mark).await.is_empty(), "a retry is no change");
}

pub async fn a_finished_request_fails_the_whole_batch(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let requests = batch(&t, &["k1", "k2"]);
    let record = t.held(&requests[1]).await;
    t.release(&record).await;
    match all_refused(&t, &requests).await {
        AcquireError::Finished { id, .. } => assert_eq!(id, requests[1].id),
        other => fail(format_args!("{other:?}")),
    }
    assert_eq!(t.view(&requests[0].key).await, None, "nothing changed");
}

pub async fn an_upgrade_fails_the_whole_batch(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let requests = batch(&t, &["k1", "k2"]);
    t.held(&ask(&requests[1].key, "a").shared()).await;
    let error = all_refused(&t, &requests).await;
    assert!(matches!(error, AcquireError::Upgrade), "{error:?}");
    assert_eq!(t.view(&requests[0].key).await, None, "nothing changed");
}

pub async fn an_id_in_use_fails_the_whole_batch(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let mut requests = batch(&t, &["k1", "k2"]);
    let other = ask(&requests[1].key, "b");
    t.held(&other).await;
    requests[1].id = other.id;
    let error = all_refused(&t, &requests).await;
    assert!(matches!(error, AcquireError::IdReused { .. }), "{error:?}");
    assert_eq!(t.view(&requests[0].key).await, None, "nothing changed");
}

pub async fn a_batch_does_not_pass_a_waiting_writer(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let reader = t.held(&ask(&key, "b").shared()).await;
    t.queued(&ask(&key, "w")).await;
    let requests = [ask(&t.key("other"), "a").shared(), ask(&key, "a").shared()];
    assert_eq!(all_busy(&t, &requests).await, [(requests[1].id.clone(), vec![reader])]);
}

pub async fn an_empty_batch_is_held(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    assert!(all_held(&t, &[]).await.is_empty());
    assert!(t.events().await.is_empty());
}

pub async fn locks_of_a_batch_live_on_their_own(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let requests = [leased(&t.key("k1"), "a"), ask(&t.key("k2"), "b").shared()];
    let records = all_held(&t, &requests).await;
    t.release(&records[0]).await;
    assert_eq!(t.holders(&requests[1].key).await, ["b"]);
    t.held(&ask(&requests[1].key, "c").shared()).await;
}

pub async fn a_batch_frees_what_has_expired_first(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let requests = batch(&t, &["k1", "k2"]);
    t.held(&leased(&requests[0].key, "b")).await;
    t.advance(secs(30)).await;
    all_held(&t, &requests).await;
}

pub async fn a_batch_gives_no_second_place_to_an_owner_that_waits(f: &dyn Fixture) {
    let t = Bench::with(f, |policy| policy.credits = [0, 10, 30, 60, 120].map(secs)).await;
    let key = t.key("k");
    let reader = t.held(&ask(&key, "b").shared()).await;
    let waiting = ask(&key, "a");
    t.queued(&waiting).await;
    // Shared gets along with the holder, and so important a request ranks before its owner's own that waits.
    let request = ask(&key, "a").shared().priority(Priority::Emergency);
    assert_eq!(all_busy(&t, std::slice::from_ref(&request)).await, [(request.id, vec![reader])]);
    t.waits(&waiting).await;
    assert_eq!(t.holders(&key).await, ["b"]);
}

pub async fn a_blocked_key_of_a_batch_names_at_most_sixteen_holders(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    for i in 0..=QueuePlace::MAX_BLOCKERS {
        t.held(&ask(&key, &format!("reader-{i}")).shared()).await;
    }
    let blocked = all_busy(&t, &[ask(&key, "a")]).await;
    assert_eq!(blocked[0].1.len(), QueuePlace::MAX_BLOCKERS);
}

pub async fn a_retry_fails_a_batch_once_it_is_over(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let requests = batch(&t, &["k1", "k2"]);
    let records = all_held(&t, &requests).await;
    t.release(&records[0]).await;
    let mark = t.mark().await;
    match all_refused(&t, &requests).await {
        AcquireError::Finished { id, ended } => {
            assert_eq!((id, ended.token), (requests[0].id.clone(), Some(records[0].token)));
        }
        other => fail(format_args!("{other:?}")),
    }
    assert!(t.story(&mark).await.is_empty(), "nothing changed");
    assert_eq!(t.holders(&requests[1].key).await, ["a"], "what it still holds stays");
}

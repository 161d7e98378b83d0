//! Cases about doing things twice: the same answer, no second change (invariant 5).

use enhanced_locking_foundation::{
    AcquireError, CancelOutcome, EndReason, FencingToken, Grant, Lease, Priority, ReleaseError,
    ReleaseOutcome, RequestState, Wait,
};

use crate::conformance::{Bench, Fixture, ask, fail, leased};

pub async fn a_retry_of_a_granted_request_gets_the_same_grant(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let request = ask(&t.key("k"), "a");
    let first = t.held(&request).await;
    let mark = t.mark().await;
    assert_eq!(t.held(&request).await, first);
    assert!(t.story(&mark).await.is_empty(), "a retry is no change");
}

pub async fn a_retry_of_a_waiting_request_keeps_its_place(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let request = ask(&key, "b");
    let first = t.queued(&request).await;
    let mark = t.mark().await;
    assert_eq!(t.queued(&request).await, first);
    assert!(t.story(&mark).await.is_empty(), "a retry is no change");
}

pub async fn a_retry_after_the_end_is_not_granted_anew(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let request = ask(&t.key("k"), "a");
    let record = t.held(&request).await;
    t.release(&record).await;
    let ended = t.over(&request).await;
    assert_eq!((ended.reason, ended.token), (EndReason::Released, Some(record.token)));
    assert_eq!(ended.at, t.now().await);
    assert_eq!(t.view(&request.key).await, None);
}

pub async fn an_id_of_another_owner_is_refused(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let holder = ask(&key, "a");
    t.held(&holder).await;
    let waiter = ask(&key, "b");
    t.queued(&waiter).await;
    for used in [&holder, &waiter] {
        let error = t.refused(&ask(&key, "c").id(used.id.clone())).await;
        assert!(matches!(&error, AcquireError::IdReused { id } if *id == used.id), "{error:?}");
    }
    assert_eq!(t.waiting(&key).await, ["b"]);
}

pub async fn an_id_with_another_mode_is_refused(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let request = ask(&key, "a");
    t.held(&request).await;
    let error = t.refused(&request.clone().shared()).await;
    assert!(matches!(error, AcquireError::IdReused { .. }), "the id is looked at first: {error:?}");
}

pub async fn an_id_that_lives_on_another_key_is_refused(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let (key, other) = (t.key("k"), t.key("other"));
    let holder = ask(&key, "a");
    t.held(&holder).await;
    let waiter = ask(&key, "b");
    t.queued(&waiter).await;
    let mark = t.mark().await;
    for used in [&holder, &waiter] {
        let asked = ask(&other, used.owner.as_str()).id(used.id.clone());
        let alone = t.refused(&asked).await;
        assert!(matches!(&alone, AcquireError::IdReused { id } if *id == used.id), "{alone:?}");
        let batch = t.store.acquire_all(vec![ask(&t.key("free"), "a"), asked]).await;
        assert!(matches!(&batch, Err(AcquireError::IdReused { id }) if *id == used.id), "{batch:?}");
    }
    assert!(t.story(&mark).await.is_empty(), "nothing changed");
    // Also where somebody is in the way, who would otherwise be named.
    t.held(&ask(&other, "c")).await;
    let error = t.refused(&ask(&other, "a").id(holder.id.clone()).wait(Wait::No)).await;
    assert!(matches!(error, AcquireError::IdReused { .. }), "{error:?}");
    assert_eq!((t.holders(&key).await, t.waiting(&key).await), (vec!["a".into()], vec!["b".into()]));
    assert_eq!((t.holders(&other).await, t.waiting(&other).await), (vec!["c".into()], vec![]));
}

pub async fn a_finished_id_is_over_for_every_owner(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let request = ask(&key, "a");
    let record = t.held(&request).await;
    t.release(&record).await;
    t.over(&ask(&key, "b").id(request.id)).await;
}

pub async fn a_second_release_is_told_apart(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let record = t.held(&ask(&key, "a")).await;
    t.release(&record).await;
    let other = t.held(&ask(&key, "b")).await;
    let mark = t.mark().await;
    let again = t.store.release(&record.grant()).await;
    assert!(matches!(again, Ok(ReleaseOutcome::AlreadyReleased)), "{again:?}");
    assert!(t.story(&mark).await.is_empty(), "a retry is no change");
    assert_eq!(t.holders(&key).await, ["b"], "a late release does not hurt the next holder");
    t.release(&other).await;
}

pub async fn a_second_release_with_another_token_is_refused(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let record = t.held(&ask(&t.key("k"), "a")).await;
    t.release(&record).await;
    let mut stale = record.clone();
    stale.token = FencingToken::from_u64(record.token.as_u64() - 1);
    let error = t.not_released(&stale).await;
    assert_eq!(error.ended.map(|ended| ended.token), Some(Some(record.token)));
}

pub async fn releasing_what_was_never_held_finds_nothing(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let request = ask(&t.key("k"), "a");
    let grant = Grant { key: request.key, id: request.id, token: FencingToken::from_u64(1) };
    match t.store.release(&grant).await {
        Err(ReleaseError::NotHeld(error)) => assert_eq!((error.ended, error.current), (None, None)),
        other => fail(format_args!("{other:?}")),
    }
}

pub async fn a_waiter_has_nothing_to_release(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let holder = t.held(&ask(&key, "a")).await;
    let waiter = ask(&key, "b");
    t.queued(&waiter).await;
    let grant = Grant { key: key.clone(), id: waiter.id.clone(), token: holder.token };
    let answer = t.store.release(&grant).await;
    assert!(matches!(answer, Err(ReleaseError::NotHeld(_))), "another holder's token: {answer:?}");
    t.waits(&waiter).await;
}

pub async fn a_second_cancel_finds_the_first(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let request = ask(&key, "b");
    t.queued(&request).await;
    assert_eq!(t.cancel(&request).await, CancelOutcome::Cancelled);
    let mark = t.mark().await;
    match t.cancel(&request).await {
        CancelOutcome::Finished(ended) => assert_eq!(ended.reason, EndReason::Cancelled),
        other => fail(format_args!("{other:?}")),
    }
    assert!(t.story(&mark).await.is_empty(), "a retry is no change");
}

pub async fn the_oldest_end_is_forgotten_first(f: &dyn Fixture) {
    let t = Bench::with(f, |policy| policy.limits.finished = 2).await;
    let key = t.key("k");
    let requests = [ask(&key, "a"), ask(&key, "b"), ask(&key, "c")];
    let mut records = Vec::new();
    for request in &requests {
        records.push(t.held(request).await);
        t.release(&records[records.len() - 1]).await;
    }
    assert_eq!(t.look(&requests[0]).await, RequestState::Unknown, "two ends are remembered, not three");
    let error = t.not_released(&records[0]).await;
    assert_eq!((error.ended, error.current), (None, None));
    t.ended(&requests[1], EndReason::Released).await;
    t.ended(&requests[2], EndReason::Released).await;
}

pub async fn a_retry_with_other_details_is_the_same_request(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let holder = leased(&key, "a");
    let record = t.held(&holder).await;
    let other = holder.clone().lease(Lease::Sticky).priority(Priority::High).wait(Wait::No).user("Ann");
    assert_eq!(t.held(&other).await, record, "id, key, owner and mode make a request");
    let waiter = ask(&key, "b");
    t.queued(&waiter).await;
    let place = t.queued(&waiter.clone().priority(Priority::Low).wait(Wait::No)).await;
    assert_eq!(*place.request, waiter, "not even one that may not wait is sent away");
}

pub async fn an_id_counts_before_what_the_owner_has(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let gone = ask(&key, "a");
    let record = t.held(&gone).await;
    t.release(&record).await;
    let holder = ask(&key, "a");
    t.held(&holder).await;
    t.queued(&ask(&key, "b")).await;
    t.over(&gone).await;
    t.over(&ask(&key, "b").id(gone.id)).await;
    let error = t.refused(&ask(&key, "b").id(holder.id)).await;
    assert!(matches!(error, AcquireError::IdReused { .. }), "neither gets its own entry: {error:?}");
}

pub async fn a_cancel_of_what_ended_finds_its_end_with_any_generation(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let request = ask(&t.key("k"), "a");
    let record = t.held(&request).await;
    t.release(&record).await;
    match t.cancel_generation(&request, Some(1)).await {
        CancelOutcome::Finished(ended) => {
            assert_eq!((ended.reason, ended.token), (EndReason::Released, Some(record.token)));
        }
        other => fail(format_args!("{other:?}")),
    }
}

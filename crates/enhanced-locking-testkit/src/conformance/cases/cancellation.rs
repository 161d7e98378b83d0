//! Cases about leaving the line, one for each branch of `cancel`.

use enhanced_locking_foundation::{AcquireError, CancelOutcome, Cause, EndReason, EventKind, Wait};

use crate::conformance::{Bench, Fixture, ask, fail, leased};

fn by_operator() -> Cause {
    Cause::new("ops", "cycle of three").unwrap_or_default()
}

pub async fn a_waiting_request_leaves_the_line(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let holder = t.held(&ask(&key, "a")).await;
    let (leaver, stayer) = (ask(&key, "b"), ask(&key, "c"));
    t.queued(&leaver).await;
    t.queued(&stayer).await;
    assert_eq!(t.cancel(&leaver).await, CancelOutcome::Cancelled);
    t.ended(&leaver, EndReason::Cancelled).await;
    assert_eq!(t.waits(&stayer).await.position, 1);
    assert_eq!(t.release(&holder).await[0].request.id, stayer.id);
}

pub async fn a_cancelled_request_is_never_granted(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let holder = t.held(&ask(&key, "a")).await;
    let request = ask(&key, "b");
    t.queued(&request).await;
    t.cancel(&request).await;
    assert!(t.release(&holder).await.is_empty());
    assert_eq!(t.over(&request).await.reason, EndReason::Cancelled);
    assert_eq!(t.view(&key).await, None);
}

pub async fn an_unclaimed_grant_is_given_back(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let holder = t.held(&ask(&key, "a")).await;
    let (granted, next) = (leased(&key, "b"), ask(&key, "c"));
    t.queued(&granted).await;
    t.queued(&next).await;
    let token = t.release(&holder).await[0].token;
    assert_eq!(t.cancel(&granted).await, CancelOutcome::Cancelled);
    let ended = t.ended(&granted, EndReason::Cancelled).await;
    assert_eq!(ended.token, Some(token), "it did hold the lock");
    assert!(t.holds(&next).await.token > token);
}

pub async fn a_claimed_lock_is_not_cancelled(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let request = leased(&key, "a");
    let record = t.held(&request).await;
    let mark = t.mark().await;
    assert_eq!(t.cancel(&request).await, CancelOutcome::Held(record));
    assert!(t.story(&mark).await.is_empty(), "too late is no change");
    assert_eq!(t.holders(&key).await, ["a"]);
}

pub async fn a_sticky_grant_by_hand_off_is_not_cancelled(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let holder = t.held(&ask(&key, "a")).await;
    let request = ask(&key, "b");
    t.queued(&request).await;
    let record = t.release(&holder).await.remove(0);
    assert_eq!(t.cancel(&request).await, CancelOutcome::Held(record));
}

pub async fn what_ended_before_keeps_its_end(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let request = ask(&t.key("k"), "a");
    let record = t.held(&request).await;
    t.release(&record).await;
    match t.cancel(&request).await {
        CancelOutcome::Finished(ended) => assert_eq!(ended.reason, EndReason::Released),
        other => fail(format_args!("{other:?}")),
    }
}

pub async fn an_acquire_that_arrives_after_its_cancel_is_refused(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let request = ask(&t.key("k"), "a");
    assert_eq!(t.cancel(&request).await, CancelOutcome::Cancelled, "noted before it was ever seen");
    let error = t.refused(&request).await;
    assert!(
        matches!(&error, AcquireError::Finished { ended, .. } if ended.reason == EndReason::Cancelled),
        "{error:?}"
    );
    assert_eq!(t.view(&request.key).await, None);
    let events = t.events().await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].request, None, "the store never saw the request itself");
    assert!(matches!(events[0].kind, EventKind::Ended { reason: EndReason::Cancelled, .. }));
}

pub async fn the_generation_that_was_meant_is_cancelled(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let request = ask(&key, "b");
    let place = t.queued(&request).await;
    assert_eq!(t.cancel_generation(&request, Some(place.generation)).await, CancelOutcome::Cancelled);
    assert!(t.waiting(&key).await.is_empty());
}

pub async fn another_generation_is_left_alone(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let request = ask(&key, "b");
    let place = t.queued(&request).await;
    let mark = t.mark().await;
    t.cancel_generation(&request, Some(place.generation + 1)).await;
    t.waits(&request).await;
    assert!(t.story(&mark).await.is_empty(), "nothing changed");
}

pub async fn a_generation_means_a_place_and_not_a_grant(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let holder = t.held(&ask(&key, "a")).await;
    let request = leased(&key, "b");
    let place = t.queued(&request).await;
    let record = t.release(&holder).await.remove(0);
    let outcome = t.cancel_generation(&request, Some(place.generation)).await;
    assert_eq!(outcome, CancelOutcome::Held(record.clone()), "the edge it was to break is gone");
    assert_eq!(t.holds(&request).await.token, record.token);
}

pub async fn an_unseen_request_is_not_noted_with_a_generation(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let request = ask(&t.key("k"), "a");
    let mark = t.mark().await;
    t.cancel_generation(&request, Some(1)).await;
    assert!(t.story(&mark).await.is_empty(), "nothing changed");
    t.held(&request).await;
}

pub async fn reason_and_cause_are_kept(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let victim = ask(&key, "b");
    let place = t.queued(&victim).await;
    let mark = t.mark().await;
    let outcome =
        t.store.cancel(&victim.ticket(), Some(place.generation), EndReason::Deadlock, by_operator()).await;
    assert!(matches!(outcome, Ok(CancelOutcome::Cancelled)), "{outcome:?}");
    t.ended(&victim, EndReason::Deadlock).await;
    let events = t.events_after(mark).await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].kind, EventKind::Ended { reason: EndReason::Deadlock, cause: by_operator() });
    assert_eq!(events[0].token, None, "it never held the lock");
}

pub async fn an_owner_may_ask_again_after_its_cancel(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let first = ask(&key, "b");
    t.queued(&first).await;
    t.queued(&ask(&key, "c")).await;
    t.cancel(&first).await;
    assert_eq!(t.queued(&ask(&key, "b")).await.position, 2, "at the end of the line");
    t.busy(&ask(&key, "d").wait(Wait::No)).await;
}

//! Cases about claiming: a leased waiter that was granted the lock must show that it is there (design §4, "hand-off").

use std::time::Duration;

use enhanced_locking_foundation::{AcquireRequest, BatchOutcome, EndReason, LockRecord, ResourceKey};

use crate::conformance::{Bench, Fixture, ask, fail, leased, secs};

/// `a` held `key` and released it; `request` was next. What the release said about it.
async fn granted(t: &Bench<'_>, key: &ResourceKey, request: &AcquireRequest) -> LockRecord {
    let holder = t.held(&ask(key, "a")).await;
    t.queued(request).await;
    let mut next = t.release(&holder).await;
    assert_eq!(next.len(), 1, "{}", t.line(key).await);
    next.remove(0)
}

pub async fn a_leased_waiter_gets_a_window_to_claim(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let record = granted(&t, &key, &leased(&key, "b")).await;
    let now = t.now().await;
    assert_eq!(record.claim_by, Some(now.plus(secs(5))));
    assert_eq!(record.expires_at, Some(now.plus(secs(30))));
}

pub async fn an_unclaimed_grant_goes_to_the_next(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let absent = leased(&key, "b");
    let first = granted(&t, &key, &absent).await;
    let next = ask(&key, "c");
    t.queued(&next).await;
    t.advance(secs(5) - Duration::from_micros(1)).await;
    t.waits(&next).await;
    t.advance(Duration::from_micros(1)).await;
    assert!(t.holds(&next).await.token > first.token);
    let ended = t.ended(&absent, EndReason::Unclaimed).await;
    assert_eq!(ended.token, Some(first.token));
}

pub async fn asking_for_its_turn_claims_the_grant(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let request = leased(&key, "b");
    let unclaimed = granted(&t, &key, &request).await;
    t.advance(secs(3)).await;
    let mark = t.mark().await;
    let record = t.holds(&request).await;
    assert_eq!(record.claim_by, None);
    assert_eq!(record.expires_at, Some(t.now().await.plus(secs(30))), "the full lease begins with the claim");
    assert_eq!(record.token, unclaimed.token, "claiming keeps the token");
    assert_eq!(t.holds(&request).await, record);
    assert_eq!(t.story(&mark).await, ["claimed b"], "once");
}

pub async fn renewing_claims_the_grant(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let unclaimed = granted(&t, &key, &leased(&key, "b")).await;
    t.advance(secs(3)).await;
    let mark = t.mark().await;
    let record = t.renewed(&unclaimed, None).await;
    assert_eq!((record.claim_by, record.token), (None, unclaimed.token));
    assert_eq!(record.expires_at, Some(t.now().await.plus(secs(30))));
    assert_eq!(t.story(&mark).await, ["claimed b"], "claimed, not renewed as well");
}

pub async fn retrying_claims_the_grant(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let request = leased(&key, "b");
    let unclaimed = granted(&t, &key, &request).await;
    t.advance(secs(3)).await;
    let record = t.held(&request).await;
    assert_eq!((record.claim_by, record.token), (None, unclaimed.token));
    assert_eq!(record.expires_at, Some(t.now().await.plus(secs(30))));
    t.advance(secs(10)).await;
    t.holds(&request).await;
}

pub async fn a_sticky_waiter_need_not_claim(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let record = granted(&t, &key, &ask(&key, "b")).await;
    assert_eq!((record.claim_by, record.expires_at), (None, None));
    t.advance(secs(3600)).await;
    assert_eq!(t.holders(&key).await, ["b"]);
}

pub async fn a_claimed_grant_outlives_the_window(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let request = leased(&key, "b");
    granted(&t, &key, &request).await;
    let record = t.holds(&request).await;
    t.advance(secs(29)).await;
    assert_eq!(t.holds(&request).await, record, "looking at a claimed lock does not renew it");
    t.advance(secs(1)).await;
    t.ended(&request, EndReason::Expired).await;
}

pub async fn an_unclaimed_grant_can_be_released(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let record = granted(&t, &key, &leased(&key, "b")).await;
    let next = ask(&key, "c");
    t.queued(&next).await;
    assert_eq!(t.release(&record).await.len(), 1);
    t.holds(&next).await;
}

pub async fn a_grant_nobody_wants_is_freed(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let absent = leased(&key, "b");
    granted(&t, &key, &absent).await;
    t.advance(secs(5)).await;
    t.ended(&absent, EndReason::Unclaimed).await;
    assert_eq!(t.view(&key).await, None);
}

pub async fn absent_waiters_are_tried_one_after_another(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let first = leased(&key, "b");
    granted(&t, &key, &first).await;
    let second = leased(&key, "c");
    t.queued(&second).await;
    let third = ask(&key, "d");
    t.queued(&third).await;
    t.advance(secs(5)).await;
    t.waits(&third).await;
    assert_eq!(t.holders(&key).await, ["c"], "each gets a window of its own");
    t.advance(secs(5)).await;
    t.holds(&third).await;
    for absent in [first, second] {
        t.ended(&absent, EndReason::Unclaimed).await;
    }
}

pub async fn the_window_to_claim_ends_with_the_greatest_age(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let request = leased(&key, "b").max_age(secs(2));
    let record = granted(&t, &key, &request).await;
    let end = Some(t.now().await.plus(secs(2)));
    assert_eq!(
        (record.claim_by, record.expires_at),
        (end, end),
        "the window is 5 s, but the lock is over before"
    );
    t.advance(secs(2)).await;
    t.ended(&request, EndReason::Unclaimed).await;
}

pub async fn a_claim_does_not_start_the_greatest_age_anew(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let request = leased(&key, "b").max_age(secs(31));
    let record = granted(&t, &key, &request).await;
    t.advance(secs(4)).await;
    let claimed = t.holds(&request).await;
    assert_eq!(claimed.acquired_at, record.acquired_at, "it is held since the hand-off");
    assert_eq!(
        claimed.expires_at,
        Some(record.acquired_at.plus(secs(31))),
        "not the full lease: it would be too old"
    );
}

pub async fn the_greatest_age_begins_with_the_grant(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let holder = t.held(&ask(&key, "a")).await;
    let request = ask(&key, "b").max_age(secs(50));
    t.queued(&request).await;
    t.advance(secs(3600)).await;
    let record = t.release(&holder).await.remove(0);
    let now = t.now().await;
    assert_eq!(
        (record.acquired_at, record.expires_at),
        (now, Some(now.plus(secs(50)))),
        "waiting makes nobody old"
    );
}

pub async fn a_renewal_that_claims_can_change_the_lease(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let unclaimed = granted(&t, &key, &leased(&key, "b")).await;
    let mark = t.mark().await;
    let record = t.renewed(&unclaimed, Some(secs(90))).await;
    assert_eq!((record.claim_by, record.expires_at), (None, Some(t.now().await.plus(secs(90)))));
    assert_eq!(record.request.lease, enhanced_locking_foundation::Lease::For(secs(90)));
    assert_eq!(t.story(&mark).await, ["claimed b"]);
}

pub async fn asking_under_another_id_claims_the_grant(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let unclaimed = granted(&t, &key, &leased(&key, "b")).await;
    let record = t.held(&leased(&key, "b")).await;
    assert_eq!((record.claim_by, record.token), (None, unclaimed.token), "its owner is there");
    assert_eq!(record.request.id, unclaimed.request.id);
}

pub async fn a_batch_claims_the_grant(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let request = leased(&key, "b");
    let unclaimed = granted(&t, &key, &request).await;
    let mark = t.mark().await;
    let records = match t.store.acquire_all(vec![request]).await {
        Ok(BatchOutcome::Held(records)) => records,
        other => fail(format_args!("{other:?}")),
    };
    assert_eq!((records[0].claim_by, records[0].token), (None, unclaimed.token));
    assert_eq!(t.story(&mark).await, ["claimed b"]);
}

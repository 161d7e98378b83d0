//! Cases about handing a lock to somebody else, one for each branch of `transfer`.

use enhanced_locking_foundation::{
    AcquireRequest, EndReason, EventKind, FencingToken, Grant, LockRecord, NotHeld, TransferError, Transferee,
};

use crate::conformance::{Bench, Fixture, ask, fail, leased, owner, pull, secs};

fn to(name: &str) -> Transferee {
    Transferee::new(owner(name))
}

async fn hand(t: &Bench<'_>, grant: &Grant, to: Transferee) -> LockRecord {
    match t.store.transfer(grant, to).await {
        Ok(record) => record,
        Err(error) => fail(format_args!("transfer: {error}\n{}", t.line(&grant.key).await)),
    }
}

async fn no_transfer(t: &Bench<'_>, grant: &Grant, to: Transferee) -> NotHeld {
    match t.store.transfer(grant, to).await {
        Err(TransferError::NotHeld(error)) => error,
        other => fail(format_args!("should not be held: {other:?}\n{}", t.line(&grant.key).await)),
    }
}

pub async fn a_lock_gets_a_new_owner_and_a_new_token(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let request = ask(&t.key("k"), "a").user("Ann").pull(pull("acme/infra", 1));
    let before = t.held(&request).await;
    let heir = Transferee { owner: owner("b"), user: Some("Bob".into()), pull: Some(pull("acme/infra", 2)) };
    let after = hand(&t, &before.grant(), heir).await;
    let want =
        AcquireRequest { owner: owner("b"), ..request.clone() }.user("Bob").pull(pull("acme/infra", 2));
    assert_eq!(*after.request, want, "the same request goes on under another owner");
    assert!(after.token > before.token);
    assert_eq!(after.claim_by, None);
    assert_eq!(t.holders(&request.key).await, ["b"]);
    assert_eq!(t.held(&ask(&request.key, "b")).await, after, "the new owner has it");
}

pub async fn a_transfer_without_user_and_pull_leaves_none(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let before = t.held(&ask(&t.key("k"), "a").user("Ann").pull(pull("acme/infra", 1))).await;
    let after = hand(&t, &before.grant(), to("b")).await;
    assert_eq!((&after.request.user, &after.request.pull), (&None, &None), "they belonged to the old owner");
}

pub async fn the_old_token_is_stale_after_a_transfer(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let before = t.held(&ask(&t.key("k"), "a")).await;
    let after = hand(&t, &before.grant(), to("b")).await;
    assert_eq!(t.not_released(&before).await.current, Some(after.token));
    assert_eq!(t.renew(&before, None).await.err().and_then(|error| error.current), Some(after.token));
    t.release(&after).await;
}

pub async fn the_old_owner_may_join_the_line(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let before = t.held(&ask(&key, "a")).await;
    let after = hand(&t, &before.grant(), to("b")).await;
    let again = ask(&key, "a");
    t.queued(&again).await;
    t.release(&after).await;
    t.holds(&again).await;
}

pub async fn a_repeated_transfer_gives_the_same_answer(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let before = t.held(&ask(&t.key("k"), "a")).await;
    let after = hand(&t, &before.grant(), to("b")).await;
    let mark = t.mark().await;
    assert_eq!(hand(&t, &before.grant(), to("b")).await, after, "its reply may have been lost");
    assert!(t.story(&mark).await.is_empty(), "a retry is no change");
}

pub async fn a_transfer_to_oneself_changes_nothing(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let record = t.held(&leased(&t.key("k"), "a")).await;
    t.advance(secs(3)).await;
    let mark = t.mark().await;
    assert_eq!(hand(&t, &record.grant(), to("a")).await, record);
    assert!(t.story(&mark).await.is_empty());
}

pub async fn a_transfer_starts_the_lease_anew(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let before = t.held(&leased(&t.key("k"), "a")).await;
    t.advance(secs(20)).await;
    let after = hand(&t, &before.grant(), to("b")).await;
    assert_eq!(after.expires_at, Some(t.now().await.plus(secs(30))));
    assert_eq!(after.claim_by, None, "whoever transfers has told the new owner");
}

pub async fn a_transfer_is_one_event_that_names_both(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let before = t.held(&ask(&t.key("k"), "a")).await;
    let mark = t.mark().await;
    let after = hand(&t, &before.grant(), to("b")).await;
    let events = t.events_after(mark).await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].kind, EventKind::Transferred { from: owner("a") });
    assert_eq!(events[0].token, Some(after.token));
    assert_eq!(events[0].request.as_ref(), Some(&after.request));
}

pub async fn a_waiting_heir_holds_by_its_own_request(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let old = ask(&key, "a");
    let before = t.held(&old).await;
    let (first, heir) = (ask(&key, "c"), ask(&key, "b").user("Bob"));
    t.queued(&first).await;
    t.queued(&heir).await;
    let mark = t.mark().await;
    let after = hand(&t, &before.grant(), to("b")).await;
    assert_eq!(*after.request, heir, "with its own id and details");
    assert!(after.token > before.token);
    assert_eq!(after.claim_by, None, "a sticky request need not claim");
    assert_eq!(t.waiting(&key).await, ["c"], "it left the line, the others keep their order");
    t.ended(&old, EndReason::Transferred).await;
    let mut story = t.story(&mark).await;
    story.sort();
    assert_eq!(story, ["transferred a", "transferred b"], "one got it, the other's request ended");
}

pub async fn a_waiting_leased_heir_has_to_claim(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let before = t.held(&ask(&key, "a")).await;
    let heir = leased(&key, "b");
    t.queued(&heir).await;
    let after = hand(&t, &before.grant(), to("b")).await;
    assert_eq!(after.claim_by, Some(t.now().await.plus(secs(5))));
    assert_eq!(t.holds(&heir).await.claim_by, None);
}

pub async fn a_repeated_transfer_to_a_waiter_gives_the_same_answer(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let before = t.held(&ask(&key, "a")).await;
    t.queued(&ask(&key, "b")).await;
    let after = hand(&t, &before.grant(), to("b")).await;
    let mark = t.mark().await;
    assert_eq!(hand(&t, &before.grant(), to("b")).await, after);
    assert!(t.story(&mark).await.is_empty(), "a retry is no change");
}

pub async fn an_heir_that_holds_already_is_refused(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let first = t.held(&ask(&key, "a").shared()).await;
    t.held(&ask(&key, "b").shared()).await;
    let answer = t.store.transfer(&first.grant(), to("b")).await;
    assert!(matches!(answer, Err(TransferError::AlreadyHolds)), "{answer:?}");
    assert_eq!(t.holders(&key).await, ["a", "b"]);
}

pub async fn an_heir_that_waits_in_another_mode_is_refused(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let record = t.held(&ask(&key, "a")).await;
    let reader = ask(&key, "b").shared();
    t.queued(&reader).await;
    let mark = t.mark().await;
    let answer = t.store.transfer(&record.grant(), to("b")).await;
    assert!(matches!(answer, Err(TransferError::OtherMode)), "{answer:?}");
    assert!(t.story(&mark).await.is_empty(), "nothing changed");
    t.waits(&reader).await;
}

pub async fn one_of_many_readers_can_be_replaced(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let first = t.held(&ask(&key, "a").shared()).await;
    let second = t.held(&ask(&key, "b").shared()).await;
    let after = hand(&t, &first.grant(), to("c")).await;
    assert!(after.token > second.token, "higher than any token of the key");
    assert_eq!(t.holders(&key).await, ["b", "c"]);
}

pub async fn what_is_not_held_cannot_be_transferred(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let record = t.held(&ask(&key, "a")).await;
    let mut stale = record.grant();
    stale.token = FencingToken::from_u64(record.token.as_u64() + 1);
    assert_eq!(no_transfer(&t, &stale, to("b")).await.current, Some(record.token));
    t.release(&record).await;
    let error = no_transfer(&t, &record.grant(), to("b")).await;
    assert_eq!(error.ended.map(|ended| ended.reason), Some(EndReason::Released));
    let never = Grant { id: ask(&key, "x").id, ..record.grant() };
    let error = no_transfer(&t, &never, to("b")).await;
    assert_eq!((error.ended, error.current), (None, None));
}

pub async fn a_stale_token_does_not_transfer_on(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let first = t.held(&ask(&key, "a")).await;
    let second = hand(&t, &first.grant(), to("b")).await;
    assert_eq!(no_transfer(&t, &first.grant(), to("c")).await.current, Some(second.token));
    assert_eq!(t.holders(&key).await, ["b"]);
}

pub async fn an_expired_lock_cannot_be_transferred(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let record = t.held(&leased(&t.key("k"), "a")).await;
    t.advance(secs(30)).await;
    let error = no_transfer(&t, &record.grant(), to("b")).await;
    assert_eq!(error.ended.map(|ended| ended.reason), Some(EndReason::Expired));
}

pub async fn an_unclaimed_grant_can_be_transferred(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let holder = t.held(&ask(&key, "a")).await;
    t.queued(&leased(&key, "b")).await;
    let unclaimed = t.release(&holder).await.remove(0);
    let after = hand(&t, &unclaimed.grant(), to("c")).await;
    assert_eq!((after.claim_by, after.expires_at), (None, Some(t.now().await.plus(secs(30)))));
    t.advance(secs(10)).await;
    assert_eq!(t.holders(&key).await, ["c"], "it was claimed by being transferred");
    t.renewed(&after, None).await;
}

pub async fn a_transfer_starts_the_greatest_age_anew(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let before = t.held(&ask(&t.key("k"), "a").max_age(secs(50))).await;
    t.advance(secs(40)).await;
    let after = hand(&t, &before.grant(), to("b")).await;
    let now = t.now().await;
    assert_eq!((after.acquired_at, after.expires_at), (now, Some(now.plus(secs(50)))));
}

pub async fn a_waiting_heir_gets_its_own_lease(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let before = t.held(&ask(&key, "a")).await;
    let heir = leased(&key, "b").lease(enhanced_locking_foundation::Lease::For(secs(77)));
    t.queued(&heir).await;
    t.advance(secs(20)).await;
    let after = hand(&t, &before.grant(), to("b")).await;
    assert_eq!(after.expires_at, Some(t.now().await.plus(secs(77))));
}

pub async fn a_lock_that_was_passed_on_and_released_is_not_held(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let before = t.held(&ask(&key, "a")).await;
    t.queued(&ask(&key, "b")).await;
    let after = hand(&t, &before.grant(), to("b")).await;
    t.release(&after).await;
    let error = no_transfer(&t, &before.grant(), to("b")).await;
    assert_eq!(error.ended.map(|ended| ended.reason), Some(EndReason::Transferred));
}

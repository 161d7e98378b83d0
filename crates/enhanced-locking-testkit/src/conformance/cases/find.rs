//! Cases about finding a request by its id alone.

use enhanced_locking_foundation::{EndReason, RequestId, RequestState, ResourceKey};

use crate::conformance::{Bench, Fixture, ask, fail, leased, secs};

async fn find(t: &Bench<'_>, id: &RequestId) -> Option<(ResourceKey, RequestState)> {
    match t.store.find(id).await {
        Ok(found) => found,
        Err(error) => fail(format_args!("find {id}: {error}")),
    }
}

pub async fn a_request_is_found_at_every_stage(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let request = ask(&key, "b");
    assert_eq!(find(&t, &request.id).await, None, "never seen");
    let holder = t.held(&ask(&key, "a")).await;
    let place = t.queued(&request).await;
    assert_eq!(find(&t, &request.id).await, Some((key.clone(), RequestState::Queued(place))));
    let record = t.release(&holder).await.remove(0);
    assert_eq!(find(&t, &request.id).await, Some((key.clone(), RequestState::Held(record.clone()))));
    t.release(&record).await;
    match find(&t, &request.id).await {
        Some((found, RequestState::Finished(ended))) => {
            assert_eq!((found, ended.reason, ended.token), (key, EndReason::Released, Some(record.token)));
        }
        other => fail(format_args!("{other:?}")),
    }
}

pub async fn finding_does_not_claim(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let holder = t.held(&ask(&key, "a")).await;
    let request = leased(&key, "b");
    t.queued(&request).await;
    t.release(&holder).await;
    match find(&t, &request.id).await {
        Some((_, RequestState::Held(record))) => assert!(record.claim_by.is_some(), "{record:?}"),
        other => fail(format_args!("{other:?}")),
    }
    t.advance(secs(5)).await;
    t.ended(&request, EndReason::Unclaimed).await;
}

pub async fn finding_does_not_keep_a_place(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let request = leased(&key, "b");
    t.queued(&request).await;
    t.advance(secs(29)).await;
    assert!(matches!(find(&t, &request.id).await, Some((_, RequestState::Queued(_)))));
    t.advance(secs(1)).await;
    t.ended(&request, EndReason::Abandoned).await;
}

pub async fn an_id_cancelled_unseen_is_found(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let request = ask(&t.key("k"), "a");
    t.cancel(&request).await;
    match find(&t, &request.id).await {
        Some((key, RequestState::Finished(ended))) => {
            assert_eq!((key, ended.reason, ended.token), (request.key, EndReason::Cancelled, None));
        }
        other => fail(format_args!("{other:?}")),
    }
}

pub async fn an_id_of_another_key_is_not_found_by_its_ticket(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let request = ask(&t.key("k1"), "a");
    t.held(&request).await;
    let mut ticket = request.ticket();
    ticket.key = t.key("k2");
    assert_eq!(t.turn(&ticket, secs(0)).await, RequestState::Unknown);
}

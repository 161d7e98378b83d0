//! Cases about changing the priority of a waiting request.

use enhanced_locking_foundation::Priority::{Critical, Emergency, High, Low, Normal};
use enhanced_locking_foundation::{
    AcquireRequest, EndReason, EventKind, Priority, ReprioritiseError, RequestState, Wait,
};

use crate::conformance::{Bench, Fixture, FixturePolicy, ask, fail, leased, secs};

fn credits(policy: &mut FixturePolicy) {
    policy.credits = [0, 10, 30, 60, 120].map(secs);
}

async fn change(t: &Bench<'_>, request: &AcquireRequest, priority: Priority) -> RequestState {
    match t.store.reprioritise(&request.ticket(), priority).await {
        Ok(state) => state,
        Err(error) => fail(format_args!("{} to {priority}: {error}", request.owner)),
    }
}

pub async fn raising_moves_a_request_forward(f: &dyn Fixture) {
    let t = Bench::with(f, credits).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    t.queued(&ask(&key, "b")).await;
    let request = ask(&key, "c");
    t.queued(&request).await;
    match change(&t, &request, High).await {
        RequestState::Queued(place) => {
            assert_eq!((place.position, place.request.priority), (1, High));
        }
        other => fail(format_args!("{other:?}")),
    }
    assert_eq!(t.waiting(&key).await, ["c", "b"]);
}

pub async fn lowering_moves_a_request_back(f: &dyn Fixture) {
    let t = Bench::with(f, credits).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let request = ask(&key, "b");
    t.queued(&request).await;
    t.queued(&ask(&key, "c")).await;
    change(&t, &request, Low).await;
    assert_eq!(t.waiting(&key).await, ["c", "b"]);
}

pub async fn the_new_place_counts_from_the_time_of_joining(f: &dyn Fixture) {
    let t = Bench::with(f, credits).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let request = ask(&key, "b").priority(Low);
    t.queued(&request).await;
    t.advance(secs(25)).await;
    t.queued(&ask(&key, "c").priority(High)).await;
    t.advance(secs(1000)).await;
    assert_eq!(t.waiting(&key).await, ["c", "b"]);
    change(&t, &request, High).await;
    assert_eq!(t.waiting(&key).await, ["b", "c"], "as if it had joined with it, 25 s earlier");
    change(&t, &request, Low).await;
    assert_eq!(t.waiting(&key).await, ["c", "b"], "and back again");
}

pub async fn equal_ranks_keep_the_order_of_arrival_afterwards(f: &dyn Fixture) {
    let t = Bench::with(f, credits).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let first = ask(&key, "b");
    t.queued(&first).await;
    t.queued(&ask(&key, "c").priority(Critical)).await;
    assert_eq!(t.waiting(&key).await, ["c", "b"]);
    change(&t, &first, Critical).await;
    assert_eq!(t.waiting(&key).await, ["b", "c"], "it came first");
}

pub async fn the_event_tells_both_priorities(f: &dyn Fixture) {
    let t = Bench::with(f, credits).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let request = ask(&key, "b");
    t.queued(&request).await;
    let mark = t.mark().await;
    change(&t, &request, Emergency).await;
    let events = t.events_after(mark).await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].kind, EventKind::Reprioritised { from: Normal });
    assert_eq!(events[0].request.as_ref().map(|request| request.priority), Some(Emergency));
}

pub async fn the_same_priority_is_no_change(f: &dyn Fixture) {
    let t = Bench::with(f, credits).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let request = ask(&key, "b");
    t.queued(&request).await;
    let mark = t.mark().await;
    assert!(matches!(change(&t, &request, Normal).await, RequestState::Queued(_)));
    assert!(t.story(&mark).await.is_empty());
}

pub async fn a_retry_after_a_change_keeps_the_new_priority(f: &dyn Fixture) {
    let t = Bench::with(f, credits).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let request = ask(&key, "b");
    t.queued(&request).await;
    change(&t, &request, High).await;
    assert_eq!(t.queued(&request).await.request.priority, High);
}

pub async fn a_reader_raised_past_the_writer_is_let_in(f: &dyn Fixture) {
    let t = Bench::with(f, credits).await;
    let key = t.key("k");
    t.held(&ask(&key, "a").shared()).await;
    t.queued(&ask(&key, "w")).await;
    let reader = ask(&key, "b").shared();
    t.queued(&reader).await;
    let state = change(&t, &reader, Emergency).await;
    assert!(matches!(state, RequestState::Held(_)), "{state:?}\n{}", t.line(&key).await);
    assert_eq!(t.holders(&key).await, ["a", "b"]);
}

pub async fn readers_behind_a_lowered_writer_are_let_in(f: &dyn Fixture) {
    let t = Bench::with(f, credits).await;
    let key = t.key("k");
    t.held(&ask(&key, "a").shared()).await;
    let writer = ask(&key, "w");
    t.queued(&writer).await;
    t.queued(&ask(&key, "b").shared()).await;
    change(&t, &writer, Low).await;
    assert_eq!(t.holders(&key).await, ["a", "b"], "{}", t.line(&key).await);
    t.waits(&writer).await;
}

pub async fn only_waiting_requests_have_a_priority_to_change(f: &dyn Fixture) {
    let t = Bench::with(f, credits).await;
    let key = t.key("k");
    let holder = ask(&key, "a");
    t.held(&holder).await;
    let gone = ask(&key, "b");
    t.queued(&gone).await;
    t.cancel(&gone).await;
    for request in [holder, gone, ask(&key, "stranger")] {
        let answer = t.store.reprioritise(&request.ticket(), High).await;
        assert!(matches!(answer, Err(ReprioritiseError::NotQueued)), "{}: {answer:?}", request.owner);
    }
}

pub async fn changing_a_priority_keeps_no_place(f: &dyn Fixture) {
    let t = Bench::with(f, credits).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let silent = leased(&key, "b");
    t.queued(&silent).await;
    t.advance(secs(20)).await;
    change(&t, &silent, High).await;
    t.advance(secs(10)).await;
    t.ended(&silent, EndReason::Abandoned).await;
}

pub async fn who_is_let_in_by_a_priority_has_to_claim(f: &dyn Fixture) {
    let t = Bench::with(f, credits).await;
    let key = t.key("k");
    t.held(&ask(&key, "a").shared()).await;
    t.queued(&ask(&key, "w")).await;
    let reader = leased(&key, "b").shared();
    t.queued(&reader).await;
    let mark = t.mark().await;
    match change(&t, &reader, Emergency).await {
        RequestState::Held(record) => assert_eq!(record.claim_by, Some(t.now().await.plus(secs(5)))),
        other => fail(format_args!("{other:?}\n{}", t.line(&key).await)),
    }
    assert_eq!(
        t.story(&mark).await,
        ["reprioritised b", "granted b"],
        "whoever changes it need not be who waits"
    );
    t.advance(secs(5)).await;
    t.ended(&reader, EndReason::Unclaimed).await;
}

pub async fn a_changed_priority_keeps_time_and_generation(f: &dyn Fixture) {
    let t = Bench::with(f, credits).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let request = ask(&key, "b").wait(Wait::AtMost(secs(40)));
    let before = t.queued(&request).await;
    t.advance(secs(10)).await;
    change(&t, &request, Low).await;
    let after = t.waits(&request).await;
    assert_eq!(
        (after.enqueued_at, after.gives_up_at, after.generation),
        (before.enqueued_at, before.gives_up_at, before.generation),
        "it is the same entry of the line"
    );
}

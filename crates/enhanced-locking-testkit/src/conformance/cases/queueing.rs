//! Cases about the line: order of arrival, giving up, keeping a place (design §4, "order").

use std::time::Duration;

use enhanced_locking_foundation::{EndReason, LockRecord, RequestState, Wait};

use crate::conformance::{Bench, Fixture, ask, leased, secs};

pub async fn waiters_are_served_in_the_order_they_came(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let mut holder = vec![t.held(&ask(&key, "a")).await];
    for name in ["b", "c", "d", "e", "f"] {
        t.advance(secs(1)).await;
        t.queued(&ask(&key, name)).await;
    }
    let mut served = Vec::new();
    while let Some(record) = holder.pop() {
        holder = t.release(&record).await;
        served.extend(holder.iter().map(|record: &LockRecord| record.owner().to_string()));
    }
    assert_eq!(served, ["b", "c", "d", "e", "f"]);
}

pub async fn those_who_come_at_the_same_time_keep_their_order(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let names = ["z", "b", "y", "c", "x"];
    for name in names {
        t.queued(&ask(&key, name)).await;
    }
    assert_eq!(t.waiting(&key).await, names, "not by name, not by id");
}

pub async fn places_are_counted_from_one(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let holder = t.held(&ask(&key, "a")).await;
    let requests = [ask(&key, "b"), ask(&key, "c"), ask(&key, "d")];
    for (i, request) in requests.iter().enumerate() {
        let place = t.queued(request).await;
        assert_eq!((place.position, place.depth), (i + 1, i + 1));
    }
    t.release(&holder).await;
    let place = t.waits(&requests[2]).await;
    assert_eq!((place.position, place.depth), (2, 2), "places move up");
    assert_eq!(place.holders.len(), 1);
    assert_eq!(place.holders[0].owner().as_str(), "b", "the holder is the one of now");
}

pub async fn a_limited_wait_times_out(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let holder = t.held(&ask(&key, "a")).await;
    let request = ask(&key, "b").wait(Wait::AtMost(secs(10)));
    let place = t.queued(&request).await;
    assert_eq!(place.gives_up_at, Some(place.enqueued_at.plus(secs(10))));
    t.advance(secs(10) - Duration::from_micros(1)).await;
    assert_eq!(
        t.queued(&request).await.gives_up_at,
        place.gives_up_at,
        "a retry does not start the wait anew"
    );
    t.advance(Duration::from_micros(1)).await;
    let ended = t.ended(&request, EndReason::TimedOut).await;
    assert_eq!(ended.token, None, "it never held the lock");
    assert!(t.release(&holder).await.is_empty(), "{}", t.line(&key).await);
}

pub async fn a_limited_wait_does_not_limit_the_lock(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let holder = t.held(&ask(&key, "a")).await;
    let request = ask(&key, "b").wait(Wait::AtMost(secs(10)));
    t.queued(&request).await;
    t.release(&holder).await;
    t.advance(secs(100)).await;
    t.holds(&request).await;
}

pub async fn a_silent_leased_waiter_loses_its_place(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let request = leased(&key, "b");
    t.queued(&request).await;
    t.advance(secs(30) - Duration::from_micros(1)).await;
    t.waits(&request).await;
    t.advance(secs(30)).await;
    t.ended(&request, EndReason::Abandoned).await;
    assert!(t.waiting(&key).await.is_empty(), "{}", t.line(&key).await);
}

pub async fn asking_keeps_the_place_of_a_leased_waiter(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let request = leased(&key, "b");
    t.queued(&request).await;
    let mark = t.mark().await;
    for round in 0..4 {
        t.advance(secs(20)).await;
        if round % 2 == 0 {
            t.waits(&request).await
        } else {
            t.queued(&request).await
        };
    }
    assert!(t.story(&mark).await.is_empty(), "keeping a place is no event");
}

pub async fn a_sticky_waiter_keeps_its_place_in_silence(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let holder = t.held(&ask(&key, "a")).await;
    let request = ask(&key, "b");
    t.queued(&request).await;
    t.advance(secs(30 * 24 * 3600)).await;
    assert_eq!(t.release(&holder).await.len(), 1, "{}", t.line(&key).await);
    t.holds(&request).await;
}

pub async fn those_who_are_gone_are_passed_over(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let holder = t.held(&ask(&key, "a")).await;
    let silent = leased(&key, "b");
    let late = ask(&key, "c").wait(Wait::AtMost(secs(20)));
    let here = ask(&key, "d");
    for request in [&silent, &late, &here] {
        t.queued(request).await;
    }
    t.advance(secs(30)).await;
    let next = t.release(&holder).await;
    assert_eq!(next.len(), 1, "{}", t.line(&key).await);
    assert_eq!(next[0].request.id, here.id);
    t.ended(&silent, EndReason::Abandoned).await;
    t.ended(&late, EndReason::TimedOut).await;
}

pub async fn a_newcomer_does_not_wait_behind_those_who_are_gone(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&leased(&key, "a")).await;
    t.queued(&leased(&key, "b")).await;
    t.advance(secs(60)).await;
    t.held(&ask(&key, "c").wait(Wait::No)).await;
}

pub async fn a_newcomer_does_not_overtake_at_an_expiry(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&leased(&key, "a")).await;
    let waiter = ask(&key, "b");
    t.queued(&waiter).await;
    t.advance(secs(30)).await;
    t.busy(&ask(&key, "c").wait(Wait::No)).await;
    assert_eq!(t.holders(&key).await, ["b"], "the expired lock went to the line, not to the newcomer");
}

pub async fn joining_again_gives_another_generation(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let first = ask(&key, "b");
    let before = t.queued(&first).await.generation;
    assert_eq!(t.waits(&first).await.generation, before, "one entry has one generation");
    t.cancel(&first).await;
    let after = t.queued(&ask(&key, "b")).await.generation;
    assert_ne!(before, after, "deadlock detection tells entries apart by it");
}

pub async fn an_unknown_request_is_unknown(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    assert_eq!(t.look(&ask(&t.key("k"), "a")).await, RequestState::Unknown);
}

pub async fn asking_under_another_id_keeps_the_place_as_well(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let request = leased(&key, "b");
    t.queued(&request).await;
    t.advance(secs(20)).await;
    t.queued(&leased(&key, "b")).await;
    t.advance(secs(20)).await;
    t.waits(&request).await;
}

pub async fn who_is_late_and_silent_has_timed_out(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let both = leased(&key, "b").wait(Wait::AtMost(secs(40)));
    let silent = leased(&key, "c").wait(Wait::AtMost(secs(80)));
    t.queued(&both).await;
    t.queued(&silent).await;
    t.advance(secs(50)).await;
    t.ended(&both, EndReason::TimedOut).await;
    t.ended(&silent, EndReason::Abandoned).await;
}

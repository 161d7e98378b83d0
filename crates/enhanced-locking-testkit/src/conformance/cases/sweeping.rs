//! Cases about the sweep: what ends by time alone is ended and handed on, in time order, within a budget.

use enhanced_locking_foundation::{EndReason, Lease, SweepOutcome, Wait};

use crate::conformance::{Bench, Fixture, ask, fail, leased, secs};

async fn sweep(t: &Bench<'_>, budget: usize) -> SweepOutcome {
    match t.store.sweep(budget).await {
        Ok(outcome) => outcome,
        Err(error) => fail(format_args!("sweep: {error}")),
    }
}

pub async fn a_sweep_without_work_does_nothing(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    t.held(&ask(&t.key("k"), "a")).await;
    let mark = t.mark().await;
    assert_eq!(sweep(&t, 100).await, SweepOutcome { ended: 0, next: None });
    assert!(t.story(&mark).await.is_empty());
}

pub async fn a_sweep_tells_when_the_next_time_runs_out(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let now = t.now().await;
    let key = t.key("k");
    t.held(&leased(&key, "a").lease(Lease::For(secs(20)))).await;
    assert_eq!(sweep(&t, 100).await.next, Some(now.plus(secs(20))), "a lease");
    t.queued(&ask(&key, "b").wait(Wait::AtMost(secs(15)))).await;
    assert_eq!(sweep(&t, 100).await.next, Some(now.plus(secs(15))), "the end of a wait");
    t.held(&ask(&t.key("k2"), "c").max_age(secs(10))).await;
    assert_eq!(sweep(&t, 100).await.next, Some(now.plus(secs(10))), "the greatest age");
}

pub async fn a_sweep_hands_an_expired_lock_on(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&leased(&key, "a")).await;
    t.queued(&ask(&key, "b")).await;
    t.advance(secs(30)).await;
    let mark = t.mark().await;
    assert_eq!(sweep(&t, 100).await.ended, 1);
    assert_eq!(t.holders(&key).await, ["b"]);
    assert_eq!(t.story(&mark).await, ["expired a", "granted b"]);
}

pub async fn a_sweep_ends_waits_keep_alives_and_claims(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let (late, silent) = (ask(&key, "b").wait(Wait::AtMost(secs(10))), leased(&key, "c"));
    t.queued(&late).await;
    t.queued(&silent).await;
    let other = t.key("other");
    let holder = t.held(&ask(&other, "a")).await;
    let absent = leased(&other, "d");
    t.queued(&absent).await;
    t.release(&holder).await;
    let mark = t.mark().await;
    t.advance(secs(40)).await;
    let outcome = sweep(&t, 100).await;
    assert_eq!((outcome.ended, outcome.next), (3, None), "{:?}", t.story(&mark).await);
    t.ended(&late, EndReason::TimedOut).await;
    t.ended(&silent, EndReason::Abandoned).await;
    t.ended(&absent, EndReason::Unclaimed).await;
    let story = t.story(&mark).await;
    assert_eq!(story, ["unclaimed d", "timed_out b", "abandoned c"], "in the order of their times");
}

pub async fn a_sweep_keeps_to_its_budget(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    for i in 0..5 {
        t.held(&leased(&t.key(&format!("k{i}")), "a")).await;
    }
    t.advance(secs(30)).await;
    let first = sweep(&t, 2).await;
    assert_eq!(first.ended, 2);
    let now = t.now().await;
    assert!(first.next.is_some_and(|next| next <= now), "there is work left: {first:?}");
    assert_eq!(sweep(&t, 2).await.ended, 2);
    assert_eq!(sweep(&t, 2).await, SweepOutcome { ended: 1, next: None });
}

pub async fn a_sweep_begins_with_what_ended_first(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    for (name, seconds) in [("c", 30), ("a", 10), ("b", 20)] {
        t.held(&leased(&t.key(name), name).lease(Lease::For(secs(seconds)))).await;
    }
    t.advance(secs(60)).await;
    let mark = t.mark().await;
    for _ in 0..3 {
        sweep(&t, 1).await;
    }
    assert_eq!(t.story(&mark).await, ["expired a", "expired b", "expired c"]);
}

pub async fn a_renewed_lease_is_not_swept(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let record = t.held(&leased(&t.key("k"), "a")).await;
    t.advance(secs(20)).await;
    let renewed = t.renewed(&record, None).await;
    t.advance(secs(20)).await;
    assert_eq!(sweep(&t, 100).await, SweepOutcome { ended: 0, next: renewed.expires_at });
}

pub async fn what_is_over_at_once_ends_in_the_order_of_keys_and_ids(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    for (key, name) in [("b", "v"), ("a", "z"), ("a/1", "w"), ("a", "x"), ("a", "y")] {
        // The id begins with the name.
        t.held(&leased(&t.key(key), name).shared()).await;
    }
    t.advance(secs(30)).await;
    let mark = t.mark().await;
    assert_eq!(sweep(&t, 2).await.ended, 2);
    assert_eq!(t.story(&mark).await, ["expired x", "expired y"]);
    assert_eq!(sweep(&t, 100).await, SweepOutcome { ended: 3, next: None });
    let story = t.story(&mark).await;
    assert_eq!(story[2..], ["expired z", "expired w", "expired v"], "byte by byte");
}

pub async fn a_hand_off_ends_nobody_before_its_turn(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let (key, other) = (t.key("k"), t.key("other"));
    t.held(&leased(&key, "a").lease(Lease::For(secs(10)))).await;
    t.queued(&ask(&key, "b").wait(Wait::AtMost(secs(30)))).await;
    t.queued(&ask(&key, "c")).await;
    t.held(&leased(&other, "d").lease(Lease::For(secs(20)))).await;
    t.advance(secs(60)).await;
    let mark = t.mark().await;
    assert_eq!(sweep(&t, 100).await, SweepOutcome { ended: 3, next: None });
    assert_eq!(t.story(&mark).await, ["expired a", "expired d", "timed_out b", "granted c"]);
}

pub async fn waiters_that_are_over_count_in_the_budget(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&leased(&key, "a").lease(Lease::For(secs(10)))).await;
    for name in ["b", "c", "d"] {
        t.queued(&ask(&key, name).wait(Wait::AtMost(secs(20)))).await;
    }
    t.queued(&ask(&key, "e")).await;
    t.advance(secs(60)).await;
    let mark = t.mark().await;
    let now = t.now().await;
    for want in ["expired a", "timed_out b", "timed_out c"] {
        let outcome = sweep(&t, 1).await;
        assert_eq!(outcome.ended, 1);
        assert!(outcome.next.is_some_and(|next| next <= now), "there is work left: {outcome:?}");
        assert_eq!(t.story(&mark).await.last().map(String::as_str), Some(want));
    }
    assert_eq!(sweep(&t, 1).await, SweepOutcome { ended: 1, next: None });
    assert_eq!(t.story(&mark).await[3..], ["timed_out d", "granted e"], "the last of them hands on");
    assert_eq!(t.holders(&key).await, ["e"]);
}

pub async fn what_a_sweep_leaves_is_handed_on_by_whoever_comes(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&leased(&key, "a").lease(Lease::For(secs(10)))).await;
    t.queued(&ask(&key, "b").wait(Wait::AtMost(secs(20)))).await;
    let waiter = ask(&key, "c");
    t.queued(&waiter).await;
    t.advance(secs(60)).await;
    assert_eq!(sweep(&t, 1).await.ended, 1);
    let holders = t.busy(&ask(&key, "newcomer").wait(Wait::No)).await;
    assert_eq!(holders, [t.holds(&waiter).await], "those in line come first, also now");
}

pub async fn without_a_budget_nothing_is_swept(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let record = t.held(&leased(&t.key("k"), "a")).await;
    t.advance(secs(30)).await;
    let mark = t.mark().await;
    assert_eq!(sweep(&t, 0).await, SweepOutcome { ended: 0, next: record.expires_at });
    assert!(t.story(&mark).await.is_empty());
}

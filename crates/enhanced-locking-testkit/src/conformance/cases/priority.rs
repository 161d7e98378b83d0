//! Cases about credits: rank = time of joining − credit (design §4, "order"; invariant 4).

use std::time::Duration;

use enhanced_locking_foundation::Priority::{self, Critical, Emergency, High, Low, Normal};
use enhanced_locking_foundation::{AcquireRequest, ResourceKey, Wait};

use crate::conformance::{Bench, Fixture, FixturePolicy, ask, secs};

/// Credits that cases can count with: 0, 10, 30, 60 and 120 seconds.
fn credits(policy: &mut FixturePolicy) {
    policy.credits = [0, 10, 30, 60, 120].map(secs);
}

fn at(key: &ResourceKey, name: &str, priority: Priority) -> AcquireRequest {
    ask(key, name).priority(priority)
}

pub async fn without_credits_priorities_change_nothing(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    for (name, priority) in [("low", Low), ("emergency", Emergency), ("normal", Normal)] {
        t.queued(&at(&key, name, priority)).await;
    }
    assert_eq!(t.waiting(&key).await, ["low", "emergency", "normal"]);
}

pub async fn the_more_important_goes_first(f: &dyn Fixture) {
    let t = Bench::with(f, credits).await;
    let key = t.key("k");
    let holder = t.held(&ask(&key, "a")).await;
    for (name, priority) in
        [("low", Low), ("normal", Normal), ("emergency", Emergency), ("high", High), ("critical", Critical)]
    {
        t.advance(secs(1)).await;
        t.queued(&at(&key, name, priority)).await;
    }
    assert_eq!(t.waiting(&key).await, ["emergency", "critical", "high", "normal", "low"]);
    assert_eq!(t.release(&holder).await[0].owner().as_str(), "emergency");
}

pub async fn a_place_counts_with_its_credit(f: &dyn Fixture) {
    let t = Bench::with(f, credits).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    t.queued(&at(&key, "low", Low)).await;
    assert_eq!(t.queued(&at(&key, "high", High)).await.position, 1);
    assert_eq!(t.queued(&at(&key, "normal", Normal)).await.position, 2);
}

pub async fn a_waiter_is_overtaken_only_inside_the_credit_window(f: &dyn Fixture) {
    let t = Bench::with(f, credits).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    t.queued(&at(&key, "low", Low)).await;
    t.advance(secs(30) - Duration::from_micros(1)).await;
    t.queued(&at(&key, "inside", High)).await;
    t.advance(Duration::from_micros(1)).await;
    t.queued(&at(&key, "tie", High)).await;
    t.advance(Duration::from_micros(1)).await;
    t.queued(&at(&key, "outside", High)).await;
    assert_eq!(
        t.waiting(&key).await,
        ["inside", "low", "tie", "outside"],
        "equal ranks keep the order of arrival"
    );
}

pub async fn nobody_is_overtaken_for_ever(f: &dyn Fixture) {
    let t = Bench::with(f, credits).await;
    let key = t.key("k");
    let mut holder = t.held(&ask(&key, "a")).await;
    let low = at(&key, "low", Low);
    t.queued(&low).await;
    for round in 0..40 {
        t.queued(&at(&key, &format!("e{round}"), Emergency)).await;
        t.advance(secs(10)).await;
        holder = t.release(&holder).await.remove(0);
        if *holder.request == low {
            assert!(round >= 11, "overtaken while the window of 120 s is open: round {round}");
            return;
        }
    }
    assert_eq!(t.holders(&key).await, ["low"], "emergencies every 10 s must not starve it");
}

pub async fn an_urgent_reader_passes_a_writer_inside_its_window(f: &dyn Fixture) {
    let t = Bench::with(f, credits).await;
    let key = t.key("k");
    t.held(&ask(&key, "a").shared()).await;
    t.queued(&at(&key, "w", Normal)).await;
    t.held(&at(&key, "urgent", Emergency).shared().wait(Wait::No)).await;
    t.advance(secs(110)).await;
    t.busy(&at(&key, "late", Emergency).shared().wait(Wait::No)).await;
}

pub async fn priority_does_not_take_a_lock_away(f: &dyn Fixture) {
    let t = Bench::with(f, credits).await;
    let key = t.key("k");
    let holder = t.held(&at(&key, "a", Low)).await;
    t.queued(&at(&key, "b", Emergency)).await;
    t.advance(secs(1000)).await;
    assert_eq!(t.renewed(&holder, None).await, holder);
}

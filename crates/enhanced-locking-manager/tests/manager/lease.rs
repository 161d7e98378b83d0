//! Held locks: renewal, risk, loss, beats, re-entry, release.

use std::future::IntoFuture;
use std::sync::Arc;

use enhanced_locking_core::TablePolicy;
use enhanced_locking_foundation::*;
use enhanced_locking_manager::{LeaseState, LockManager, LossReason, ManagerConfig};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::support::*;

fn leased(owner: &str, lease: u64) -> AcquireRequest {
    request("k", owner).lease(Lease::For(secs(lease)))
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_for_as_long_as_the_guard_lives() {
    let store = store(TablePolicy::default());
    let guard = client(store.clone()).acquire(leased("a", 3)).await.unwrap();
    for _ in 0..100 {
        tokio::time::sleep(ms(333)).await;
        assert_eq!(guard.state(), LeaseState::Held);
        assert!(holders(&*store, "k").await[0].expires_at.unwrap() > store.now().await.unwrap());
    }
    assert_eq!(holders(&*store, "k").await[0].token, guard.token());
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_cannot_renew_is_told_of_the_risk_and_of_the_loss_before_the_store_ends_the_lease() {
    for (trouble, lease) in
        [(Trouble::Unavailable, 30), (Trouble::Hang, 30), (Trouble::LostRequest, 6), (Trouble::Panic, 1)]
    {
        let memory = store(TablePolicy::default());
        let flaky = Flaky::new(memory.clone(), |_| Trouble::None);
        let guard = client(flaky.clone()).acquire(leased("a", lease)).await.unwrap();
        let began = Instant::now();
        flaky.always("renew", trouble);
        let (lost, at_risk) = (guard.lost(), guard.at_risk());
        at_risk.wait().await;
        assert_eq!(began.elapsed(), secs(lease) / 2, "{trouble:?}");
        assert_eq!((guard.state(), lost.is_set()), (LeaseState::AtRisk, false));
        lost.wait().await;
        assert_eq!(guard.state(), LeaseState::Lost(LossReason::RanOut));
        assert!(!guard.is_valid() && at_risk.is_set());
        let expires = holders(&*memory, "k").await[0].expires_at.unwrap();
        let left = expires.since(memory.now().await.unwrap());
        assert_eq!(left, (secs(lease) / 10).max(ms(100)), "told before the end: {trouble:?}");
        assert!(flaky.count("renew") >= 3, "{trouble:?}: tried again in between");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_does_not_make_a_lease_look_longer_than_it_is() {
    let memory = store(TablePolicy::default());
    let flaky = Flaky::new(memory.clone(), |_| Trouble::Slow(secs(3)));
    let asked = Instant::now();
    let guard = client(flaky).acquire(leased("a", 10)).await.unwrap();
    assert_eq!(guard.valid_until(), Some(asked + secs(9)), "counted from before the request");
}

#[tokio::test(start_paused = true)]
async fn a_slow_renewal_counts_from_before_it_was_sent() {
    let memory = store(TablePolicy::default());
    let flaky = Flaky::new(memory.clone(), |_| Trouble::None);
    let guard = client(flaky.clone()).acquire(leased("a", 30)).await.unwrap();
    let first = guard.valid_until();
    flaky.always("renew", Trouble::Slow(secs(4)));
    until("it is renewed", || async { guard.valid_until() != first }).await;
    let here = guard.valid_until().unwrap() - Instant::now();
    let there = holders(&*memory, "k").await[0].expires_at.unwrap().since(memory.now().await.unwrap());
    assert!(here + secs(3 + 2) <= there, "the margin, and the way there: {here:?} here, {there:?} there");
}

#[tokio::test(start_paused = true)]
async fn a_store_too_slow_for_the_lease_is_asked_again_and_not_relied_on() {
    let memory = store(TablePolicy::default());
    let mut slow = 2;
    let flaky = Flaky::new(memory.clone(), move |op| {
        if op == "acquire" || (op == "renew" && slow > 0) {
            slow -= i32::from(op == "renew");
            return Trouble::Slow(secs(8));
        }
        Trouble::None
    });
    let guard = client(flaky).acquire(leased("a", 10)).await.unwrap();
    assert!(guard.valid_until().unwrap() >= Instant::now() + secs(5));
}

#[tokio::test(start_paused = true)]
async fn an_outage_shorter_than_the_lease_costs_nothing() {
    let memory = store(TablePolicy::default());
    let flaky = Flaky::new(memory.clone(), |_| Trouble::None);
    let guard = client(flaky.clone()).acquire(leased("a", 30)).await.unwrap();
    flaky.always("*", Trouble::Unavailable);
    tokio::time::sleep(secs(20)).await;
    assert_eq!(guard.state(), LeaseState::AtRisk);
    flaky.heal();
    tokio::time::sleep(secs(3)).await;
    assert_eq!(guard.state(), LeaseState::Held);
    assert!(!guard.at_risk().is_set());
}

#[tokio::test(start_paused = true)]
async fn a_lock_taken_away_is_lost_at_once_when_events_are_read_and_at_the_next_renewal_otherwise() {
    for (events, within) in [(true, ms(100)), (false, secs(10))] {
        let store = store(TablePolicy::default());
        let config = ManagerConfig { events, ..ManagerConfig::default() };
        let manager = LockManager::start(store.clone(), config);
        manager.ready().await;
        let guard = manager.acquire(request("k", "a")).await.unwrap();
        store.force_release(&key("k"), None, Cause::new("op", "stuck").unwrap()).await.unwrap();
        let began = Instant::now();
        guard.lost().wait().await;
        assert!(began.elapsed() <= within, "{:?}", began.elapsed());
        assert_eq!(guard.state(), LeaseState::Lost(LossReason::Ended(EndReason::ForceReleased)));
        assert_eq!(manager.metrics().await.guards_lost, 1);
        assert!(matches!(guard.release().await, Err(ReleaseError::NotHeld(_))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_passed_on_to_another_owner_is_lost() {
    for events in [true, false] {
        let store = store(TablePolicy::default());
        let config = ManagerConfig { events, ..ManagerConfig::default() };
        let manager = LockManager::start(store.clone(), config);
        manager.ready().await;
        let guard = manager.acquire(request("k", "a")).await.unwrap();
        let to = Transferee::new(OwnerId::new("b").unwrap());
        let record = store.transfer(guard.grant(), to).await.unwrap();
        guard.lost().wait().await;
        assert_eq!(guard.state(), LeaseState::Lost(LossReason::Superseded(record.token)));
        drop(guard);
        tokio::time::sleep(secs(1)).await;
        assert_eq!(holders(&*store, "k").await[0].token, record.token, "the stale token released nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sticky_lock_is_never_lost_by_time_and_a_force_release_is_noticed() {
    let memory = store(TablePolicy::default());
    let flaky = Flaky::new(memory.clone(), |_| Trouble::None);
    let guard = client(flaky.clone()).acquire(request("k", "a").sticky()).await.unwrap();
    assert_eq!(guard.valid_until(), None);
    flaky.always("*", Trouble::Unavailable);
    tokio::time::sleep(secs(86_400)).await;
    assert_eq!(guard.state(), LeaseState::Held);
    flaky.heal();
    memory.force_release(&key("k"), None, Cause::new("op", "stuck").unwrap()).await.unwrap();
    tokio::time::sleep(secs(31)).await;
    assert_eq!(guard.state(), LeaseState::Lost(LossReason::Ended(EndReason::ForceReleased)));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_maximum_age_is_announced_and_comes_before_the_store_ends_the_lock() {
    let store = store(TablePolicy::default());
    let manager = client(store.clone());
    let first = manager.acquire(leased("a", 10)).await.unwrap();
    let waiting = tokio::spawn(manager.acquire(leased("b", 10).max_age(secs(60))).into_future());
    until("b waits", || async { depth(&*store, "k").await == 1 }).await;
    tokio::time::sleep(secs(31)).await;
    first.release().await.unwrap();
    let guard = waiting.await.unwrap().unwrap();
    let acquired = guard.record().acquired_at;
    guard.at_risk().wait().await;
    let age = store.now().await.unwrap().since(acquired);
    assert!(age >= secs(54) && age <= secs(55), "{age:?}");
    guard.lost().wait().await;
    let age = store.now().await.unwrap().since(acquired);
    assert!(age > secs(58) && age <= secs(59), "{age:?}");
}

#[tokio::test(start_paused = true)]
async fn a_program_that_stops_beating_is_warned_and_loses_its_lock() {
    let store = store(TablePolicy::default());
    let guard = client(store.clone()).acquire(leased("a", 6)).await.unwrap();
    guard.require_beat(secs(20));
    for _ in 0..10 {
        tokio::time::sleep(secs(19)).await;
        assert_eq!(guard.state(), LeaseState::Held);
        guard.beat();
    }
    let stopped = Instant::now();
    guard.at_risk().wait().await;
    assert_eq!(stopped.elapsed(), secs(20));
    guard.lost().wait().await;
    assert_eq!(guard.state(), LeaseState::Lost(LossReason::NoBeat));
    assert!(stopped.elapsed() <= secs(26));
}

#[tokio::test(start_paused = true)]
async fn a_beat_in_time_after_a_warning_saves_the_lock() {
    let store = store(TablePolicy::default());
    let guard = client(store.clone()).acquire(leased("a", 30)).await.unwrap();
    guard.require_beat(secs(5));
    tokio::time::sleep(secs(20)).await;
    assert_eq!(guard.state(), LeaseState::AtRisk);
    guard.beat();
    tokio::time::sleep(ms(100)).await;
    assert_eq!(guard.state(), LeaseState::Held);
    guard.waive_beat();
    tokio::time::sleep(secs(300)).await;
    assert_eq!(guard.state(), LeaseState::Held);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_guard_releases_through_an_outage_and_shutdown_waits_for_it() {
    let memory = store(TablePolicy::default());
    let flaky = Flaky::new(memory.clone(), |_| Trouble::None);
    let manager = client(Arc::new(Unclosed(flaky.clone())));
    let guard = manager.acquire(leased("a", 30)).await.unwrap();
    let lost = guard.lost();
    let mut left = 4;
    flaky.plan(move |_| {
        left -= i32::from(left > 0);
        [Trouble::None, Trouble::LostReply, Trouble::LostRequest, Trouble::Unavailable][left as usize % 4]
    });
    drop(guard);
    assert!(lost.is_set(), "whoever still works is told at once");
    assert_eq!(manager.shutdown(secs(10)).await.unwrap().unfinished, 0);
    assert!(holders(&*memory, "k").await.is_empty());
    assert!(flaky.count("release") >= 3);
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_no_longer_than_the_grace_and_counts_what_is_left() {
    let memory = store(TablePolicy::default());
    let flaky = Flaky::new(memory.clone(), |_| Trouble::None);
    let manager = client(flaky.clone());
    let guard = manager.acquire(leased("a", 30)).await.unwrap();
    flaky.always("release", Trouble::Unavailable);
    drop(guard);
    let began = Instant::now();
    assert_eq!(manager.shutdown(secs(3)).await.unwrap().unfinished, 1);
    assert_eq!(began.elapsed(), secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_guard_left_over_at_shutdown_is_at_risk_at_once_and_lost_before_its_lease_ends() {
    let memory = store(TablePolicy::default());
    let manager = client(memory.clone());
    let guard = manager.acquire(leased("a", 30)).await.unwrap();
    manager.shutdown(secs(1)).await.unwrap();
    tokio::time::sleep(ms(1)).await;
    assert_eq!(guard.state(), LeaseState::AtRisk);
    guard.lost().wait().await;
    assert_eq!(guard.state(), LeaseState::Lost(LossReason::RanOut));
}

#[tokio::test(start_paused = true)]
async fn a_release_without_an_answer_is_repeated_and_confirmed() {
    let memory = store(TablePolicy::default());
    let mut first = true;
    let flaky = Flaky::new(memory.clone(), move |op| {
        if op == "release" && std::mem::take(&mut first) { Trouble::LostReply } else { Trouble::None }
    });
    let guard = client(flaky).acquire(leased("a", 30)).await.unwrap();
    assert!(matches!(guard.release().await, Ok(ReleaseOutcome::AlreadyReleased)));
}

#[tokio::test(start_paused = true)]
async fn a_release_gives_up_when_the_lease_is_over() {
    let memory = store(TablePolicy::default());
    let flaky = Flaky::new(memory.clone(), |_| Trouble::None);
    let guard = client(flaky.clone()).acquire(leased("a", 5)).await.unwrap();
    flaky.always("*", Trouble::Unavailable);
    let began = Instant::now();
    let error = guard.release().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable);
    assert!(began.elapsed() >= secs(4) && began.elapsed() <= secs(6), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn guards_of_one_owner_share_the_lock_until_the_last_is_dropped() {
    let store = store(TablePolicy::default());
    let manager = client(store.clone());
    let first = manager.acquire(request("k", "a")).await.unwrap();
    let second = manager.acquire(request("k", "a")).await.unwrap();
    assert_eq!(first.token(), second.token());
    drop(first);
    tokio::time::sleep(secs(60)).await;
    assert!(second.is_valid());
    assert_eq!(holders(&*store, "k").await.len(), 1);
    drop(second);
    until("it is free", || async { holders(&*store, "k").await.is_empty() }).await;
}

#[tokio::test(start_paused = true)]
async fn a_release_tells_the_other_guards_before_the_store() {
    let memory = store(TablePolicy::default());
    let flaky = Flaky::new(memory.clone(), |_| Trouble::None);
    let manager = client(flaky.clone());
    let first = manager.acquire(request("k", "a")).await.unwrap();
    let second = manager.acquire(request("k", "a")).await.unwrap();
    flaky.always("release", Trouble::Slow(secs(2)));
    let release = tokio::spawn(first.release());
    second.lost().wait().await;
    assert_eq!(second.state(), LeaseState::Lost(LossReason::GivenUp));
    assert_eq!(holders(&*memory, "k").await.len(), 1, "the request is still on its way");
    release.await.unwrap().unwrap();
    assert!(manager.acquire(request("k", "a")).await.unwrap().is_valid(), "a fresh lock for the same owner");
}

#[tokio::test(start_paused = true)]
async fn a_lock_being_let_go_is_not_handed_out_again() {
    let memory = store(TablePolicy::default());
    let flaky = Flaky::new(memory.clone(), |_| Trouble::None);
    let manager = client(flaky.clone());
    let first = manager.acquire(request("k", "a")).await.unwrap();
    let before = first.token();
    flaky.always("release", Trouble::Slow(secs(2)));
    drop(first);
    let second = manager.acquire(request("k", "a")).await.unwrap();
    assert!(second.token() > before && second.is_own());
    tokio::time::sleep(secs(60)).await;
    assert!(second.is_valid());
}

#[tokio::test(start_paused = true)]
async fn a_lock_of_the_same_owner_made_elsewhere_is_renewed_first_and_left_held() {
    let store = store(TablePolicy::default());
    let made = leased("a", 10);
    store.acquire(made.clone()).await.unwrap();
    tokio::time::sleep(secs(9)).await;
    let guard = client(store.clone()).acquire(leased("a", 10)).await.unwrap();
    assert_eq!((guard.is_own(), guard.id()), (false, &made.id));
    assert_eq!(
        guard.valid_until(),
        Some(Instant::now() + secs(9)),
        "a full lease, and not the second that was left"
    );
    drop(guard);
    tokio::time::sleep(secs(1)).await;
    assert_eq!(holders(&*store, "k").await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_detached_lock_is_taken_up_by_another_process() {
    let store = store(TablePolicy::default());
    let record = client(store.clone()).acquire(request("k", "a").sticky()).await.unwrap().detach();
    tokio::time::sleep(secs(3_600)).await;
    let guard = client(store.clone()).attach(&record.grant()).await.unwrap();
    assert!(guard.is_own());
    guard.release().await.unwrap();
    let error = client(store.clone()).attach(&record.grant()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::LockLost);
}

#[tokio::test(start_paused = true)]
async fn renewals_of_many_guards_fall_into_few_calls() {
    let memory = store(TablePolicy::default());
    let flaky = Flaky::new(memory.clone(), |_| Trouble::None);
    let manager = client(flaky.clone());
    let guards = Mutex::new(Vec::new());
    for i in 0..200u64 {
        tokio::time::sleep(ms(17)).await;
        let guard =
            manager.acquire(request(&format!("k{i}"), "a").lease(Lease::For(secs(30)))).await.unwrap();
        guards.lock().push(guard);
    }
    tokio::time::sleep(secs(100)).await;
    assert!(guards.lock().iter().all(|guard| guard.state() == LeaseState::Held));
    // 200 guards, about ten renewals each.
    assert!(flaky.count("renew") < 100, "{} calls", flaky.count("renew"));
}

#[tokio::test(start_paused = true)]
async fn a_lost_guard_does_not_release_the_lock_that_its_owner_took_up_again() {
    let memory = store(TablePolicy::default());
    let flaky = Flaky::new(memory.clone(), |_| Trouble::None);
    let manager = client(flaky.clone());
    let (first, second) =
        (manager.acquire(leased("a", 10)).await.unwrap(), manager.acquire(leased("a", 10)).await.unwrap());
    flaky.always("renew", Trouble::LostReply);
    first.lost().wait().await;
    flaky.heal();
    let again = manager.acquire(leased("a", 10)).await.unwrap();
    assert_eq!(again.token(), first.token(), "the store had it all the time");
    assert!(matches!(first.release().await, Err(ReleaseError::NotHeld(_))));
    drop(second);
    tokio::time::sleep(secs(60)).await;
    assert!(again.is_valid());
    assert_eq!(holders(&*memory, "k").await.len(), 1);
}

//! From asking to holding: waiting, trying again, giving up.

use std::future::IntoFuture;
use std::sync::Arc;

use enhanced_locking_core::TablePolicy;
use enhanced_locking_foundation::*;
use enhanced_locking_manager::{Attempt, LockError, LockManager, ManagerConfig, Progress};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_free_lock_is_held_at_once_and_free_again_after_the_release() {
    let store = store(TablePolicy::default());
    let manager = client(store.clone());
    let guard = manager.acquire(request("k", "a")).await.unwrap();
    assert_eq!(holders(&*store, "k").await, vec![guard.record()]);
    assert!(matches!(guard.release().await, Ok(ReleaseOutcome::Released { next }) if next.is_empty()));
    assert!(holders(&*store, "k").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_may_not_be_waited_for_is_refused_with_its_holder() {
    let store = store(TablePolicy::default());
    let manager = client(store.clone());
    let _first = manager.acquire(request("k", "a")).await.unwrap();
    let Ok(Attempt::Busy(holders)) = manager.try_acquire(request("k", "b")).await else {
        panic!("it is held")
    };
    assert_eq!(holders[0].owner().as_str(), "a");
    let error = manager.acquire(request("k", "b").wait(Wait::No)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::LockHeld);
    assert_eq!(error.to_string(), "k is held by a; wait for it or try again later");
}

#[tokio::test(start_paused = true)]
async fn waiters_get_the_lock_in_turn_and_see_their_place_change() {
    let store = store(TablePolicy::default());
    let manager = client(store.clone());
    let first = manager.acquire(request("k", "a")).await.unwrap();
    let waiting = tokio::spawn(manager.acquire(request("k", "b")).into_future());
    until("b waits", || async { depth(&*store, "k").await == 1 }).await;

    let seen = Arc::new(Mutex::new(Vec::new()));
    let tell = seen.clone();
    let acquire = manager.acquire(request("k", "c")).watch(move |progress| {
        if let Progress::Waiting(place) = progress {
            let owner = place.holders.first().map(|h| h.owner().to_string());
            tell.lock().push((place.position, place.depth, owner));
        }
    });
    let last = tokio::spawn(acquire.into_future());
    until("c waits", || async { depth(&*store, "k").await == 2 }).await;
    first.release().await.unwrap();
    let second = waiting.await.unwrap().unwrap();
    until("c knows", || async { seen.lock().len() == 2 }).await;
    second.release().await.unwrap();
    let third = last.await.unwrap().unwrap();
    assert_eq!(third.record().claim_by, None, "it is claimed");
    assert_eq!(
        *seen.lock(),
        vec![(2, 2, Some("a".to_owned())), (1, 1, Some("b".to_owned()))],
        "told once for each change"
    );
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_when_its_time_is_over_and_leaves_no_place() {
    let store = store(TablePolicy::default());
    let manager = client(store.clone());
    let _first = manager.acquire(request("k", "a")).await.unwrap();
    let began = Instant::now();
    let error = manager.acquire(request("k", "b").wait(Wait::AtMost(secs(7)))).await.unwrap_err();
    assert!(began.elapsed() >= secs(7) && began.elapsed() < secs(8), "{:?}", began.elapsed());
    assert_eq!(error.code(), ErrorCode::WaitTimeout);
    assert!(
        matches!(&error, LockError::TimedOut { place: Some(place), .. } if place.position == 1),
        "{error}"
    );
    assert_eq!(depth(&*store, "k").await, 0);
}

#[tokio::test(start_paused = true)]
async fn an_outage_while_waiting_costs_no_place_as_long_as_the_store_keeps_it() {
    let memory = store(TablePolicy::default());
    let flaky = Flaky::new(memory.clone(), |_| Trouble::None);
    let manager = client(flaky.clone());
    let first = client(memory.clone()).acquire(request("k", "a")).await.unwrap();
    let retries = Arc::new(Mutex::new(0));
    let count = retries.clone();
    let acquire = manager.acquire(request("k", "b")).watch(move |progress| {
        *count.lock() += usize::from(matches!(progress, Progress::Retrying { .. }));
    });
    let waiting = tokio::spawn(acquire.into_future());
    until("b waits", || async { depth(&*memory, "k").await == 1 }).await;
    let joined = memory.resource(&key("k"), 1).await.unwrap().unwrap().waiters[0].enqueued_at;
    flaky.always("*", Trouble::Unavailable);
    tokio::time::sleep(secs(12)).await;
    flaky.heal();
    tokio::time::sleep(secs(3)).await;
    assert_eq!(memory.resource(&key("k"), 1).await.unwrap().unwrap().waiters[0].enqueued_at, joined);
    assert!(*retries.lock() > 3);
    first.release().await.unwrap();
    assert!(waiting.await.unwrap().unwrap().is_valid());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_forgot_a_waiter_is_asked_again_with_the_same_id() {
    let before = store(TablePolicy::default());
    let after = store(TablePolicy::default());
    let switched: Arc<Mutex<Arc<dyn LockBackend>>> = Arc::new(Mutex::new(before.clone()));
    let manager = client(Arc::new(Switch(switched.clone())));
    let _first = client(before.clone()).acquire(request("k", "a")).await.unwrap();
    let wanted = request("k", "b").wait(Wait::AtMost(secs(60)));
    let waiting = tokio::spawn(manager.acquire(wanted.clone()).into_future());
    until("b waits", || async { depth(&*before, "k").await == 1 }).await;
    *switched.lock() = after.clone();
    let guard = waiting.await.unwrap().unwrap();
    assert_eq!(holders(&*after, "k").await[0].request.id, wanted.id);
    drop(guard);
}

#[tokio::test(start_paused = true)]
async fn an_acquire_without_an_answer_is_asked_again_and_granted_once() {
    for trouble in [Trouble::LostReply, Trouble::LostRequest, Trouble::Unavailable, Trouble::Hang] {
        let memory = store(TablePolicy::default());
        let mut left = 2;
        let flaky = Flaky::new(memory.clone(), move |op| {
            if op == "acquire" && left > 0 {
                left -= 1;
                return trouble;
            }
            Trouble::None
        });
        let manager = client(flaky.clone());
        let guard = manager.acquire(request("k", "a").wait(Wait::AtMost(secs(60)))).await.unwrap();
        assert_eq!(flaky.count("acquire"), 3);
        let held = holders(&*memory, "k").await;
        assert_eq!((held.len(), held[0].token), (1, guard.token()));
        // The lease may be older than the last answer: it must have been renewed before anybody relies on it.
        assert_eq!(flaky.count("renew"), usize::from(trouble != Trouble::Unavailable), "{trouble:?}");
        guard.release().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_may_not_wait_finds_out_what_became_of_it_but_does_not_wait_for_the_store() {
    let memory = store(TablePolicy::default());
    let mut first = true;
    let flaky = Flaky::new(memory.clone(), move |_| {
        if std::mem::take(&mut first) { Trouble::LostReply } else { Trouble::None }
    });
    let manager = client(flaky.clone());
    let Ok(Attempt::Held(guard)) = manager.try_acquire(request("k", "a")).await else { panic!("it is free") };
    guard.release().await.unwrap();

    flaky.always("*", Trouble::Unavailable);
    let began = Instant::now();
    let error = manager.try_acquire(request("k", "a")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable);
    assert!(began.elapsed() < ms(100));
}

#[tokio::test(start_paused = true)]
async fn a_place_of_the_same_owner_is_joined_and_when_it_ends_an_own_one_is_taken() {
    let store = store(TablePolicy::default());
    let first = client(store.clone()).acquire(request("k", "a")).await.unwrap();
    let earlier = request("k", "b").sticky();
    assert!(matches!(store.acquire(earlier.clone()).await, Ok(AcquireOutcome::Queued(_))));
    let wanted = request("k", "b");
    let waiting = tokio::spawn(client(store.clone()).acquire(wanted.clone()).into_future());
    tokio::time::sleep(secs(1)).await;
    assert_eq!(depth(&*store, "k").await, 1, "one owner has one place");
    store.cancel(&earlier.ticket(), None, EndReason::Cancelled, Cause::none()).await.unwrap();
    tokio::time::sleep(secs(1)).await;
    let view = store.resource(&key("k"), 5).await.unwrap().unwrap();
    assert_eq!((view.depth, &view.waiters[0].request.id), (1, &wanted.id));
    first.release().await.unwrap();
    let guard = waiting.await.unwrap().unwrap();
    assert!(guard.is_own() && *guard.id() == wanted.id);
}

#[tokio::test(start_paused = true)]
async fn a_joined_place_that_is_granted_is_shared_and_left_held_by_who_did_not_make_it() {
    let store = store(TablePolicy::default());
    let first = client(store.clone()).acquire(request("k", "a")).await.unwrap();
    let earlier = request("k", "b").sticky();
    store.acquire(earlier.clone()).await.unwrap();
    let manager = client(store.clone());
    let waiting = tokio::spawn(manager.acquire(request("k", "b")).into_future());
    tokio::time::sleep(secs(1)).await;
    first.release().await.unwrap();
    let guard = waiting.await.unwrap().unwrap();
    assert!(!guard.is_own() && *guard.id() == earlier.id);
    drop(guard);
    tokio::time::sleep(secs(30)).await;
    assert_eq!(holders(&*store, "k").await[0].request.id, earlier.id, "left as it was found");
}

#[tokio::test(start_paused = true)]
async fn an_aborted_waiter_learns_why() {
    let store = store(TablePolicy::default());
    let _first = client(store.clone()).acquire(request("k", "a")).await.unwrap();
    let wanted = request("k", "b");
    let waiting = tokio::spawn(client(store.clone()).acquire(wanted.clone()).into_future());
    until("b waits", || async { depth(&*store, "k").await == 1 }).await;
    let cause = Cause::new("detector", "cycle").unwrap();
    store.cancel(&wanted.ticket(), None, EndReason::Deadlock, cause).await.unwrap();
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::Deadlock);
}

#[tokio::test(start_paused = true)]
async fn a_resumed_request_takes_up_its_lock_with_a_full_lease() {
    let store = store(TablePolicy::default());
    let wanted = request("k", "a").lease(Lease::For(secs(10)));
    store.acquire(wanted.clone()).await.unwrap();
    tokio::time::sleep(secs(6)).await;
    let guard = client(store.clone()).acquire(wanted).resumed().await.unwrap();
    assert!(guard.is_own());
    assert_eq!(guard.valid_until(), Some(Instant::now() + secs(9)));
    let expires = holders(&*store, "k").await[0].expires_at.unwrap();
    assert_eq!(expires.since(store.now().await.unwrap()), secs(10));
}

#[tokio::test(start_paused = true)]
async fn draining_refuses_new_locks_but_waiters_and_holders_go_on() {
    let store = store(TablePolicy::default());
    let manager = client(store.clone());
    let first = manager.acquire(request("k", "a")).await.unwrap();
    let waiting = tokio::spawn(manager.acquire(request("k", "b")).into_future());
    until("b waits", || async { depth(&*store, "k").await == 1 }).await;
    manager.drain();
    let refused = manager.acquire(request("x", "a")).await.unwrap_err();
    assert!(
        matches!(refused, LockError::Refused(AcquireError::Backend(ref e)) if e.kind() == BackendErrorKind::Draining)
    );
    let through = LockBackend::acquire(&manager, request("x", "a")).await.unwrap_err();
    assert!(matches!(through, AcquireError::Backend(ref e) if e.kind() == BackendErrorKind::Draining));
    tokio::time::sleep(secs(60)).await;
    assert!(first.is_valid());
    first.release().await.unwrap();
    assert!(waiting.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_sends_waiters_home_and_their_place_stays_in_the_store() {
    let memory = store(TablePolicy::default());
    let config = ManagerConfig { events: true, ..ManagerConfig::default() };
    // The store outlives the manager: closing it is not what is tested here.
    let manager = LockManager::start(Arc::new(Unclosed(memory.clone())), config);
    let _first = client(memory.clone()).acquire(request("k", "a")).await.unwrap();
    let wanted = request("k", "b");
    let waiting = tokio::spawn(manager.acquire(wanted.clone()).into_future());
    until("b waits", || async { depth(&*memory, "k").await == 1 }).await;
    let joined = memory.resource(&key("k"), 1).await.unwrap().unwrap().waiters[0].enqueued_at;
    let report = manager.shutdown(secs(5)).await.unwrap();
    assert_eq!(report.unfinished, 0);
    assert!(matches!(waiting.await.unwrap(), Err(LockError::ShutDown { .. })));
    assert!(manager.tasks().values().all(|task| !task.running));
    tokio::time::sleep(secs(5)).await;
    assert_eq!(depth(&*memory, "k").await, 1);

    let next = client(memory.clone());
    let again = tokio::spawn(next.acquire(wanted.clone()).resumed().into_future());
    tokio::time::sleep(secs(1)).await;
    assert_eq!(memory.resource(&key("k"), 1).await.unwrap().unwrap().waiters[0].enqueued_at, joined);
    memory.force_release(&key("k"), None, Cause::new("op", "test").unwrap()).await.unwrap();
    assert_eq!(*again.await.unwrap().unwrap().id(), wanted.id);
}

//! A place in the line that is lost for silence is taken anew; what somebody decided is not.

use std::future::IntoFuture;
use std::sync::Arc;

use enhanced_locking_core::TablePolicy;
use enhanced_locking_foundation::*;
use enhanced_locking_manager::{LockError, Progress};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::support::*;

/// Every joining anew that a watcher was told of.
type Seen = Arc<Mutex<Vec<(EndReason, RequestId)>>>;

fn seen(seen: &Seen) -> impl FnMut(Progress<'_>) + Send + 'static {
    let seen = seen.clone();
    move |progress| {
        if let Progress::Rejoining { ended, id } = progress {
            seen.lock().push((ended.reason, id.clone()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_was_cut_off_for_too_long_joins_the_line_again() {
    let memory = store(windows(secs(5), secs(30)));
    let flaky = Flaky::new(memory.clone(), |_| Trouble::None);
    let first = client(memory.clone()).acquire(request("k", "a")).await.unwrap();
    let (wanted, told) = (request("k", "b"), Seen::default());
    let acquire = client(flaky.clone()).acquire(wanted.clone()).watch(seen(&told));
    let waiting = tokio::spawn(acquire.into_future());
    until("b waits", || async { depth(&*memory, "k").await == 1 }).await;
    flaky.always("*", Trouble::Unavailable);
    until("the place is given up", || async {
        memory.sweep(10).await.unwrap();
        depth(&*memory, "k").await == 0
    })
    .await;
    flaky.heal();
    until("b waits again", || async { depth(&*memory, "k").await == 1 }).await;
    first.release().await.unwrap();
    let guard = waiting.await.unwrap().unwrap();
    assert!(guard.is_own() && *guard.id() != wanted.id);
    assert_eq!(*told.lock(), [(EndReason::Abandoned, guard.id().clone())]);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_missed_its_turn_stands_behind_the_others() {
    let memory = store(windows(secs(5), secs(30)));
    let flaky = Flaky::new(memory.clone(), |_| Trouble::None);
    let first = client(memory.clone()).acquire(request("k", "a")).await.unwrap();
    let told = Seen::default();
    let acquire = client(flaky.clone()).acquire(request("k", "b")).watch(seen(&told));
    let missed = tokio::spawn(acquire.into_future());
    until("b waits", || async { depth(&*memory, "k").await == 1 }).await;
    let behind = tokio::spawn(client(memory.clone()).acquire(request("k", "c")).into_future());
    until("c waits", || async { depth(&*memory, "k").await == 2 }).await;
    flaky.always("*", Trouble::Unavailable);
    tokio::time::sleep(secs(3)).await;
    first.release().await.unwrap();
    let guard = behind.await.unwrap().unwrap();
    flaky.heal();
    until("b waits again", || async { depth(&*memory, "k").await == 1 }).await;
    assert_eq!(told.lock()[0].0, EndReason::Unclaimed);
    guard.release().await.unwrap();
    assert!(missed.await.unwrap().unwrap().is_valid());
    assert_eq!(told.lock().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_ran_out_before_the_grant_was_heard_of_is_asked_for_again() {
    let memory = store(TablePolicy::default());
    let flaky = Flaky::new(memory.clone(), |_| Trouble::None);
    let first = client(memory.clone()).acquire(request("k", "a")).await.unwrap();
    let (wanted, told) = (request("k", "b").lease(Lease::For(secs(2))), Seen::default());
    let acquire = client(flaky.clone()).acquire(wanted).watch(seen(&told));
    let waiting = tokio::spawn(acquire.into_future());
    until("b waits", || async { depth(&*memory, "k").await == 1 }).await;
    let mut slow = true;
    flaky.plan(move |op| {
        let slow = op == "await_turn" && std::mem::take(&mut slow);
        if slow { Trouble::Slow(secs(8)) } else { Trouble::None }
    });
    tokio::time::sleep(secs(1)).await;
    first.release().await.unwrap();
    let guard = waiting.await.unwrap().unwrap();
    assert!(guard.is_valid());
    assert_eq!(*told.lock(), [(EndReason::Expired, guard.id().clone())]);
}

#[tokio::test(start_paused = true)]
async fn the_time_a_program_waits_counts_from_its_first_place() {
    let memory = store(windows(secs(5), secs(30)));
    let flaky = Flaky::new(memory.clone(), |_| Trouble::None);
    let _first = client(memory.clone()).acquire(request("k", "a").sticky()).await.unwrap();
    let (began, told) = (Instant::now(), Seen::default());
    let wanted = request("k", "b").wait(Wait::AtMost(secs(60)));
    let waiting = tokio::spawn(client(flaky.clone()).acquire(wanted).watch(seen(&told)).into_future());
    until("b waits", || async { depth(&*memory, "k").await == 1 }).await;
    flaky.always("*", Trouble::Unavailable);
    tokio::time::sleep(secs(45)).await;
    flaky.heal();
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(&error, LockError::TimedOut { place: Some(_), .. }), "{error}");
    assert_eq!(told.lock().len(), 1);
    assert!(began.elapsed() >= secs(60) && began.elapsed() < secs(62), "{:?}", began.elapsed());
    assert_eq!(depth(&*memory, "k").await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_ended_stays_ended() {
    let store = store(TablePolicy::default());
    let _first = client(store.clone()).acquire(request("k", "a")).await.unwrap();
    for reason in [EndReason::Cancelled, EndReason::OwnerGone, EndReason::Deadlock] {
        let (wanted, told) = (request("k", "b"), Seen::default());
        let acquire = client(store.clone()).acquire(wanted.clone()).watch(seen(&told));
        let waiting = tokio::spawn(acquire.into_future());
        until("b waits", || async { depth(&*store, "k").await == 1 }).await;
        store.cancel(&wanted.ticket(), None, reason, Cause::new("op", "not now").unwrap()).await.unwrap();
        let error = waiting.await.unwrap().unwrap_err();
        assert!(matches!(&error, LockError::Ended { ended, .. } if ended.reason == reason), "{error}");
        assert!(told.lock().is_empty());
        assert_eq!(depth(&*store, "k").await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_gives_up_places_at_once_is_not_asked_as_fast_as_it_answers() {
    // The store gives a place up long before this client asks about it again.
    let store = store(windows(secs(5), ms(1)));
    let _first = client(store.clone()).acquire(request("k", "a")).await.unwrap();
    let told = Seen::default();
    let acquire = client(store.clone()).acquire(request("k", "b").wait(Wait::AtMost(secs(60))));
    let error = acquire.watch(seen(&told)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::WaitTimeout);
    let times = told.lock().len();
    assert!((1..200).contains(&times), "{times}");
}

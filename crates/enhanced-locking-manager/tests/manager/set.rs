//! Several locks at once: all or nothing.

use std::future::IntoFuture;

use enhanced_locking_core::TablePolicy;
use enhanced_locking_foundation::*;
use enhanced_locking_manager::{LockError, LossReason, Progress};

use crate::support::*;

fn wanted(names: &[&str], owner: &str) -> Vec<AcquireRequest> {
    names.iter().map(|name| request(name, owner)).collect()
}

#[tokio::test(start_paused = true)]
async fn free_locks_are_taken_in_one_step_and_released_together() {
    let memory = store(TablePolicy::default());
    let flaky = Flaky::new(memory.clone(), |_| Trouble::None);
    let manager = client(flaky.clone());
    let set = manager.acquire_all(wanted(&["z", "a", "m"], "o"), Wait::No).await.unwrap();
    let keys: Vec<_> = set.guards().iter().map(|guard| guard.key().as_str().to_owned()).collect();
    assert_eq!(keys, ["z", "a", "m"], "in the order they were asked for");
    assert_eq!((flaky.count("acquire_all"), flaky.count("acquire"), flaky.count("renew")), (1, 0, 0));
    tokio::time::sleep(secs(120)).await;
    assert!(set.is_valid());
    assert!(set.release().await.iter().all(|(_, answer)| answer.is_ok()));
    assert_eq!(memory.stats().await.unwrap().held, 0);
}

#[tokio::test(start_paused = true)]
async fn a_set_that_may_not_wait_names_every_lock_in_the_way_and_holds_none() {
    let store = store(TablePolicy::default());
    let manager = client(store.clone());
    let _b = manager.acquire(request("b", "x")).await.unwrap();
    let _c = manager.acquire(request("c", "y")).await.unwrap();
    let error = manager.acquire_all(wanted(&["a", "b", "c"], "o"), Wait::No).await.unwrap_err();
    let LockError::SetBusy { blocked } = &error else { panic!("{error}") };
    let named: Vec<_> = blocked.iter().map(|(key, by)| format!("{key} {}", by[0].owner())).collect();
    assert_eq!(named, ["b x", "c y"]);
    assert_eq!(
        error.to_string(),
        "2 of the locks are held by others, b by x first; wait for them or try again later"
    );
    assert_eq!(store.stats().await.unwrap().held, 2);
}

#[tokio::test(start_paused = true)]
async fn a_set_that_waits_gets_all_in_the_end() {
    let store = store(TablePolicy::default());
    let manager = client(store.clone());
    let b = manager.acquire(request("b", "x")).await.unwrap();
    let d = manager.acquire(request("d", "x")).await.unwrap();
    let mut waited_for = Vec::new();
    let acquire =
        manager.acquire_all(wanted(&["d", "c", "b", "a"], "o"), Wait::AtMost(secs(200))).watch(|p| {
            if let Progress::Waiting(place) = p {
                waited_for.push(place.request.key.as_str().to_owned());
            }
        });
    let (set, ()) = tokio::join!(acquire.into_future(), async {
        tokio::time::sleep(secs(50)).await;
        d.release().await.unwrap();
        tokio::time::sleep(secs(50)).await;
        b.release().await.unwrap();
    });
    let set = set.unwrap();
    assert!(set.is_valid());
    assert_eq!(set.guards()[0].key().as_str(), "d");
    assert_eq!(waited_for, ["b"], "d was free by the time it was asked for");
}

#[tokio::test(start_paused = true)]
async fn two_sets_that_overlap_crosswise_do_not_wait_for_each_other_for_ever() {
    let store = store(TablePolicy::default());
    let busy = client(store.clone()).acquire_all(wanted(&["a", "b"], "x"), Wait::No).await.unwrap();
    let one = tokio::spawn(
        client(store.clone()).acquire_all(wanted(&["a", "b"], "1"), Wait::Forever).into_future(),
    );
    let two = tokio::spawn(
        client(store.clone()).acquire_all(wanted(&["b", "a"], "2"), Wait::Forever).into_future(),
    );
    tokio::time::sleep(secs(1)).await;
    busy.release().await;
    let first = tokio::time::timeout(secs(5), one).await.unwrap().unwrap().unwrap();
    first.release().await;
    tokio::time::timeout(secs(5), two).await.unwrap().unwrap().unwrap().release().await;
}

#[tokio::test(start_paused = true)]
async fn a_set_that_runs_out_of_time_gives_back_what_it_got() {
    let store = store(TablePolicy::default());
    let manager = client(store.clone());
    let _b = manager.acquire(request("b", "x")).await.unwrap();
    let error = manager.acquire_all(wanted(&["a", "b"], "o"), Wait::AtMost(secs(9))).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::WaitTimeout);
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.held, stats.waiting), (1, 0), "nothing of it is left when the error is told");
}

#[tokio::test(start_paused = true)]
async fn a_set_that_loses_a_lock_while_it_waits_for_the_next_holds_none() {
    let store = store(TablePolicy::default());
    let manager = client(store.clone());
    let _b = manager.acquire(request("b", "x")).await.unwrap();
    let waiting = tokio::spawn(manager.acquire_all(wanted(&["a", "b"], "o"), Wait::Forever).into_future());
    until("it waits", || async { depth(&*store, "b").await == 1 }).await;
    store.force_release(&key("a"), None, Cause::new("op", "test").unwrap()).await.unwrap();
    let error = waiting.await.unwrap().unwrap_err();
    assert!(
        matches!(
            &error,
            LockError::LostWhileWaiting { reason: LossReason::Ended(EndReason::ForceReleased), .. }
        ),
        "{error}"
    );
    until("it left", || async { store.stats().await.unwrap().waiting == 0 }).await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_without_an_answer_is_asked_again_and_confirmed() {
    let memory = store(TablePolicy::default());
    let mut first = true;
    let flaky = Flaky::new(memory.clone(), move |_| {
        if std::mem::take(&mut first) { Trouble::LostReply } else { Trouble::None }
    });
    let set = client(flaky.clone()).acquire_all(wanted(&["a", "b"], "o"), Wait::No).await.unwrap();
    assert!(set.is_valid());
    assert_eq!((flaky.count("acquire_all"), flaky.count("renew")), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_key_named_twice_is_refused_and_an_empty_set_is_held() {
    let store = store(TablePolicy::default());
    let manager = client(store.clone());
    let error = manager.acquire_all(wanted(&["a", "a"], "o"), Wait::Forever).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidRequest);
    assert!(manager.acquire_all(Vec::new(), Wait::No).await.unwrap().guards().is_empty());
    assert_eq!(store.stats().await.unwrap().held, 0);
}

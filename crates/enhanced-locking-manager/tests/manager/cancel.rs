//! Futures dropped at every await point: nothing stays behind in the store.

use std::future::IntoFuture;
use std::sync::Arc;

use enhanced_locking_core::TablePolicy;
use enhanced_locking_foundation::*;
use enhanced_locking_manager::LockManager;
use futures_util::poll;

use crate::support::*;

/// Nothing but a cancel or a release may free a lock in these tests: leases and keep-alives are far away.
fn patient() -> TablePolicy {
    windows(secs(3_600), secs(3_600))
}

fn wanted(owner: &str) -> AcquireRequest {
    request("k", owner).lease(Lease::For(secs(3_600)))
}

/// Polls at most `polls` times with a millisecond in between; `true` if it came to its end.
async fn polled<F: Future>(future: F, polls: usize) -> bool {
    let mut future = Box::pin(future);
    for _ in 0..polls {
        if poll!(&mut future).is_ready() {
            return true;
        }
        tokio::time::sleep(ms(1)).await;
    }
    false
}

async fn is_free_soon(store: Arc<dyn LockBackend>, scene: &str) {
    let began = tokio::time::Instant::now();
    while store.resource(&key("k"), 9).await.unwrap().is_some() {
        assert!(began.elapsed() < secs(30), "left behind: {scene}: {:?}", store.resource(&key("k"), 9).await);
        tokio::time::sleep(ms(20)).await;
    }
}

/// What goes wrong with the n-th call.
type Scene = (&'static str, fn(usize) -> Trouble);

fn scenes() -> Vec<Scene> {
    vec![
        ("all well", |_| Trouble::None),
        ("slow", |_| Trouble::Slow(ms(4))),
        ("first reply lost", |n| if n == 0 { Trouble::LostReply } else { Trouble::Slow(ms(2)) }),
        ("every second reply lost", |n| if n % 2 == 0 { Trouble::LostReply } else { Trouble::Slow(ms(2)) }),
        ("first request late", |n| if n == 0 { Trouble::Late(ms(40)) } else { Trouble::Slow(ms(2)) }),
        ("third request late", |n| if n == 2 { Trouble::Late(ms(500)) } else { Trouble::None }),
        ("unreachable at first", |n| if n < 3 { Trouble::Unavailable } else { Trouble::None }),
    ]
}

fn flaky(memory: Arc<dyn LockBackend>, trouble: fn(usize) -> Trouble) -> Arc<Flaky> {
    let mut calls = 0;
    Flaky::new(memory, move |_| {
        calls += 1;
        trouble(calls - 1)
    })
}

#[tokio::test(start_paused = true)]
async fn an_acquire_dropped_after_any_number_of_polls_leaves_nothing() {
    for (name, trouble) in scenes() {
        for polls in 0..60 {
            let memory = store(patient());
            let manager = client(flaky(memory.clone(), trouble));
            let done = polled(manager.acquire(wanted("a")).into_future(), polls).await;
            // The guard of a finished acquire is dropped as well: the same must come of it.
            is_free_soon(memory, &format!("{name}, {polls} polls, done: {done}")).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiting_acquire_dropped_around_the_hand_off_leaves_nothing() {
    for (name, trouble) in scenes() {
        for polls in (0..40).chain([80, 120]) {
            for release_after in [0, 5, 20, 60] {
                let memory = store(patient());
                let first = client(memory.clone()).acquire(wanted("first")).await.unwrap();
                let manager = client(flaky(memory.clone(), trouble));
                let release = tokio::spawn(async move {
                    tokio::time::sleep(ms(release_after)).await;
                    first.release().await.unwrap();
                });
                let done = polled(manager.acquire(wanted("a")).into_future(), polls).await;
                release.await.unwrap();
                let scene = format!("{name}, {polls} polls, released after {release_after} ms, done: {done}");
                is_free_soon(memory, &scene).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_set_dropped_after_any_number_of_polls_leaves_nothing() {
    for (name, trouble) in scenes() {
        for polls in (0..60).step_by(2) {
            let memory = store(patient());
            let first = client(memory.clone()).acquire(request("m", "first")).await.unwrap();
            let manager = client(flaky(memory.clone(), trouble));
            let release = tokio::spawn(async move {
                tokio::time::sleep(ms(25)).await;
                first.release().await.unwrap();
            });
            let requests = ["k", "m", "z"].map(|name| request(name, "a").lease(Lease::For(secs(3_600))));
            let done = polled(manager.acquire_all(requests.into(), Wait::Forever).into_future(), polls).await;
            release.await.unwrap();
            let began = tokio::time::Instant::now();
            while memory.stats().await.unwrap().resources > 0 {
                assert!(began.elapsed() < secs(30), "left behind: {name}, {polls} polls, done: {done}");
                tokio::time::sleep(ms(20)).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_dropped_half_way_is_finished_in_the_background() {
    for polls in 0..12 {
        let memory = store(patient());
        let manager = client(Flaky::new(memory.clone(), |_| Trouble::Slow(ms(6))));
        let guard = manager.acquire(wanted("a")).await.unwrap();
        polled(guard.release(), polls).await;
        is_free_soon(memory, &format!("{polls} polls")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_waiter_does_not_hold_up_the_next() {
    let memory = store(patient());
    let manager = client(memory.clone());
    let first = manager.acquire(wanted("first")).await.unwrap();
    let second = tokio::spawn(manager.acquire(wanted("a")).into_future());
    until("a waits", || async { depth(&*memory, "k").await == 1 }).await;
    let third = tokio::spawn(manager.acquire(wanted("b")).into_future());
    until("b waits", || async { depth(&*memory, "k").await == 2 }).await;
    second.abort();
    first.release().await.unwrap();
    let guard = tokio::time::timeout(secs(1), third).await.unwrap().unwrap().unwrap();
    assert_eq!(guard.owner().as_str(), "b");
}

#[tokio::test(start_paused = true)]
async fn a_lock_taken_up_again_is_not_released_by_the_cancel_of_the_first_attempt() {
    let memory = store(patient());
    let manager: LockManager = client(Flaky::new(memory.clone(), |op| {
        if op == "cancel" { Trouble::Slow(secs(2)) } else { Trouble::Slow(ms(10)) }
    }));
    let request = wanted("a");
    assert!(!polled(manager.acquire(request.clone()).into_future(), 8).await);
    let guard = manager.acquire(request).resumed().await;
    tokio::time::sleep(secs(10)).await;
    // Either the cancel came first, and the id is over; or the guard came first, and keeps its lock.
    match guard {
        Ok(guard) => assert_eq!(holders(&*memory, "k").await[0].token, guard.token()),
        Err(error) => assert_eq!(error.code(), ErrorCode::LockLost),
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_joined_while_its_first_request_is_being_cancelled_is_kept_and_becomes_own() {
    let memory = store(patient());
    let flaky = Flaky::new(memory.clone(), |_| Trouble::LostReply);
    let manager = client(flaky.clone());
    let first = wanted("a");
    assert!(!polled(manager.acquire(first.clone()).into_future(), 8).await);
    flaky.always("cancel", Trouble::Slow(secs(2)));
    let guard = manager.acquire(wanted("a")).await.unwrap();
    assert_eq!((guard.id(), guard.is_own()), (&first.id, false));
    tokio::time::sleep(secs(10)).await;
    assert!(guard.is_valid() && guard.is_own(), "now it is for this guard to release");
    assert_eq!(holders(&*memory, "k").await[0].token, guard.token());
    drop(guard);
    is_free_soon(memory, "after the drop").await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_about_a_lock_that_was_released_while_it_was_under_way_is_not_relied_on() {
    let memory = store(patient());
    let flaky = Flaky::new(memory.clone(), |_| Trouble::LostReply);
    let manager = client(flaky.clone());
    let first = wanted("a");
    assert!(!polled(manager.acquire(first.clone()).into_future(), 8).await);
    // The renewal reaches the store before the release of the first request, its answer comes after it.
    flaky.plan(|op| match op {
        "cancel" => Trouble::Slow(secs(2)),
        "renew" => Trouble::Slow(secs(3)),
        _ => Trouble::None,
    });
    let second = wanted("a");
    let guard = manager.acquire(second.clone()).await.unwrap();
    assert_eq!(*guard.id(), second.id, "asked again with its own id");
    assert_eq!(holders(&*memory, "k").await[0].token, guard.token());
}

//! Cases about waiting for one's turn: woken by what happened, within the call, and never lost.

use std::future::Future;
use std::task::{Context, Waker};
use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireRequest, Cause, EndReason, Priority, RequestState, Selector, Transferee,
};
use tokio::task::JoinHandle;

use crate::conformance::{Bench, Fixture, ask, fail, leased, owner, secs};

/// Longer than any case waits: what ends sooner was woken, not timed out.
const LONG: Duration = Duration::from_secs(40);
/// How soon a waiter must be woken, on a slow machine.
const SOON: Duration = Duration::from_secs(10);

/// Waits for a request's turn in a task of its own, and gives the task time to begin.
async fn waiting(t: &Bench<'_>, request: &AcquireRequest) -> JoinHandle<RequestState> {
    let (store, ticket) = (t.store.clone(), request.ticket());
    let task = tokio::spawn(async move {
        match store.await_turn(&ticket, LONG).await {
            Ok(state) => state,
            Err(error) => fail(format_args!("await_turn: {error}")),
        }
    });
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    task
}

async fn woken(task: JoinHandle<RequestState>) -> RequestState {
    match tokio::time::timeout(SOON, task).await {
        Ok(Ok(state)) => state,
        Ok(Err(error)) => fail(format_args!("{error}")),
        Err(_) => fail(format_args!("nobody woke the waiter for {SOON:?}")),
    }
}

fn is_held(state: &RequestState, request: &AcquireRequest) -> bool {
    matches!(state, RequestState::Held(record) if record.request.id == request.id && record.claim_by.is_none())
}

pub async fn an_early_end_of_waiting_tells_the_place(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let request = ask(&key, "b");
    let place = t.queued(&request).await;
    let state = t.turn(&request.ticket(), Duration::from_millis(30)).await;
    assert_eq!(state, RequestState::Queued(place));
}

pub async fn a_release_wakes_the_next(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let holder = t.held(&ask(&key, "a")).await;
    for request in [ask(&key, "b"), leased(&key, "c")] {
        t.queued(&request).await;
    }
    let next = leased(&key, "d");
    let holders = t.release(&holder).await;
    t.queued(&next).await;
    let task = waiting(&t, &next).await;
    let middle = t.release(&holders[0]).await;
    t.release(&middle[0]).await;
    let state = woken(task).await;
    assert!(is_held(&state, &next), "{state:?}\n{}", t.line(&key).await);
}

pub async fn a_cancel_wakes_the_one_that_waits(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let request = ask(&key, "b");
    t.queued(&request).await;
    let task = waiting(&t, &request).await;
    t.cancel(&request).await;
    match woken(task).await {
        RequestState::Finished(ended) => assert_eq!(ended.reason, EndReason::Cancelled),
        other => fail(format_args!("{other:?}")),
    }
}

pub async fn a_force_a_clear_a_transfer_and_a_priority_wake(f: &dyn Fixture) {
    let t = Bench::with(f, |policy| policy.credits = [0, 10, 30, 60, 120].map(secs)).await;
    for what in ["force", "clear", "transfer", "priority"] {
        let key = t.key(what);
        let holder = t.held(&ask(&key, what).shared()).await;
        let writer = ask(&key, "w");
        let request = if what == "priority" { ask(&key, "b").shared() } else { ask(&key, "b") };
        if what == "priority" {
            t.queued(&writer).await;
        }
        let request = if what == "transfer" { request.shared() } else { request };
        if what == "transfer" {
            t.queued(&writer).await;
        }
        t.queued(&request).await;
        let task = waiting(&t, &request).await;
        let done = match what {
            "force" => t.store.force_release(&key, None, Cause::none()).await.is_ok(),
            "clear" => t.store.clear(&Selector::Owner(owner(what)), Cause::none()).await.is_ok(),
            "transfer" => t.store.transfer(&holder.grant(), Transferee::new(owner("b"))).await.is_ok(),
            _ => t.store.reprioritise(&request.ticket(), Priority::Emergency).await.is_ok(),
        };
        assert!(done, "{what}\n{}", t.line(&key).await);
        let state = woken(task).await;
        assert!(is_held(&state, &request), "{what}: {state:?}\n{}", t.line(&key).await);
    }
}

pub async fn a_clear_wakes_those_it_cancels(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let request = ask(&key, "b");
    t.queued(&request).await;
    let task = waiting(&t, &request).await;
    assert!(t.store.clear(&Selector::Owner(owner("b")), Cause::none()).await.is_ok());
    match woken(task).await {
        RequestState::Finished(ended) => assert_eq!(ended.reason, EndReason::OwnerGone),
        other => fail(format_args!("{other:?}")),
    }
}

pub async fn a_sweep_wakes_those_it_grants_and_ends(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&leased(&key, "a")).await;
    let late = ask(&key, "b").wait(enhanced_locking_foundation::Wait::AtMost(secs(5)));
    let next = ask(&key, "c");
    t.queued(&late).await;
    t.queued(&next).await;
    let tasks = (waiting(&t, &late).await, waiting(&t, &next).await);
    t.advance(secs(30)).await;
    assert!(t.store.sweep(100).await.is_ok());
    let state = woken(tasks.0).await;
    assert!(matches!(&state, RequestState::Finished(end) if end.reason == EndReason::TimedOut), "{state:?}");
    let state = woken(tasks.1).await;
    assert!(is_held(&state, &next), "{state:?}");
}

pub async fn exactly_the_right_one_of_many_is_woken(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let mut holder = t.held(&ask(&key, "a")).await;
    let requests: Vec<_> = (0..20).map(|i| leased(&key, &format!("w{i}"))).collect();
    let mut tasks = Vec::new();
    for request in &requests {
        t.queued(request).await;
        tasks.push(waiting(&t, request).await);
    }
    for (i, request) in requests.iter().enumerate() {
        t.release(&holder).await;
        let state = woken(tasks.remove(0)).await;
        assert!(is_held(&state, request), "turn {i}: {state:?}\n{}", t.line(&key).await);
        let early: Vec<_> = tasks.iter().map(JoinHandle::is_finished).collect();
        assert!(!early.contains(&true), "turn {i}: others ended as well: {early:?}");
        let RequestState::Held(record) = state else { fail(format_args!("not held")) };
        holder = record;
    }
}

pub async fn all_readers_at_the_head_are_woken(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let holder = t.held(&ask(&key, "a")).await;
    let requests: Vec<_> = (0..5).map(|i| leased(&key, &format!("r{i}")).shared()).collect();
    let mut tasks = Vec::new();
    for request in &requests {
        t.queued(request).await;
        tasks.push(waiting(&t, request).await);
    }
    t.release(&holder).await;
    for (task, request) in tasks.into_iter().zip(&requests) {
        let state = woken(task).await;
        assert!(is_held(&state, request), "{state:?}");
    }
}

pub async fn two_who_wait_for_one_request_are_both_answered(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let holder = t.held(&ask(&key, "a")).await;
    let request = leased(&key, "b");
    t.queued(&request).await;
    let tasks = (waiting(&t, &request).await, waiting(&t, &request).await);
    t.release(&holder).await;
    let states = (woken(tasks.0).await, woken(tasks.1).await);
    assert!(is_held(&states.0, &request), "{states:?}");
    assert_eq!(states.0, states.1);
}

pub async fn what_does_not_wait_is_answered_at_once(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let request = ask(&key, "a");
    let record = t.held(&request).await;
    let began = tokio::time::Instant::now();
    assert_eq!(t.turn(&request.ticket(), LONG).await, RequestState::Held(record.clone()));
    t.release(&record).await;
    let state = t.turn(&request.ticket(), LONG).await;
    assert!(matches!(state, RequestState::Finished(_)), "{state:?}");
    assert_eq!(t.turn(&ask(&key, "never").ticket(), LONG).await, RequestState::Unknown);
    assert!(began.elapsed() < SOON, "it waited {:?} for nothing", began.elapsed());
}

pub async fn a_waiter_whose_future_is_dropped_keeps_its_place(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let holder = t.held(&ask(&key, "a")).await;
    let request = leased(&key, "b");
    t.queued(&request).await;
    for _ in 0..3 {
        let task = waiting(&t, &request).await;
        task.abort();
        assert!(task.await.is_err());
    }
    t.waits(&request).await;
    t.release(&holder).await;
    assert!(is_held(&RequestState::Held(t.holds(&request).await), &request));
}

pub async fn a_turn_that_comes_after_a_drop_is_not_lost(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let holder = t.held(&ask(&key, "a")).await;
    let (dropped, other) = (leased(&key, "b"), leased(&key, "c"));
    t.queued(&dropped).await;
    t.queued(&other).await;
    let (gone, patient) = (waiting(&t, &dropped).await, waiting(&t, &other).await);
    gone.abort();
    t.release(&holder).await;
    t.advance(secs(5)).await;
    assert!(t.store.sweep(10).await.is_ok());
    let state = woken(patient).await;
    assert!(is_held(&state, &other), "the grant nobody claimed goes on: {state:?}");
    t.ended(&dropped, EndReason::Unclaimed).await;
}

pub async fn an_acquire_that_is_dropped_happened_or_did_not(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    for polls in 0..6 {
        let key = t.key(&format!("k{polls}"));
        let holder = t.held(&ask(&key, "a")).await;
        let request = ask(&key, "b");
        {
            let mut future = std::pin::pin!(t.store.acquire(request.clone()));
            for _ in 0..polls {
                if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        t.queued(&request).await;
        assert_eq!(t.waiting(&key).await, ["b"], "after {polls} polls");
        t.release(&holder).await;
        t.holds(&request).await;
    }
}

pub async fn a_dropped_acquire_can_be_cancelled(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let holder = t.held(&ask(&key, "a")).await;
    let request = ask(&key, "b");
    let task = tokio::spawn({
        let (store, request) = (t.store.clone(), request.clone());
        async move { store.acquire(request).await }
    });
    tokio::task::yield_now().await;
    task.abort();
    let _ = task.await;
    t.cancel(&request).await;
    t.over(&request).await;
    assert!(t.release(&holder).await.is_empty(), "{}", t.line(&key).await);
}

//! Cases about limits: reaching one is a typed refusal that changes nothing (design §4, "bounds").

use enhanced_locking_foundation::{AcquireError, AcquireRequest, BatchOutcome, Wait};

use crate::conformance::{Bench, Fixture, ask, fail};

async fn full(t: &Bench<'_>, request: &AcquireRequest) -> (&'static str, usize) {
    let mark = t.mark().await;
    match t.refused(request).await {
        AcquireError::QueueFull { scope, waiting, limit } => {
            assert_eq!(waiting, limit, "{scope}");
            assert!(t.story(&mark).await.is_empty(), "a refusal is no change");
            (scope, limit)
        }
        error => fail(format_args!("the line should be full: {error:?}\n{}", t.line(&request.key).await)),
    }
}

pub async fn a_line_has_a_greatest_length(f: &dyn Fixture) {
    let t = Bench::with(f, |policy| policy.limits.waiters_per_key = 2).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let first = ask(&key, "b");
    t.queued(&first).await;
    t.queued(&ask(&key, "c")).await;
    assert_eq!(full(&t, &ask(&key, "d")).await, ("for this key", 2));
    t.held(&ask(&t.key("other"), "a")).await;
    t.queued(&ask(&t.key("other"), "d")).await;
    t.cancel(&first).await;
    t.queued(&ask(&key, "d")).await;
}

pub async fn a_full_line_still_answers_those_in_it(f: &dyn Fixture) {
    let t = Bench::with(f, |policy| policy.limits.waiters_per_key = 1).await;
    let key = t.key("k");
    let holder = ask(&key, "a");
    t.held(&holder).await;
    let waiter = ask(&key, "b");
    t.queued(&waiter).await;
    t.queued(&waiter).await;
    t.queued(&ask(&key, "b")).await;
    t.held(&holder).await;
    t.busy(&ask(&key, "c").wait(Wait::No)).await;
}

pub async fn an_owner_waits_in_so_many_lines(f: &dyn Fixture) {
    let t = Bench::with(f, |policy| policy.limits.waiters_per_owner = 2).await;
    let keys = ["k1", "k2", "k3"].map(|name| t.key(name));
    for key in &keys {
        t.held(&ask(key, "a")).await;
    }
    t.queued(&ask(&keys[0], "b")).await;
    t.queued(&ask(&keys[1], "b")).await;
    assert_eq!(full(&t, &ask(&keys[2], "b")).await, ("for this owner", 2));
    t.queued(&ask(&keys[2], "c")).await;
}

pub async fn so_many_wait_in_all(f: &dyn Fixture) {
    let t = Bench::with(f, |policy| policy.limits.waiters_total = 2).await;
    let keys = ["k1", "k2", "k3"].map(|name| t.key(name));
    let mut records = Vec::new();
    for key in &keys {
        records.push(t.held(&ask(key, "a")).await);
    }
    t.queued(&ask(&keys[0], "b")).await;
    t.queued(&ask(&keys[1], "c")).await;
    assert_eq!(full(&t, &ask(&keys[2], "d")).await, ("in all", 2));
    t.release(&records[0]).await;
    t.queued(&ask(&keys[2], "d")).await;
}

pub async fn so_many_are_held_in_all(f: &dyn Fixture) {
    let t = Bench::with(f, |policy| policy.limits.locks_total = 2).await;
    let first = t.held(&ask(&t.key("k1"), "a")).await;
    let own = ask(&t.key("k2"), "a");
    t.held(&own).await;
    let third = ask(&t.key("k3"), "a");
    match t.refused(&third).await {
        AcquireError::LimitReached { what, limit } => assert_eq!((what, limit), ("locks", 2)),
        error => fail(format_args!("{error:?}")),
    }
    t.held(&own).await;
    t.queued(&ask(&t.key("k1"), "b")).await;
    assert_eq!(t.release(&first).await.len(), 1, "handing a lock on takes no room");
    let waiter = t.view(&t.key("k1")).await.and_then(|view| view.holders.first().cloned());
    let Some(waiter) = waiter else { fail(format_args!("{}", t.line(&t.key("k1")).await)) };
    t.release(&waiter).await;
    t.held(&third).await;
}

pub async fn a_batch_that_does_not_fit_takes_nothing(f: &dyn Fixture) {
    let t = Bench::with(f, |policy| policy.limits.locks_total = 2).await;
    t.held(&ask(&t.key("k1"), "a")).await;
    let requests = vec![ask(&t.key("k2"), "a"), ask(&t.key("k3"), "a")];
    match t.store.acquire_all(requests.clone()).await {
        Err(AcquireError::LimitReached { limit, .. }) => assert_eq!(limit, 2),
        other => fail(format_args!("{other:?}")),
    }
    assert_eq!(t.view(&requests[0].key).await, None);
    let fits = t.store.acquire_all(requests[..1].to_vec()).await;
    assert!(matches!(fits, Ok(BatchOutcome::Held(_))), "{fits:?}");
}

pub async fn a_refused_request_may_be_sent_again(f: &dyn Fixture) {
    let t = Bench::with(f, |policy| policy.limits.waiters_per_key = 1).await;
    let key = t.key("k");
    let holder = t.held(&ask(&key, "a")).await;
    t.queued(&ask(&key, "b")).await;
    let request = ask(&key, "c");
    full(&t, &request).await;
    t.release(&holder).await;
    t.queued(&request).await;
}

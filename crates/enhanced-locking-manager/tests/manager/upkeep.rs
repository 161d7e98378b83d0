//! Background work: sweeps, events, figures, health.

use std::sync::Arc;

use enhanced_locking_core::TablePolicy;
use enhanced_locking_foundation::*;
use enhanced_locking_manager::{EventSink, HealthStatus, LockManager, ManagerConfig};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::support::*;

#[derive(Debug, Default)]
struct Heard(Mutex<Vec<(u64, &'static str)>>, Mutex<u32>);

impl EventSink for Heard {
    fn event(&self, event: &LockEvent) {
        self.0.lock().push((event.seq, event.kind.as_str()));
    }

    fn gap(&self) {
        *self.1.lock() += 1;
    }
}

#[derive(Debug)]
struct Faulty;

impl EventSink for Faulty {
    fn event(&self, _: &LockEvent) {
        panic!("this sink panics");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_over_is_ended_at_its_time_and_not_an_interval_later() {
    let store = store(TablePolicy::default());
    let config = ManagerConfig { sweep_interval: secs(100), ..ManagerConfig::default() };
    let manager = LockManager::start(store.clone(), config);
    manager.ready().await;
    tokio::time::sleep(secs(7)).await;
    let backend = manager.backend();
    backend.acquire(request("k", "a").lease(Lease::For(secs(10)))).await.unwrap();
    backend.acquire(request("k", "b").wait(Wait::AtMost(secs(3)))).await.unwrap();
    assert_eq!(depth(&*store, "k").await, 1);
    tokio::time::sleep(ms(3_001)).await;
    assert_eq!(depth(&*store, "k").await, 0, "its time to wait is over");
    tokio::time::sleep(secs(7)).await;
    assert!(holders(&*store, "k").await.is_empty(), "its lease is over");
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_finds_more_than_its_budget_goes_on_at_once() {
    let store = store(TablePolicy::default());
    for i in 0..50 {
        let lease = Lease::For(secs(1));
        store.acquire(request(&format!("k{i}"), "a").lease(lease)).await.unwrap();
    }
    tokio::time::sleep(secs(2)).await;
    let began = Instant::now();
    let config = ManagerConfig { sweep_budget: 3, ..ManagerConfig::default() };
    let manager = LockManager::start(store.clone(), config);
    until("all are ended", || async { store.stats().await.unwrap().held == 0 }).await;
    assert!(began.elapsed() < ms(500), "{:?}", began.elapsed());
    drop(manager);
}

#[tokio::test(start_paused = true)]
async fn a_sweeper_survives_errors_and_panics_of_the_store() {
    let memory = store(TablePolicy::default());
    let mut calls = 0;
    let flaky = Flaky::new(memory.clone(), move |op| {
        calls += u32::from(op == "sweep");
        match calls {
            1 | 2 if op == "sweep" => Trouble::Panic,
            3 | 4 if op == "sweep" => Trouble::Unavailable,
            _ => Trouble::None,
        }
    });
    memory.acquire(request("k", "a").lease(Lease::For(secs(1)))).await.unwrap();
    let manager = LockManager::start(flaky, ManagerConfig::default());
    until("it is ended", || async { holders(&*memory, "k").await.is_empty() }).await;
    let task = manager.tasks()["sweeper"].clone();
    assert_eq!((task.running, task.restarts), (true, 2));
    let health = manager.health().await;
    assert_eq!(health.status, HealthStatus::Degraded);
    assert_eq!(manager.metrics().await.task_restarts, 2);
}

#[tokio::test(start_paused = true)]
async fn every_event_reaches_the_sinks_in_order_although_one_sink_panics_and_the_feed_fails() {
    let memory = store(TablePolicy::default());
    let mut calls = 0;
    let flaky = Flaky::new(memory.clone(), move |op| {
        calls += 1;
        if op.contains("events") && calls % 3 == 0 { Trouble::Unavailable } else { Trouble::None }
    });
    memory.acquire(request("before", "a")).await.unwrap();
    let manager = LockManager::start(flaky, ManagerConfig::default());
    let heard = Arc::new(Heard::default());
    manager.add_sink(Arc::new(Faulty));
    manager.add_sink(heard.clone());
    manager.ready().await;
    for i in 0..20 {
        let guard = manager.acquire(request(&format!("k{i}"), "a")).await.unwrap();
        guard.release().await.unwrap();
        tokio::time::sleep(ms(10)).await;
    }
    until("all is heard", || async { heard.0.lock().len() == 40 }).await;
    let seqs: Vec<u64> = heard.0.lock().iter().map(|(seq, _)| *seq).collect();
    assert_eq!(seqs, (2..=41).collect::<Vec<_>>(), "all after the start, in order, once");
    assert_eq!(heard.0.lock()[1].1, "released");
    assert_eq!(*heard.1.lock(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_lost_events_is_reported_as_a_gap() {
    let mut policy = TablePolicy::default();
    policy.limits.events = 4;
    let memory = store(policy);
    let flaky = Flaky::new(memory.clone(), |_| Trouble::None);
    let manager = LockManager::start(flaky.clone(), ManagerConfig::default());
    let heard = Arc::new(Heard::default());
    manager.add_sink(heard.clone());
    manager.ready().await;
    flaky.always("events", Trouble::Unavailable);
    for i in 0..20 {
        memory.acquire(request(&format!("k{i}"), "a")).await.unwrap();
    }
    tokio::time::sleep(secs(3)).await;
    flaky.heal();
    until("the rest is heard", || async { heard.0.lock().len() == 4 }).await;
    assert_eq!(*heard.1.lock(), 1);
    assert_eq!(manager.metrics().await.event_gaps, 1);
}

#[tokio::test(start_paused = true)]
async fn figures_tell_locks_queue_waits_errors_and_events() {
    let store = store(TablePolicy::default());
    let manager = LockManager::start(store.clone(), ManagerConfig::default());
    manager.ready().await;
    let backend = manager.backend();
    let first = manager.acquire(request("k", "a")).await.unwrap();
    let waiter = request("k", "b").priority(Priority::High);
    backend.acquire(waiter.clone()).await.unwrap();
    let stale = Grant { token: FencingToken::from_u64(1), ..first.grant().clone() };
    backend.release(&stale).await.unwrap_err();
    let figures = manager.metrics().await;
    assert_eq!((figures.locks_held, figures.queue_size), (1, 1));
    assert_eq!(figures.queue_by_priority["high"], 1);
    assert_eq!(figures.errors["EL003"], 1);
    assert_eq!(figures.acquisitions, 1);
    assert_eq!(figures.health_score, Some(100));

    tokio::time::sleep(secs(9)).await;
    first.release().await.unwrap();
    backend.await_turn(&waiter.ticket(), secs(1)).await.unwrap();
    tokio::time::sleep(ms(10)).await;
    let figures = manager.metrics().await;
    assert_eq!(figures.acquisitions, 2);
    assert!((figures.acquisition.unwrap().p99_ms - 9_000.0).abs() < 100.0, "{figures:?}");
    assert_eq!((figures.events["granted"], figures.events["claimed"], figures.queue_size), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_is_unhealthy_and_well_again_after() {
    let memory = store(TablePolicy::default());
    let flaky = Flaky::new(memory, |_| Trouble::None);
    let manager = LockManager::start(flaky.clone(), ManagerConfig::default());
    manager.ready().await;
    assert_eq!(manager.health().await.score, 100);
    flaky.always("*", Trouble::Hang);
    let began = Instant::now();
    let health = manager.health().await;
    assert!(began.elapsed() <= 2 * manager.config().call_timeout);
    assert_eq!(health.status, HealthStatus::Unhealthy);
    assert!(health.score < 50, "{health:?}");
    let store = &health.parts[0];
    assert!(store.name == "store" && store.detail.contains("outcome is unknown"), "{store:?}");
    flaky.heal();
    tokio::time::sleep(secs(400)).await;
    assert_eq!(manager.health().await.status, HealthStatus::Healthy);
}

#[tokio::test(start_paused = true)]
async fn a_long_line_is_degraded_but_serving() {
    let store = store(TablePolicy::default());
    let manager = client(store.clone());
    store.acquire(request("k", "a").sticky()).await.unwrap();
    for i in 0..600 {
        store.acquire(request("k", &format!("w{i}")).sticky()).await.unwrap();
    }
    let health = manager.health().await;
    assert_eq!((health.status, health.is_serving()), (HealthStatus::Degraded, true));
    assert_eq!(health.parts.iter().find(|part| part.name == "queue").unwrap().score, 44);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_manager_ends_its_tasks_and_spares_the_guards() {
    let store = store(TablePolicy::default());
    let manager = LockManager::start(store.clone(), ManagerConfig::default());
    let guard = manager.acquire(request("k", "a")).await.unwrap();
    drop(manager);
    tokio::time::sleep(secs(120)).await;
    assert!(guard.is_valid());
    assert!(Arc::strong_count(&store) > 1);
    drop(guard);
    until("nobody has the store", || async { Arc::strong_count(&store) == 1 }).await;
}

#[cfg(feature = "metrics")]
#[tokio::test(start_paused = true)]
async fn prometheus_sees_the_names_of_the_seed() {
    let store = store(TablePolicy::default());
    let manager = LockManager::start(store.clone(), ManagerConfig::default());
    manager.ready().await;
    let first = manager.acquire(request("k", "a")).await.unwrap();
    let waiter = request("k", "b");
    store.acquire(waiter.clone()).await.unwrap();
    let _other = manager.try_acquire(request("k", "c")).await.unwrap();
    store
        .cancel(&waiter.ticket(), None, EndReason::Deadlock, Cause::new("d", "cycle").unwrap())
        .await
        .unwrap();
    store.acquire(request("k", "d")).await.unwrap();
    manager.acquire(waiter).resumed().await.unwrap_err();
    tokio::time::sleep(ms(10)).await;
    let text = manager.open_metrics().await;
    for line in [
        "# TYPE atlantis_lock_duration_seconds histogram",
        "atlantis_lock_duration_seconds_count 1",
        "atlantis_queue_size 1",
        "atlantis_deadlock_detected_total 1",
        "atlantis_lock_errors_total{code=\"EL010\"} 1",
        "atlantis_lock_errors_total{code=\"EL012\"} 0",
        "atlantis_enhanced_health_score 100.0",
        "atlantis_locks_held 1",
        "atlantis_queue_depth{priority=\"normal\"} 1",
        "atlantis_lock_events_total{kind=\"deadlock\"} 1",
        "atlantis_lock_task_restarts_total 0",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "missing {line} in\n{text}");
    }
    assert!(text.contains("atlantis_lock_backend_seconds_count{op=\"acquire\"}"));
    drop(first);
}

//! The driver on a sound store, on one that answers nothing, and on one that is two.

use enhanced_locking_core::TablePolicy;
use enhanced_locking_core::memory::MemoryBackend;
use enhanced_locking_foundation::{
    BackendError, BackendInfo, BatchOutcome, Cleared, EdgeQuery, EventCursor, EventPage, NotHeld, Page,
    Priority, QueueQuery, QueueView, ReleaseOutcome, ReprioritiseError, Selector, Stats, SweepOutcome,
    Ticket, Timestamp, TransferError, Transferee, WaitEdge,
};

use super::*;
use crate::clock::TokioClock;
use crate::faults::{FaultPlan, FaultyBackend};
use crate::history::{Outcome, check};

fn on_paused_time<T>(run: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(run)
}

fn memory() -> Arc<dyn LockBackend> {
    let clock = Arc::new(TokioClock::new(Timestamp::from_micros(1_000_000_000)));
    MemoryBackend::new(TablePolicy::default(), clock)
}

/// Two stores that do not know of each other, as after a split: every request goes to one of them.
#[derive(Debug)]
struct Split(Arc<dyn LockBackend>, Arc<dyn LockBackend>);

impl Split {
    fn side(&self, id: &RequestId) -> &dyn LockBackend {
        let odd = id.as_str().bytes().map(u64::from).sum::<u64>() % 2 == 1;
        if odd { &*self.0 } else { &*self.1 }
    }
}

#[async_trait::async_trait]
impl LockBackend for Split {
    fn info(&self) -> BackendInfo {
        self.0.info()
    }
    async fn acquire(&self, request: AcquireRequest) -> Result<AcquireOutcome, AcquireError> {
        self.side(&request.id).acquire(request.clone()).await
    }
    async fn acquire_all(&self, requests: Vec<AcquireRequest>) -> Result<BatchOutcome, AcquireError> {
        self.0.acquire_all(requests).await
    }
    async fn await_turn(&self, ticket: &Ticket, timeout: Duration) -> Result<RequestState, BackendError> {
        self.side(&ticket.id).await_turn(ticket, timeout).await
    }
    async fn find(&self, id: &RequestId) -> Result<Option<(ResourceKey, RequestState)>, BackendError> {
        self.side(id).find(id).await
    }
    async fn cancel(
        &self,
        ticket: &Ticket,
        generation: Option<u64>,
        reason: EndReason,
        cause: Cause,
    ) -> Result<CancelOutcome, BackendError> {
        self.side(&ticket.id).cancel(ticket, generation, reason, cause).await
    }
    async fn reprioritise(&self, ticket: &Ticket, to: Priority) -> Result<RequestState, ReprioritiseError> {
        self.side(&ticket.id).reprioritise(ticket, to).await
    }
    async fn release(&self, grant: &Grant) -> Result<ReleaseOutcome, ReleaseError> {
        self.side(&grant.id).release(grant).await
    }
    async fn renew(&self, renewals: Vec<Renewal>) -> Result<Vec<Result<LockRecord, NotHeld>>, BackendError> {
        let id = renewals[0].grant.id.clone();
        self.side(&id).renew(renewals).await
    }
    async fn transfer(&self, grant: &Grant, to: Transferee) -> Result<LockRecord, TransferError> {
        self.side(&grant.id).transfer(grant, to).await
    }
    async fn force_release(
        &self,
        key: &ResourceKey,
        id: Option<&RequestId>,
        cause: Cause,
    ) -> Result<Vec<LockRecord>, BackendError> {
        self.0.force_release(key, id, cause).await
    }
    async fn clear(&self, selector: &Selector, cause: Cause) -> Result<Cleared, BackendError> {
        self.0.clear(selector, cause).await
    }
    async fn sweep(&self, budget: usize) -> Result<SweepOutcome, BackendError> {
        self.0.sweep(budget).await
    }
    async fn resource(&self, key: &ResourceKey, waiters: usize) -> Result<Option<QueueView>, BackendError> {
        self.0.resource(key, waiters).await
    }
    async fn locks(&self, query: &LockQuery) -> Result<Page<LockRecord>, BackendError> {
        let mut page = self.0.locks(query).await?;
        page.items.extend(self.1.locks(query).await?.items);
        Ok(page)
    }
    async fn queues(&self, query: &QueueQuery) -> Result<Page<QueueView>, BackendError> {
        self.0.queues(query).await
    }
    async fn wait_edges(&self, query: &EdgeQuery) -> Result<Page<WaitEdge>, BackendError> {
        self.0.wait_edges(query).await
    }
    async fn stats(&self) -> Result<Stats, BackendError> {
        self.0.stats().await
    }
    async fn events(&self, after: &EventCursor, limit: usize) -> Result<EventPage, BackendError> {
        self.0.events(after, limit).await
    }
    async fn events_end(&self) -> Result<EventCursor, BackendError> {
        self.0.events_end().await
    }
    async fn await_events(&self, after: &EventCursor, timeout: Duration) -> Result<(), BackendError> {
        self.0.await_events(after, timeout).await
    }
    async fn now(&self) -> Result<Timestamp, BackendError> {
        self.0.now().await
    }
    async fn ping(&self) -> Result<(), BackendError> {
        self.0.ping().await
    }
    async fn close(&self) -> Result<(), BackendError> {
        self.0.close().await
    }
}

#[test]
fn a_sound_store_passes_and_a_resource_that_checks_tokens_loses_nothing() {
    let (checked, unchecked) =
        (Arc::new(GuardedResources::checked()), Arc::new(GuardedResources::unchecked()));
    // Holds of which most outlive the lease: the lock is right, and still not enough for who does not check.
    let workload = Workload {
        shared: 0,
        leased: 1000,
        hold: Duration::from_millis(1_000),
        guarded: vec![checked.clone(), unchecked.clone()],
        ..Workload::default()
    };
    for seed in 0..10 {
        // Tokens begin anew with every store: each gets keys of its own.
        let workload = Workload { prefix: format!("run{seed}x"), ..workload.clone() };
        let history = on_paused_time(async { drive(memory(), &workload, 6, seed).await });
        let report = check(&history);
        assert!(report.is_correct(), "seed {seed}: {report}");
        assert!(report.grants > 10 && history.held_at_end.is_some(), "seed {seed}: {report}");
    }
    assert_eq!(checked.updates().lost, 0, "{}", checked.updates());
    assert!(checked.updates().written > 50 && checked.updates().refused > 10, "{}", checked.updates());
    assert!(unchecked.updates().lost > 10 && unchecked.updates().refused == 0, "{}", unchecked.updates());
}

#[test]
fn a_store_that_grants_twice_is_caught() {
    for seed in 0..10 {
        let history = on_paused_time(async {
            drive(Arc::new(Split(memory(), memory())), &Workload::default(), 6, seed).await
        });
        let report = check(&history);
        for rule in ["H-1", "H-5"] {
            assert!(report.defects.iter().any(|defect| defect.rule == rule), "seed {seed}, {rule}: {report}");
        }
    }
}

#[test]
fn clients_of_several_backends_on_one_store_are_one_run() {
    let history = on_paused_time(async {
        let store = memory();
        let plan = FaultPlan { seed: 1, lost_replies: 100, ..FaultPlan::default() };
        let backends: Vec<Arc<dyn LockBackend>> =
            (0..3).map(|_| FaultyBackend::new(store.clone(), plan) as _).collect();
        drive_all(&backends, &Workload::default(), 6, 7).await
    });
    assert!(check(&history).is_correct(), "{}", check(&history));
    let unknown = history.ops.iter().filter(|op| op.outcome == Outcome::Unknown).count();
    assert!(unknown > 0, "no reply was lost");
}

#[test]
fn a_store_that_never_answers_ends_the_run_with_nothing_known() {
    let history = on_paused_time(async {
        let plan = FaultPlan { delays: 1000, delay: Duration::from_secs(1_000_000), ..FaultPlan::default() };
        let workload = Workload { rounds: 1, tries: 3, ..Workload::default() };
        drive(FaultyBackend::new(memory(), plan), &workload, 2, 3).await
    });
    assert!(!history.ops.is_empty() && history.held_at_end.is_none());
    assert!(history.ops.iter().all(|op| op.outcome == Outcome::Unknown));
    assert!(check(&history).is_correct());
}

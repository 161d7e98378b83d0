//! The manager as a backend. Owns what is added to every call that passes through: admission, figures, sweeps in time.

use std::time::Duration;

use async_trait::async_trait;
use enhanced_locking_foundation::{
    AcquireError, AcquireOutcome, AcquireRequest, BackendError, BackendInfo, BatchOutcome, CancelOutcome,
    Cause, Cleared, EdgeQuery, EndReason, EventCursor, EventPage, Grant, LockBackend, LockQuery, LockRecord,
    NotHeld, Page, Priority, QueueQuery, QueueView, ReleaseError, ReleaseOutcome, Renewal, ReprioritiseError,
    RequestId, RequestState, ResourceKey, Selector, Stats, SweepOutcome, Ticket, Timestamp, TransferError,
    Transferee, WaitEdge,
};
use tokio::time::Instant;

use crate::LockManager;
use crate::inner::Fault;

/// While [draining](LockManager::drain) it refuses new locks; everything else works until the store is closed.
#[async_trait]
impl LockBackend for LockManager {
    fn info(&self) -> BackendInfo {
        self.inner.backend.info()
    }

    async fn acquire(&self, request: AcquireRequest) -> Result<AcquireOutcome, AcquireError> {
        self.inner.admit()?;
        let (began, id) = (Instant::now(), request.id.clone());
        let answer = self.inner.call("acquire", self.inner.backend.acquire(request)).await?;
        if let AcquireOutcome::Held(record) = &answer
            && record.request.id == id
        {
            self.inner.recorder.acquired(began.elapsed());
        }
        self.inner.note(&answer);
        Ok(answer)
    }

    async fn acquire_all(&self, requests: Vec<AcquireRequest>) -> Result<BatchOutcome, AcquireError> {
        self.inner.admit()?;
        let began = Instant::now();
        let answer = self.inner.call("acquire_all", self.inner.backend.acquire_all(requests)).await?;
        if let BatchOutcome::Held(records) = &answer {
            records.iter().for_each(|_| self.inner.recorder.acquired(began.elapsed()));
            self.inner.sweeps.nudge(earliest(records));
        }
        Ok(answer)
    }

    async fn await_turn(&self, ticket: &Ticket, timeout: Duration) -> Result<RequestState, BackendError> {
        let answer = self.inner.backend.await_turn(ticket, timeout).await;
        self.inner.recorder.waiting_call(answer.as_ref().err().map(Fault::failure));
        if let Ok(RequestState::Held(record)) = &answer {
            self.inner.sweeps.nudge(record.deadline());
        }
        answer
    }

    async fn find(&self, id: &RequestId) -> Result<Option<(ResourceKey, RequestState)>, BackendError> {
        self.inner.call("find", self.inner.backend.find(id)).await
    }

    async fn cancel(
        &self,
        ticket: &Ticket,
        generation: Option<u64>,
        reason: EndReason,
        cause: Cause,
    ) -> Result<CancelOutcome, BackendError> {
        self.inner.call("cancel", self.inner.backend.cancel(ticket, generation, reason, cause)).await
    }

    async fn reprioritise(
        &self,
        ticket: &Ticket,
        priority: Priority,
    ) -> Result<RequestState, ReprioritiseError> {
        let answer =
            self.inner.call("reprioritise", self.inner.backend.reprioritise(ticket, priority)).await?;
        if let RequestState::Held(record) = &answer {
            self.inner.sweeps.nudge(record.deadline());
        }
        Ok(answer)
    }

    async fn release(&self, grant: &Grant) -> Result<ReleaseOutcome, ReleaseError> {
        let answer = self.inner.call("release", self.inner.backend.release(grant)).await?;
        if let ReleaseOutcome::Released { next } = &answer {
            self.inner.sweeps.nudge(earliest(next));
        }
        Ok(answer)
    }

    async fn renew(&self, renewals: Vec<Renewal>) -> Result<Vec<Result<LockRecord, NotHeld>>, BackendError> {
        let answers = self.inner.call("renew", self.inner.backend.renew(renewals)).await?;
        for answer in &answers {
            match answer {
                Ok(record) => self.inner.sweeps.nudge(record.deadline()),
                Err(error) => self.inner.recorder.error(error.code()),
            }
        }
        Ok(answers)
    }

    async fn transfer(&self, grant: &Grant, to: Transferee) -> Result<LockRecord, TransferError> {
        let record = self.inner.call("transfer", self.inner.backend.transfer(grant, to)).await?;
        self.inner.sweeps.nudge(record.deadline());
        Ok(record)
    }

    async fn force_release(
        &self,
        key: &ResourceKey,
        id: Option<&RequestId>,
        cause: Cause,
    ) -> Result<Vec<LockRecord>, BackendError> {
        self.inner.call("force_release", self.inner.backend.force_release(key, id, cause)).await
    }

    async fn clear(&self, selector: &Selector, cause: Cause) -> Result<Cleared, BackendError> {
        self.inner.call("clear", self.inner.backend.clear(selector, cause)).await
    }

    async fn sweep(&self, budget: usize) -> Result<SweepOutcome, BackendError> {
        self.inner.call("sweep", self.inner.backend.sweep(budget)).await
    }

    async fn resource(&self, key: &ResourceKey, waiters: usize) -> Result<Option<QueueView>, BackendError> {
        self.inner.call("resource", self.inner.backend.resource(key, waiters)).await
    }

    async fn locks(&self, query: &LockQuery) -> Result<Page<LockRecord>, BackendError> {
        self.inner.call("locks", self.inner.backend.locks(query)).await
    }

    async fn queues(&self, query: &QueueQuery) -> Result<Page<QueueView>, BackendError> {
        self.inner.call("queues", self.inner.backend.queues(query)).await
    }

    async fn wait_edges(&self, query: &EdgeQuery) -> Result<Page<WaitEdge>, BackendError> {
        self.inner.call("wait_edges", self.inner.backend.wait_edges(query)).await
    }

    async fn stats(&self) -> Result<Stats, BackendError> {
        self.inner.call("stats", self.inner.backend.stats()).await
    }

    async fn events(&self, after: &EventCursor, limit: usize) -> Result<EventPage, BackendError> {
        self.inner.call("events", self.inner.backend.events(after, limit)).await
    }

    async fn events_end(&self) -> Result<EventCursor, BackendError> {
        self.inner.call("events_end", self.inner.backend.events_end()).await
    }

    async fn await_events(&self, after: &EventCursor, timeout: Duration) -> Result<(), BackendError> {
        let answer = self.inner.backend.await_events(after, timeout).await;
        self.inner.recorder.waiting_call(answer.as_ref().err().map(Fault::failure));
        answer
    }

    async fn now(&self) -> Result<Timestamp, BackendError> {
        self.inner.call("now", self.inner.backend.now()).await
    }

    async fn ping(&self) -> Result<(), BackendError> {
        self.inner.call("ping", self.inner.backend.ping()).await
    }

    /// Closes the store at once. [`LockManager::shutdown`] does it in good order.
    async fn close(&self) -> Result<(), BackendError> {
        self.inner.drain();
        self.inner.backend.close().await
    }
}

fn earliest(records: &[LockRecord]) -> Option<Timestamp> {
    records.iter().filter_map(LockRecord::deadline).min()
}

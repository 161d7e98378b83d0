//! The port on Redis. Owns the way of every call to its bucket, and what takes several; rules are in the scripts.

mod batch;
mod documents;
mod feed;
mod open;
mod pages;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use enhanced_locking_foundation::{
    AcquireError, AcquireOutcome, AcquireRequest, BackendError, BackendInfo, BatchOutcome, CancelOutcome,
    Cause, Cleared, Durability, EdgeQuery, EndReason, EventCursor, EventPage, Grant, LockBackend, LockQuery,
    LockRecord, NotHeld, Page, Priority, QueueQuery, QueueView, ReleaseError, ReleaseOutcome, Renewal,
    ReprioritiseError, RequestId, RequestState, ResourceKey, Selector, Stats, SweepOutcome, Ticket,
    Timestamp, TransferError, Transferee, WaitEdge,
};
use futures_util::future::try_join_all;
use tokio::sync::{OnceCell, Semaphore};

pub use self::open::open;
use crate::dispatch::Dispatch;
use crate::layout::Layout;
use crate::monitor::Monitor;
use crate::wake::Wakes;
use crate::wire::{self, Operation};
use crate::{RedisConfig, RedisStatus};

/// Entries that one call of a script ends at most: a script holds up everybody else on its server.
const ENDS: usize = 256;

/// A store of locks in Redis. Made by [`open`].
///
/// Any number of processes work on one namespace; the order of lines, tokens and events is the same for all of them.
#[derive(Debug)]
pub struct RedisBackend {
    config: RedisConfig,
    layout: Layout,
    dispatch: Dispatch,
    monitor: Monitor,
    wakes: Arc<Wakes>,
    /// One permit per byte of a document that may still be sent.
    document_room: Semaphore,
    /// The name of this process in hints.
    node: String,
    /// What could be better with the servers, as it was when they were opened.
    warnings: Vec<String>,
    /// Which buckets' hints, and whose events, are heard.
    hears_hints: Vec<OnceCell<()>>,
    hears_events: Vec<OnceCell<()>>,
}

impl RedisBackend {
    /// How the servers are and what was done so far. Asks all servers that commands go to.
    pub async fn status(&self) -> RedisStatus {
        let mut status = self.monitor.look(&self.dispatch).await;
        status.durability = self.config.durability.class();
        status.replicas_wanted = self.config.durability.replicas();
        if status.durability == Durability::Strict
            && let Ok(replies) = self.ask_all(&Operation::replication(false)).await
        {
            let ends = replies.iter().filter_map(|reply| wire::number(reply).ok());
            status.paused_until = ends.max().filter(|end| *end > 0).map(Timestamp::from_micros);
        }
        status
    }

    /// What could be better with the servers, a sentence each: persistence, replicas. As it was when they were opened.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The bucket of a key.
    fn bucket(&self, key: &ResourceKey) -> usize {
        self.layout.bucket(key)
    }

    async fn call(&self, key: &ResourceKey, operation: Operation) -> Result<Vec<u8>, BackendError> {
        self.dispatch.call(self.bucket(key), operation).await
    }

    /// Takes back a grant that nobody was told about.
    async fn withdraw(&self, grant: &Grant) -> Result<(), BackendError> {
        self.call(&grant.key, Operation::withdraw(grant)).await.map(|_| ())
    }

    /// Asks every bucket the same.
    async fn ask_all(&self, operation: &Operation) -> Result<Vec<Vec<u8>>, BackendError> {
        let buckets = 0..self.dispatch.buckets();
        try_join_all(buckets.map(|bucket| self.dispatch.call(bucket, operation.clone()))).await
    }

    /// Renews what is in one bucket, in order; the places tell where the answers belong.
    async fn renew_in(
        &self,
        bucket: usize,
        renewals: Vec<(usize, &Renewal)>,
    ) -> Result<Vec<(usize, Result<LockRecord, NotHeld>)>, BackendError> {
        let (places, operations): (Vec<_>, Vec<_>) =
            renewals.into_iter().map(|(place, renewal)| (place, Operation::renew(renewal))).unzip();
        let replies = self.dispatch.call_in_order(bucket, operations).await?;
        places.into_iter().zip(replies).map(|(place, reply)| Ok((place, wire::renewed(&reply)?))).collect()
    }

    async fn clear_in(
        &self,
        bucket: usize,
        selector: &Selector,
        cause: &Cause,
    ) -> Result<Cleared, BackendError> {
        let mut cleared = Cleared::default();
        loop {
            let reply = self.dispatch.call(bucket, Operation::clear(selector, ENDS, cause)).await?;
            let part = wire::cleared(&reply)?;
            let nothing = part.ended.is_empty();
            for stored in part.ended {
                if stored.holds() {
                    cleared.released.push(stored.record()?);
                } else {
                    cleared.cancelled.push(stored.request);
                }
            }
            if !part.more || nothing {
                return Ok(cleared);
            }
        }
    }

    /// Sweeps one bucket until the budget is used up or nothing is over.
    async fn sweep_in(&self, bucket: usize, budget: usize) -> Result<SweepOutcome, BackendError> {
        let mut ended = 0;
        loop {
            let part = ENDS.min(budget - ended);
            let outcome = wire::swept(&self.dispatch.call(bucket, Operation::sweep(part)).await?)?;
            ended += outcome.ended;
            if outcome.ended < part || ended >= budget {
                return Ok(SweepOutcome { ended, next: outcome.next });
            }
        }
    }
}

#[async_trait]
impl LockBackend for RedisBackend {
    fn info(&self) -> BackendInfo {
        BackendInfo {
            name: "redis",
            location: format!("{} ({})", self.config.servers.location(), self.config.namespace),
            durability: self.config.durability.class(),
        }
    }

    async fn acquire(&self, request: AcquireRequest) -> Result<AcquireOutcome, AcquireError> {
        request.check()?;
        let reply = self.dispatch.ask(self.bucket(&request.key), Operation::acquire(&request)).await?;
        let (outcome, new) = wire::acquired(&reply.bytes, request, &self.config.policy.limits)?;
        match (reply.missing, &outcome) {
            (None, _) | (Some(_), AcquireOutcome::Busy(_)) => Ok(outcome),
            (Some(missing), AcquireOutcome::Held(record)) if new => {
                self.withdraw(&record.grant()).await.map_err(|_| missing.missing())?;
                Err(missing.taken_back().into())
            }
            (Some(missing), _) => Err(missing.missing().into()),
        }
    }

    async fn acquire_all(&self, requests: Vec<AcquireRequest>) -> Result<BatchOutcome, AcquireError> {
        self.acquire_batch(&requests).await
    }

    async fn await_turn(&self, ticket: &Ticket, timeout: Duration) -> Result<RequestState, BackendError> {
        self.wait_for_turn(ticket, timeout).await
    }

    async fn find(&self, id: &RequestId) -> Result<Option<(ResourceKey, RequestState)>, BackendError> {
        let mut over = None;
        for reply in self.ask_all(&Operation::find(id)).await? {
            match wire::found(&reply)? {
                Some((key, state @ RequestState::Finished(_))) => over = Some((key, state)),
                None => {}
                found => return Ok(found),
            }
        }
        Ok(over)
    }

    async fn cancel(
        &self,
        ticket: &Ticket,
        generation: Option<u64>,
        reason: EndReason,
        cause: Cause,
    ) -> Result<CancelOutcome, BackendError> {
        let operation = Operation::cancel(ticket, generation, reason, &cause);
        wire::cancelled(&self.call(&ticket.key, operation).await?)
    }

    async fn reprioritise(
        &self,
        ticket: &Ticket,
        priority: Priority,
    ) -> Result<RequestState, ReprioritiseError> {
        wire::reprioritised(&self.call(&ticket.key, Operation::reprioritise(ticket, priority)).await?)
    }

    async fn release(&self, grant: &Grant) -> Result<ReleaseOutcome, ReleaseError> {
        Ok(wire::released(&self.call(&grant.key, Operation::release(grant)).await?)??)
    }

    async fn renew(&self, renewals: Vec<Renewal>) -> Result<Vec<Result<LockRecord, NotHeld>>, BackendError> {
        let mut buckets: std::collections::BTreeMap<usize, Vec<(usize, &Renewal)>> = Default::default();
        for (place, renewal) in renewals.iter().enumerate() {
            buckets.entry(self.bucket(&renewal.grant.key)).or_default().push((place, renewal));
        }
        let parts = buckets.into_iter().map(|(bucket, renewals)| self.renew_in(bucket, renewals));
        let mut answers: Vec<_> = try_join_all(parts).await?.into_iter().flatten().collect();
        answers.sort_by_key(|(place, _)| *place);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }

    async fn transfer(&self, grant: &Grant, to: Transferee) -> Result<LockRecord, TransferError> {
        wire::transferred(&self.call(&grant.key, Operation::transfer(grant, &to)).await?)
    }

    async fn force_release(
        &self,
        key: &ResourceKey,
        id: Option<&RequestId>,
        cause: Cause,
    ) -> Result<Vec<LockRecord>, BackendError> {
        wire::forced(&self.call(key, Operation::force(key, id, &cause)).await?)
    }

    async fn clear(&self, selector: &Selector, cause: Cause) -> Result<Cleared, BackendError> {
        let buckets = 0..self.dispatch.buckets();
        let parts = try_join_all(buckets.map(|bucket| self.clear_in(bucket, selector, &cause))).await?;
        let mut all = Cleared::default();
        for part in parts {
            all.released.extend(part.released);
            all.cancelled.extend(part.cancelled);
        }
        if self.dispatch.buckets() > 1 {
            all.released.sort_by_key(|record| record.request.ticket());
            all.cancelled.sort_by_key(|request| request.ticket());
        }
        Ok(all)
    }

    async fn sweep(&self, budget: usize) -> Result<SweepOutcome, BackendError> {
        if self.dispatch.buckets() == 1 {
            return self.sweep_in(0, budget).await;
        }
        // Ask all when their next time comes, and begin with what was over first.
        let mut next = Vec::new();
        for (bucket, reply) in self.ask_all(&Operation::sweep(0)).await?.iter().enumerate() {
            next.extend(wire::swept(reply)?.next.map(|at| (at, bucket)));
        }
        next.sort();
        let now = self.now().await?;
        let mut outcome = SweepOutcome::default();
        for (at, bucket) in next {
            let left = if at <= now && outcome.ended < budget {
                let part = self.sweep_in(bucket, budget - outcome.ended).await?;
                outcome.ended += part.ended;
                part.next
            } else {
                Some(at)
            };
            outcome.next = [outcome.next, left].into_iter().flatten().min();
        }
        Ok(outcome)
    }

    async fn resource(&self, key: &ResourceKey, waiters: usize) -> Result<Option<QueueView>, BackendError> {
        let waiters = waiters.min(Page::<()>::MAX_ITEMS);
        wire::resource(&self.call(key, Operation::resource(key, waiters)).await?)
    }

    async fn locks(&self, query: &LockQuery) -> Result<Page<LockRecord>, BackendError> {
        self.page_of_locks(query).await
    }

    async fn queues(&self, query: &QueueQuery) -> Result<Page<QueueView>, BackendError> {
        self.page_of_queues(query).await
    }

    async fn wait_edges(&self, query: &EdgeQuery) -> Result<Page<WaitEdge>, BackendError> {
        self.page_of_edges(query).await
    }

    async fn stats(&self) -> Result<Stats, BackendError> {
        let mut all = Stats::default();
        for reply in self.ask_all(&Operation::stats()).await? {
            let part = wire::stats(&reply)?;
            all.now = all.now.max(part.now);
            all.held += part.held;
            all.waiting += part.waiting;
            all.resources += part.resources;
            all.oldest_wait = all.oldest_wait.max(part.oldest_wait);
            for (sum, count) in all.waiting_by_priority.iter_mut().zip(part.waiting_by_priority) {
                *sum += count;
            }
        }
        Ok(all)
    }

    async fn events(&self, after: &EventCursor, limit: usize) -> Result<EventPage, BackendError> {
        self.page_of_events(after, limit).await
    }

    async fn events_end(&self) -> Result<EventCursor, BackendError> {
        self.end_of_events().await
    }

    async fn await_events(&self, after: &EventCursor, timeout: Duration) -> Result<(), BackendError> {
        self.wait_for_events(after, timeout).await
    }

    async fn now(&self) -> Result<Timestamp, BackendError> {
        let reply = self.dispatch.call(0, Operation::now()).await?;
        Ok(Timestamp::from_micros(wire::number(&reply)?))
    }

    async fn ping(&self) -> Result<(), BackendError> {
        self.dispatch.call(0, Operation::ping()).await.map(|_| ())
    }

    async fn close(&self) -> Result<(), BackendError> {
        self.monitor.stop();
        self.dispatch.close().await;
        self.wakes.wake_all();
        Ok(())
    }
}

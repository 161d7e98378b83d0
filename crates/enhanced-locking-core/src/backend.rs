//! The async backend around a lock table. Owns waiting and the translation from port to table; where the table lives and when a change counts is the [`Engine`]'s.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use enhanced_locking_foundation::{
    AcquireError, AcquireOutcome, AcquireRequest, BackendError, BackendErrorKind, BackendInfo, BatchOutcome,
    CancelOutcome, Cause, Cleared, DocumentName, DocumentOutcome, DocumentStore, DocumentUpdate, EdgeQuery,
    EndReason, EventCursor, EventPage, Grant, Limits, LockBackend, LockQuery, LockRecord, NotHeld, Page,
    Priority, QueueQuery, QueueView, ReleaseError, ReleaseOutcome, Renewal, ReprioritiseError, RequestId,
    RequestState, ResourceKey, Selector, Stats, SweepOutcome, Ticket, Timestamp, TransferError, Transferee,
    ValueError, WaitEdge,
};
use tokio::sync::Semaphore;

use crate::{Feed, LockTable};

/// Bytes of documents that may be on their way to the table: callers beyond wait their turn. An engine may gather all of
/// that for one commit.
const DOCUMENT_BYTES_IN_FLIGHT: usize = 64 << 20;

/// Keeps a table: applies changes one after the other, and answers when they count.
///
/// A change is a function of the table and the time. The engine decides when it is applied, makes its effects
/// durable, publishes its events to the feed, and only then lets the caller have the result.
pub trait Engine: Send + Sync + std::fmt::Debug + 'static {
    /// What kind of store this is.
    fn info(&self) -> BackendInfo;

    /// Applies a change and answers once it counts.
    fn submit<R: Send + 'static>(
        &self,
        change: impl FnOnce(&mut LockTable, Timestamp) -> R + Send + 'static,
    ) -> impl Future<Output = Result<R, BackendError>> + Send;

    /// Reads what counts. May ask more than once, if what it was told did not come to count.
    fn read<R: Send>(
        &self,
        question: impl Fn(&LockTable, Timestamp) -> R + Send,
    ) -> impl Future<Output = Result<R, BackendError>> + Send;

    /// The events and wake-ups of the table.
    fn feed(&self) -> &Feed;

    /// Lets go of the store.
    fn close(&self) -> impl Future<Output = Result<(), BackendError>> + Send;
}

/// A [`LockBackend`] and [`DocumentStore`] on any [`Engine`].
#[derive(Debug)]
pub struct TableBackend<E> {
    engine: E,
    /// One permit per byte of a document that may still be sent to the engine.
    document_room: Arc<Semaphore>,
}

impl<E: Engine> TableBackend<E> {
    /// The backend of an engine.
    #[must_use]
    pub fn of(engine: E) -> Self {
        Self { engine, document_room: Arc::new(Semaphore::new(DOCUMENT_BYTES_IN_FLIGHT)) }
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &E {
        &self.engine
    }

    /// Changes the limits from now on; how many events are kept stays as it is.
    ///
    /// # Errors
    /// [`BackendError`] if the store is closed.
    pub async fn set_limits(&self, limits: Limits) -> Result<(), BackendError> {
        self.engine.submit(move |table, _| table.set_limits(limits)).await
    }

    async fn poll(&self, ticket: &Ticket) -> Result<RequestState, BackendError> {
        let ticket = ticket.clone();
        self.engine.submit(move |table, now| table.poll(&ticket, now)).await
    }
}

#[async_trait]
impl<E: Engine> LockBackend for TableBackend<E> {
    fn info(&self) -> BackendInfo {
        self.engine.info()
    }

    async fn acquire(&self, request: AcquireRequest) -> Result<AcquireOutcome, AcquireError> {
        // Shared from here on: it is wide, and is handed through many hands.
        let request = Arc::new(request);
        self.engine.submit(move |table, now| table.acquire(request, now)).await?
    }

    async fn acquire_all(&self, requests: Vec<AcquireRequest>) -> Result<BatchOutcome, AcquireError> {
        self.engine.submit(move |table, now| table.acquire_all(requests, now)).await?
    }

    async fn await_turn(&self, ticket: &Ticket, timeout: Duration) -> Result<RequestState, BackendError> {
        let registration = self.engine.feed().register(&ticket.id);
        let timeout = tokio::time::sleep(timeout);
        let mut timeout = std::pin::pin!(timeout);
        loop {
            let wake = registration.wake().notified();
            let mut wake = std::pin::pin!(wake);
            // Listen first, look then: a hand-off in between is heard.
            wake.as_mut().enable();
            let state = self.poll(ticket).await?;
            if !matches!(state, RequestState::Queued(_)) || timeout.is_elapsed() {
                return Ok(state);
            }
            tokio::select! {
                () = &mut wake => {}
                // Look once more, so that the answer is as fresh as the timeout.
                () = &mut timeout => {}
            }
        }
    }

    async fn find(&self, id: &RequestId) -> Result<Option<(ResourceKey, RequestState)>, BackendError> {
        self.engine.read(|table, _| table.find(id)).await
    }

    async fn cancel(
        &self,
        ticket: &Ticket,
        generation: Option<u64>,
        reason: EndReason,
        cause: Cause,
    ) -> Result<CancelOutcome, BackendError> {
        let ticket = ticket.clone();
        self.engine.submit(move |table, now| table.cancel(&ticket, generation, reason, cause, now)).await
    }

    async fn reprioritise(
        &self,
        ticket: &Ticket,
        priority: Priority,
    ) -> Result<RequestState, ReprioritiseError> {
        let ticket = ticket.clone();
        self.engine.submit(move |table, now| table.reprioritise(&ticket, priority, now)).await?
    }

    async fn release(&self, grant: &Grant) -> Result<ReleaseOutcome, ReleaseError> {
        let grant = grant.clone();
        Ok(self.engine.submit(move |table, now| table.release(&grant, now)).await??)
    }

    async fn renew(&self, renewals: Vec<Renewal>) -> Result<Vec<Result<LockRecord, NotHeld>>, BackendError> {
        self.engine
            .submit(move |table, now| renewals.iter().map(|renewal| table.renew(renewal, now)).collect())
            .await
    }

    async fn transfer(&self, grant: &Grant, to: Transferee) -> Result<LockRecord, TransferError> {
        let grant = grant.clone();
        self.engine.submit(move |table, now| table.transfer(&grant, to, now)).await?
    }

    async fn force_release(
        &self,
        key: &ResourceKey,
        id: Option<&RequestId>,
        cause: Cause,
    ) -> Result<Vec<LockRecord>, BackendError> {
        let (key, id) = (key.clone(), id.cloned());
        self.engine.submit(move |table, now| table.force_release(&key, id.as_ref(), &cause, now)).await
    }

    async fn clear(&self, selector: &Selector, cause: Cause) -> Result<Cleared, BackendError> {
        let selector = selector.clone();
        self.engine.submit(move |table, now| table.clear(&selector, &cause, now)).await
    }

    async fn sweep(&self, budget: usize) -> Result<SweepOutcome, BackendError> {
        self.engine.submit(move |table, now| table.sweep(budget, now)).await
    }

    async fn resource(&self, key: &ResourceKey, waiters: usize) -> Result<Option<QueueView>, BackendError> {
        self.engine.read(|table, _| table.resource(key, waiters)).await
    }

    async fn locks(&self, query: &LockQuery) -> Result<Page<LockRecord>, BackendError> {
        self.engine.read(|table, _| table.locks(query)).await?.map_err(refused)
    }

    async fn queues(&self, query: &QueueQuery) -> Result<Page<QueueView>, BackendError> {
        self.engine.read(|table, _| table.queues(query)).await?.map_err(refused)
    }

    async fn wait_edges(&self, query: &EdgeQuery) -> Result<Page<WaitEdge>, BackendError> {
        self.engine.read(|table, _| table.wait_edges(query)).await?.map_err(refused)
    }

    async fn stats(&self) -> Result<Stats, BackendError> {
        self.engine.read(LockTable::stats).await
    }

    async fn events(&self, after: &EventCursor, limit: usize) -> Result<EventPage, BackendError> {
        Ok(self.engine.feed().page(after, limit))
    }

    async fn events_end(&self) -> Result<EventCursor, BackendError> {
        Ok(self.engine.feed().end())
    }

    async fn await_events(&self, after: &EventCursor, timeout: Duration) -> Result<(), BackendError> {
        // Running out of time is as good an end as news: the caller reads on either way.
        let _ = tokio::time::timeout(timeout, self.engine.feed().wait_for_news(after)).await;
        Ok(())
    }

    async fn now(&self) -> Result<Timestamp, BackendError> {
        self.engine.read(|_, now| now).await
    }

    async fn ping(&self) -> Result<(), BackendError> {
        self.engine.submit(|_, _| ()).await
    }

    async fn close(&self) -> Result<(), BackendError> {
        self.engine.close().await?;
        self.engine.feed().wake_all();
        Ok(())
    }
}

#[async_trait]
impl<E: Engine> DocumentStore for TableBackend<E> {
    async fn document(&self, name: &DocumentName) -> Result<Option<Vec<u8>>, BackendError> {
        // Copied when the table is not locked any more.
        let found = self.engine.read(|table, _| table.document(name).cloned()).await?;
        Ok(found.map(|value| value.to_vec()))
    }

    async fn put_document(
        &self,
        name: &DocumentName,
        update: DocumentUpdate,
    ) -> Result<DocumentOutcome, BackendError> {
        update.check()?;
        let bytes = update.value_bytes() + update.expected.value_bytes();
        let room =
            Arc::clone(&self.document_room).acquire_many_owned(u32::try_from(bytes).unwrap_or(u32::MAX));
        // Nobody closes it.
        let room = room.await.map_err(|e| BackendError::new(BackendErrorKind::Internal, e.to_string()))?;
        let name = name.clone();
        let DocumentUpdate { value, expected } = update;
        let value: Option<Arc<[u8]>> = value.map(Arc::from);
        let put = self.engine.submit(move |table, _| {
            // Goes with the change: a caller that goes away leaves both behind.
            let _room = room;
            table.put_document(&name, value, &expected)
        });
        Ok(put.await??.into())
    }

    async fn documents(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<DocumentName>, BackendError> {
        self.engine.read(|table, _| table.documents(prefix, cursor, limit)).await?.map_err(refused)
    }
}

fn refused(error: ValueError) -> BackendError {
    BackendError::new(BackendErrorKind::Invalid, error.to_string())
}

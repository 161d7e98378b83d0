//! A store behind a bad network.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use enhanced_locking_foundation::*;
use parking_lot::Mutex;

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing.
    None,
    /// It takes a while, half on the way there and half on the way back.
    Slow(Duration),
    /// It is not executed, and the caller knows.
    Unavailable,
    /// It is not executed, and the caller does not know.
    LostRequest,
    /// It is executed, and the caller does not know.
    LostReply,
    /// The caller is told at once that the outcome is unknown; it is executed so much later.
    Late(Duration),
    /// It is not executed and never answered.
    Hang,
    /// The backend panics.
    Panic,
}

type Plan = Box<dyn FnMut(&'static str) -> Trouble + Send>;

/// A store reached over a bad network: a plan says for each call what goes wrong.
pub(crate) struct Flaky {
    store: Arc<dyn LockBackend>,
    plan: Mutex<Plan>,
    calls: Mutex<Vec<&'static str>>,
}

impl std::fmt::Debug for Flaky {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flaky").field("store", &self.store).finish()
    }
}

impl Flaky {
    pub(crate) fn new(
        store: Arc<dyn LockBackend>,
        plan: impl FnMut(&'static str) -> Trouble + Send + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { store, plan: Mutex::new(Box::new(plan)), calls: Mutex::default() })
    }

    /// Replaces the plan.
    pub(crate) fn plan(&self, plan: impl FnMut(&'static str) -> Trouble + Send + 'static) {
        *self.plan.lock() = Box::new(plan);
    }

    /// The same for every call of one operation.
    pub(crate) fn always(&self, op: &'static str, trouble: Trouble) {
        self.plan(move |called| if called == op || op == "*" { trouble } else { Trouble::None });
    }

    /// Nothing goes wrong any more.
    pub(crate) fn heal(&self) {
        self.plan(|_| Trouble::None);
    }

    /// How often an operation was called.
    pub(crate) fn count(&self, op: &str) -> usize {
        self.calls.lock().iter().filter(|called| **called == op).count()
    }

    async fn through<T: Send + 'static, E: From<BackendError> + Send + 'static, F>(
        &self,
        op: &'static str,
        call: impl FnOnce(Arc<dyn LockBackend>) -> F + Send,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.calls.lock().push(op);
        let trouble = (self.plan.lock())(op);
        let call = call(self.store.clone());
        let unknown = || Err(BackendError::new(BackendErrorKind::Indeterminate, "connection lost").into());
        match trouble {
            Trouble::None => call.await,
            Trouble::Slow(by) => {
                tokio::time::sleep(by / 2).await;
                let answer = call.await;
                tokio::time::sleep(by / 2).await;
                answer
            }
            Trouble::Unavailable => Err(BackendError::new(BackendErrorKind::Unavailable, "no route").into()),
            Trouble::LostRequest => unknown(),
            Trouble::LostReply => {
                let _ = call.await;
                unknown()
            }
            Trouble::Late(by) => {
                tokio::spawn(async move {
                    tokio::time::sleep(by).await;
                    call.await
                });
                unknown()
            }
            Trouble::Hang => std::future::pending().await,
            Trouble::Panic => panic!("the driver of the store panics"),
        }
    }
}

#[async_trait]
impl LockBackend for Flaky {
    fn info(&self) -> BackendInfo {
        self.store.info()
    }

    async fn acquire(&self, request: AcquireRequest) -> Result<AcquireOutcome, AcquireError> {
        self.through("acquire", |s| async move { s.acquire(request).await }).await
    }

    async fn acquire_all(&self, requests: Vec<AcquireRequest>) -> Result<BatchOutcome, AcquireError> {
        self.through("acquire_all", |s| async move { s.acquire_all(requests).await }).await
    }

    async fn await_turn(&self, ticket: &Ticket, timeout: Duration) -> Result<RequestState, BackendError> {
        let ticket = ticket.clone();
        self.through("await_turn", move |s| async move { s.await_turn(&ticket, timeout).await }).await
    }

    async fn find(&self, id: &RequestId) -> Result<Option<(ResourceKey, RequestState)>, BackendError> {
        self.store.find(id).await
    }

    async fn cancel(
        &self,
        ticket: &Ticket,
        generation: Option<u64>,
        reason: EndReason,
        cause: Cause,
    ) -> Result<CancelOutcome, BackendError> {
        let ticket = ticket.clone();
        self.through("cancel", move |s| async move { s.cancel(&ticket, generation, reason, cause).await })
            .await
    }

    async fn reprioritise(
        &self,
        ticket: &Ticket,
        priority: Priority,
    ) -> Result<RequestState, ReprioritiseError> {
        self.store.reprioritise(ticket, priority).await
    }

    async fn release(&self, grant: &Grant) -> Result<ReleaseOutcome, ReleaseError> {
        let grant = grant.clone();
        self.through("release", move |s| async move { s.release(&grant).await }).await
    }

    async fn renew(&self, renewals: Vec<Renewal>) -> Result<Vec<Result<LockRecord, NotHeld>>, BackendError> {
        self.through("renew", move |s| async move { s.renew(renewals).await }).await
    }

    async fn transfer(&self, grant: &Grant, to: Transferee) -> Result<LockRecord, TransferError> {
        self.store.transfer(grant, to).await
    }

    async fn force_release(
        &self,
        key: &ResourceKey,
        id: Option<&RequestId>,
        cause: Cause,
    ) -> Result<Vec<LockRecord>, BackendError> {
        self.store.force_release(key, id, cause).await
    }

    async fn clear(&self, selector: &Selector, cause: Cause) -> Result<Cleared, BackendError> {
        self.store.clear(selector, cause).await
    }

    async fn sweep(&self, budget: usize) -> Result<SweepOutcome, BackendError> {
        self.through("sweep", move |s| async move { s.sweep(budget).await }).await
    }

    async fn resource(&self, key: &ResourceKey, waiters: usize) -> Result<Option<QueueView>, BackendError> {
        self.store.resource(key, waiters).await
    }

    async fn locks(&self, query: &LockQuery) -> Result<Page<LockRecord>, BackendError> {
        self.store.locks(query).await
    }

    async fn queues(&self, query: &QueueQuery) -> Result<Page<QueueView>, BackendError> {
        self.store.queues(query).await
    }

    async fn wait_edges(&self, query: &EdgeQuery) -> Result<Page<WaitEdge>, BackendError> {
        self.store.wait_edges(query).await
    }

    async fn stats(&self) -> Result<Stats, BackendError> {
        self.through("stats", |s| async move { s.stats().await }).await
    }

    async fn events(&self, after: &EventCursor, limit: usize) -> Result<EventPage, BackendError> {
        let after = after.clone();
        self.through("events", move |s| async move { s.events(&after, limit).await }).await
    }

    async fn events_end(&self) -> Result<EventCursor, BackendError> {
        self.store.events_end().await
    }

    async fn await_events(&self, after: &EventCursor, timeout: Duration) -> Result<(), BackendError> {
        let after = after.clone();
        self.through("await_events", move |s| async move { s.await_events(&after, timeout).await }).await
    }

    async fn now(&self) -> Result<Timestamp, BackendError> {
        self.through("now", |s| async move { s.now().await }).await
    }

    async fn ping(&self) -> Result<(), BackendError> {
        self.through("ping", |s| async move { s.ping().await }).await
    }

    async fn close(&self) -> Result<(), BackendError> {
        self.store.close().await
    }
}

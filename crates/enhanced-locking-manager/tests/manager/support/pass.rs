//! Stores that pass everything on to another one.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use enhanced_locking_foundation::*;
use parking_lot::Mutex;

macro_rules! passed_on {
    ($name:ident, |$self:ident| $target:expr, close: $close:expr) => {
        #[async_trait]
        impl LockBackend for $name {
            fn info(&self) -> BackendInfo {
                let $self = self;
                $target.info()
            }
            async fn acquire(&self, r: AcquireRequest) -> Result<AcquireOutcome, AcquireError> {
                let $self = self;
                let t = $target;
                t.acquire(r).await
            }
            async fn acquire_all(&self, r: Vec<AcquireRequest>) -> Result<BatchOutcome, AcquireError> {
                let $self = self;
                let t = $target;
                t.acquire_all(r).await
            }
            async fn await_turn(&self, k: &Ticket, d: Duration) -> Result<RequestState, BackendError> {
                let $self = self;
                let t = $target;
                t.await_turn(k, d).await
            }
            async fn find(&self, i: &RequestId) -> Result<Option<(ResourceKey, RequestState)>, BackendError> {
                let $self = self;
                let t = $target;
                t.find(i).await
            }
            async fn cancel(
                &self,
                k: &Ticket,
                g: Option<u64>,
                r: EndReason,
                c: Cause,
            ) -> Result<CancelOutcome, BackendError> {
                let $self = self;
                let t = $target;
                t.cancel(k, g, r, c).await
            }
            async fn reprioritise(&self, k: &Ticket, p: Priority) -> Result<RequestState, ReprioritiseError> {
                let $self = self;
                let t = $target;
                t.reprioritise(k, p).await
            }
            async fn release(&self, g: &Grant) -> Result<ReleaseOutcome, ReleaseError> {
                let $self = self;
                let t = $target;
                t.release(g).await
            }
            async fn renew(&self, r: Vec<Renewal>) -> Result<Vec<Result<LockRecord, NotHeld>>, BackendError> {
                let $self = self;
                let t = $target;
                t.renew(r).await
            }
            async fn transfer(&self, g: &Grant, to: Transferee) -> Result<LockRecord, TransferError> {
                let $self = self;
                let t = $target;
                t.transfer(g, to).await
            }
            async fn force_release(
                &self,
                k: &ResourceKey,
                i: Option<&RequestId>,
                c: Cause,
            ) -> Result<Vec<LockRecord>, BackendError> {
                let $self = self;
                let t = $target;
                t.force_release(k, i, c).await
            }
            async fn clear(&self, s: &Selector, c: Cause) -> Result<Cleared, BackendError> {
                let $self = self;
                let t = $target;
                t.clear(s, c).await
            }
            async fn sweep(&self, b: usize) -> Result<SweepOutcome, BackendError> {
                let $self = self;
                let t = $target;
                t.sweep(b).await
            }
            async fn resource(&self, k: &ResourceKey, w: usize) -> Result<Option<QueueView>, BackendError> {
                let $self = self;
                let t = $target;
                t.resource(k, w).await
            }
            async fn locks(&self, q: &LockQuery) -> Result<Page<LockRecord>, BackendError> {
                let $self = self;
                let t = $target;
                t.locks(q).await
            }
            async fn queues(&self, q: &QueueQuery) -> Result<Page<QueueView>, BackendError> {
                let $self = self;
                let t = $target;
                t.queues(q).await
            }
            async fn wait_edges(&self, q: &EdgeQuery) -> Result<Page<WaitEdge>, BackendError> {
                let $self = self;
                let t = $target;
                t.wait_edges(q).await
            }
            async fn stats(&self) -> Result<Stats, BackendError> {
                let $self = self;
                let t = $target;
                t.stats().await
            }
            async fn events(&self, a: &EventCursor, l: usize) -> Result<EventPage, BackendError> {
                let $self = self;
                let t = $target;
                t.events(a, l).await
            }
            async fn events_end(&self) -> Result<EventCursor, BackendError> {
                let $self = self;
                let t = $target;
                t.events_end().await
            }
            async fn await_events(&self, a: &EventCursor, d: Duration) -> Result<(), BackendError> {
                let $self = self;
                let t = $target;
                t.await_events(a, d).await
            }
            async fn now(&self) -> Result<Timestamp, BackendError> {
                let $self = self;
                let t = $target;
                t.now().await
            }
            async fn ping(&self) -> Result<(), BackendError> {
                let $self = self;
                let t = $target;
                t.ping().await
            }
            async fn close(&self) -> Result<(), BackendError> {
                if $close {
                    let $self = self;
                    let t = $target;
                    t.close().await
                } else {
                    Ok(())
                }
            }
        }
    };
}

/// A store that can be exchanged for another one: as if it had lost its data.
#[derive(Debug)]
pub(crate) struct Switch(pub(crate) Arc<Mutex<Arc<dyn LockBackend>>>);
passed_on!(Switch, |this| this.0.lock().clone(), close: true);

/// A store that stays open when its manager is shut down: as a service does when its client goes.
#[derive(Debug)]
pub(crate) struct Unclosed(pub(crate) Arc<dyn LockBackend>);
passed_on!(Unclosed, |this| this.0.clone(), close: false);

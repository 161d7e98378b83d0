//! A backend that loses requests and replies on purpose. Owns the faults; what they must not break is checked by
//! `history` and `invariants`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use enhanced_locking_foundation::{
    AcquireError, AcquireOutcome, AcquireRequest, BackendError, BackendErrorKind, BackendInfo, BatchOutcome,
    CancelOutcome, Cause, Cleared, EdgeQuery, EndReason, EventCursor, EventPage, Grant, LockBackend,
    LockQuery, LockRecord, NotHeld, Page, Priority, QueueQuery, QueueView, ReleaseError, ReleaseOutcome,
    Renewal, ReprioritiseError, RequestId, RequestState, ResourceKey, Selector, Stats, SweepOutcome, Ticket,
    Timestamp, TransferError, Transferee, WaitEdge,
};

/// How often what goes wrong, in calls of a thousand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultPlan {
    /// The same seed and the same order of calls give the same faults.
    pub seed: u64,
    /// Requests that never arrive: `Unavailable`, nothing happened.
    pub lost_requests: u16,
    /// Replies that never arrive: it happened, the caller is told `Indeterminate`.
    pub lost_replies: u16,
    /// Calls that are delayed, half before and half after they happen.
    pub delays: u16,
    /// The longest delay.
    pub delay: Duration,
}

/// A backend that passes calls on, except when it does not.
///
/// Reads lose requests, never replies: an answer that is not there is the same as no answer.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// use std::sync::Arc;
/// use enhanced_locking_core::{TablePolicy, memory::MemoryBackend};
/// use enhanced_locking_foundation::{LockBackend, SteadyClock};
/// use enhanced_locking_testkit::faults::{FaultPlan, FaultyBackend};
///
/// let sound = MemoryBackend::new(TablePolicy::default(), Arc::new(SteadyClock::new()));
/// let faulty = FaultyBackend::new(sound, FaultPlan { seed: 7, lost_requests: 1000, ..FaultPlan::default() });
/// assert!(faulty.ping().await.is_err());
/// faulty.heal();
/// assert!(faulty.ping().await.is_ok());
/// # }); Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct FaultyBackend {
    inner: Arc<dyn LockBackend>,
    plan: FaultPlan,
    dice: AtomicU64,
    healed: AtomicBool,
    requests_lost: AtomicU64,
    replies_lost: AtomicU64,
}

/// What befalls one call.
struct Fate {
    before: Duration,
    after: Duration,
    lose_reply: bool,
}

impl FaultyBackend {
    /// Wraps a backend.
    #[must_use]
    pub fn new(inner: Arc<dyn LockBackend>, plan: FaultPlan) -> Arc<Self> {
        Arc::new(Self {
            inner,
            plan,
            dice: AtomicU64::new(plan.seed),
            healed: AtomicBool::new(false),
            requests_lost: AtomicU64::new(0),
            replies_lost: AtomicU64::new(0),
        })
    }

    /// No faults from here on: what was broken must come right again.
    pub fn heal(&self) {
        self.healed.store(true, Ordering::SeqCst);
    }

    /// Faults again.
    pub fn hurt(&self) {
        self.healed.store(false, Ordering::SeqCst);
    }

    /// How many requests were lost, and how many replies. A test that lost none has tested nothing.
    #[must_use]
    pub fn lost(&self) -> (u64, u64) {
        (self.requests_lost.load(Ordering::SeqCst), self.replies_lost.load(Ordering::SeqCst))
    }

    /// The next number below `below`: SplitMix64, so that a seed means the same on every machine.
    fn roll(&self, below: u64) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.dice.fetch_add(STEP, Ordering::SeqCst).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below.max(1)
    }

    fn happens(&self, per_mille: u16) -> bool {
        self.roll(1000) < u64::from(per_mille)
    }

    /// Rolls the dice for one call, always equally often, and waits out the delay before it.
    async fn send(&self, can_lose_reply: bool) -> Result<Fate, BackendError> {
        let lost = self.happens(self.plan.lost_requests);
        let lose_reply = self.happens(self.plan.lost_replies);
        let delayed = self.happens(self.plan.delays);
        let micros = u64::try_from(self.plan.delay.as_micros()).unwrap_or(u64::MAX);
        let delay = Duration::from_micros(self.roll(micros.saturating_add(1)));
        let early = self.roll(2) == 0;
        if self.healed.load(Ordering::SeqCst) {
            return Ok(Fate { before: Duration::ZERO, after: Duration::ZERO, lose_reply: false });
        }
        let delay = if delayed { delay } else { Duration::ZERO };
        let (before, after) = if early { (delay, Duration::ZERO) } else { (Duration::ZERO, delay) };
        let fate = Fate { before, after, lose_reply: lose_reply && can_lose_reply };
        wait(fate.before).await;
        if lost {
            self.requests_lost.fetch_add(1, Ordering::SeqCst);
            return Err(BackendError::new(BackendErrorKind::Unavailable, "the request was lost on purpose"));
        }
        Ok(fate)
    }

    async fn reply(&self, fate: Fate) -> Result<(), BackendError> {
        wait(fate.after).await;
        if fate.lose_reply {
            self.replies_lost.fetch_add(1, Ordering::SeqCst);
            return Err(BackendError::new(BackendErrorKind::Indeterminate, "the reply was lost on purpose"));
        }
        Ok(())
    }
}

async fn wait(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

/// A change: may lose request or reply.
macro_rules! change {
    ($self:ident, $call:expr) => {{
        let fate = $self.send(true).await?;
        let answer = $call.await;
        $self.reply(fate).await?;
        answer
    }};
}

/// A read: may lose the request.
macro_rules! read {
    ($self:ident, $call:expr) => {{
        let fate = $self.send(false).await?;
        let answer = $call.await;
        $self.reply(fate).await?;
        answer
    }};
}

#[async_trait]
impl LockBackend for FaultyBackend {
    fn info(&self) -> BackendInfo {
        self.inner.info()
    }

    async fn acquire(&self, request: AcquireRequest) -> Result<AcquireOutcome, AcquireError> {
        change!(self, self.inner.acquire(request))
    }

    async fn acquire_all(&self, requests: Vec<AcquireRequest>) -> Result<BatchOutcome, AcquireError> {
        change!(self, self.inner.acquire_all(requests))
    }

    async fn await_turn(&self, ticket: &Ticket, timeout: Duration) -> Result<RequestState, BackendError> {
        change!(self, self.inner.await_turn(ticket, timeout))
    }

    async fn find(&self, id: &RequestId) -> Result<Option<(ResourceKey, RequestState)>, BackendError> {
        read!(self, self.inner.find(id))
    }

    async fn cancel(
        &self,
        ticket: &Ticket,
        generation: Option<u64>,
        reason: EndReason,
        cause: Cause,
    ) -> Result<CancelOutcome, BackendError> {
        change!(self, self.inner.cancel(ticket, generation, reason, cause))
    }

    async fn reprioritise(
        &self,
        ticket: &Ticket,
        priority: Priority,
    ) -> Result<RequestState, ReprioritiseError> {
        change!(self, self.inner.reprioritise(ticket, priority))
    }

    async fn release(&self, grant: &Grant) -> Result<ReleaseOutcome, ReleaseError> {
        change!(self, self.inner.release(grant))
    }

    async fn renew(&self, renewals: Vec<Renewal>) -> Result<Vec<Result<LockRecord, NotHeld>>, BackendError> {
        change!(self, self.inner.renew(renewals))
    }

    async fn transfer(&self, grant: &Grant, to: Transferee) -> Result<LockRecord, TransferError> {
        change!(self, self.inner.transfer(grant, to))
    }

    async fn force_release(
        &self,
        key: &ResourceKey,
        id: Option<&RequestId>,
        cause: Cause,
    ) -> Result<Vec<LockRecord>, BackendError> {
        change!(self, self.inner.force_release(key, id, cause))
    }

    async fn clear(&self, selector: &Selector, cause: Cause) -> Result<Cleared, BackendError> {
        change!(self, self.inner.clear(selector, cause))
    }

    async fn sweep(&self, budget: usize) -> Result<SweepOutcome, BackendError> {
        change!(self, self.inner.sweep(budget))
    }

    async fn resource(&self, key: &ResourceKey, waiters: usize) -> Result<Option<QueueView>, BackendError> {
        read!(self, self.inner.resource(key, waiters))
    }

    async fn locks(&self, query: &LockQuery) -> Result<Page<LockRecord>, BackendError> {
        read!(self, self.inner.locks(query))
    }

    async fn queues(&self, query: &QueueQuery) -> Result<Page<QueueView>, BackendError> {
        read!(self, self.inner.queues(query))
    }

    async fn wait_edges(&self, query: &EdgeQuery) -> Result<Page<WaitEdge>, BackendError> {
        read!(self, self.inner.wait_edges(query))
    }

    async fn stats(&self) -> Result<Stats, BackendError> {
        read!(self, self.inner.stats())
    }

    async fn events(&self, after: &EventCursor, limit: usize) -> Result<EventPage, BackendError> {
        read!(self, self.inner.events(after, limit))
    }

    async fn events_end(&self) -> Result<EventCursor, BackendError> {
        read!(self, self.inner.events_end())
    }

    async fn await_events(&self, after: &EventCursor, timeout: Duration) -> Result<(), BackendError> {
        read!(self, self.inner.await_events(after, timeout))
    }

    async fn now(&self) -> Result<Timestamp, BackendError> {
        read!(self, self.inner.now())
    }

    async fn ping(&self) -> Result<(), BackendError> {
        read!(self, self.inner.ping())
    }

    /// Closing is not subject to faults: a test must be able to end.
    async fn close(&self) -> Result<(), BackendError> {
        self.inner.close().await
    }
}

#[cfg(test)]
mod tests {
    use enhanced_locking_core::TablePolicy;
    use enhanced_locking_core::memory::MemoryBackend;

    use super::*;
    use crate::clock::TokioClock;
    use crate::conformance::ask;

    fn faulty(plan: FaultPlan) -> Arc<FaultyBackend> {
        let clock = Arc::new(TokioClock::new(Timestamp::from_micros(1_000_000)));
        FaultyBackend::new(MemoryBackend::new(TablePolicy::default(), clock), plan)
    }

    fn request() -> AcquireRequest {
        ask(&ResourceKey::new("k").unwrap(), "a")
    }

    #[tokio::test]
    async fn a_lost_request_changes_nothing() {
        let store = faulty(FaultPlan { lost_requests: 1000, ..FaultPlan::default() });
        let error = store.acquire(request()).await.unwrap_err();
        assert!(!error.is_indeterminate());
        store.heal();
        assert_eq!(store.stats().await.unwrap().held, 0);
        assert_eq!(store.lost(), (1, 0));
    }

    #[tokio::test]
    async fn a_lost_reply_hides_a_change_that_a_retry_finds() {
        let store = faulty(FaultPlan { lost_replies: 1000, ..FaultPlan::default() });
        let request = request();
        let error = store.acquire(request.clone()).await.unwrap_err();
        assert!(error.is_indeterminate());
        assert_eq!(store.stats().await.unwrap().held, 1, "reads do not lose replies");
        store.heal();
        assert!(matches!(store.acquire(request).await, Ok(AcquireOutcome::Held(_))));
        assert_eq!(store.stats().await.unwrap().held, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn delays_stay_below_their_bound() {
        let delay = Duration::from_millis(80);
        let store = faulty(FaultPlan { seed: 3, delays: 1000, delay, ..FaultPlan::default() });
        let mut delayed = 0;
        for _ in 0..50 {
            let began = tokio::time::Instant::now();
            store.ping().await.unwrap();
            assert!(began.elapsed() <= delay + Duration::from_millis(1));
            delayed += usize::from(!began.elapsed().is_zero());
        }
        assert!(delayed > 40, "{delayed} of 50");
    }

    #[tokio::test]
    async fn the_same_seed_gives_the_same_faults() {
        let plan = FaultPlan { seed: 42, lost_requests: 300, lost_replies: 300, ..FaultPlan::default() };
        let mut runs = Vec::new();
        for _ in 0..2 {
            let store = faulty(plan);
            let mut run = Vec::new();
            for _ in 0..100 {
                run.push(store.sweep(1).await.is_ok());
            }
            assert!(store.lost().0 > 0 && store.lost().1 > 0);
            runs.push(run);
        }
        assert_eq!(runs[0], runs[1]);
    }
}

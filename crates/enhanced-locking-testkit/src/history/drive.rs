//! Concurrent clients that work with locks and have every call recorded.
//!
//! Owns what they do: ask, wait, hold, renew, release, and ask again with the same request id as long as an outcome
//! is not known. Faults are the caller's: in the backend, on the way to it, or in its servers. The same seed gives
//! the same wishes; what comes of them is up to the schedule.

use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireError, AcquireOutcome, AcquireRequest, CancelOutcome, Cause, EndReason, Grant, Lease, LockBackend,
    LockMode, LockQuery, LockRecord, OwnerId, ReleaseError, Renewal, RequestId, RequestState, ResourceKey,
    Wait,
};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{Call, Granted, History, Pending, Recorder};
use crate::guard::{GuardedResources, Version};

/// What clients do. Chances are in calls of a thousand.
#[derive(Clone, Debug)]
pub struct Workload {
    /// How often each client asks for a lock.
    pub rounds: u32,
    /// Among how many keys.
    pub keys: u32,
    /// What keys and request ids begin with: letters and digits. Runs on one store must not share it.
    pub prefix: String,
    /// Requests for shared locks.
    pub shared: u16,
    /// Requests with a lease; the others are sticky.
    pub leased: u16,
    /// Requests that stand in line.
    pub waiting: u16,
    /// The lease. It is renewed once, at the end of the hold.
    pub lease: Duration,
    /// The longest hold. Longer than the lease, holders outlive their locks now and then.
    pub hold: Duration,
    /// The longest wait for a turn before the request is cancelled.
    pub turn: Duration,
    /// A call without an answer for so long is given up, its outcome unknown.
    pub answer: Duration,
    /// The pause before a call is tried again whose outcome is not known or that did not get through.
    pub pause: Duration,
    /// How often a call is tried before the client goes on without knowing.
    pub tries: u32,
    /// Resources that exclusive holders read when they are granted and write at the end of their hold.
    pub guarded: Vec<Arc<GuardedResources>>,
}

impl Default for Workload {
    /// A short run on two keys, with holds somewhat longer than leases.
    fn default() -> Self {
        Self {
            rounds: 10,
            keys: 2,
            prefix: "drive".into(),
            shared: 333,
            leased: 500,
            waiting: 500,
            lease: Duration::from_millis(400),
            hold: Duration::from_millis(600),
            turn: Duration::from_millis(1_200),
            answer: Duration::from_secs(5),
            pause: Duration::from_millis(5),
            tries: 100,
            guarded: Vec::new(),
        }
    }
}

/// Lets clients work on one backend until all are done.
///
/// The store must be empty of the workload's keys before. The history knows what was held at the end, unless the
/// backend did not say so within `tries` calls.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?.block_on(async {
/// use std::sync::Arc;
/// use enhanced_locking_core::{TablePolicy, memory::MemoryBackend};
/// use enhanced_locking_foundation::Timestamp;
/// use enhanced_locking_testkit::{clock::TokioClock, history::{Workload, check, drive}};
///
/// let clock = Arc::new(TokioClock::new(Timestamp::from_micros(1_000_000)));
/// let backend = MemoryBackend::new(TablePolicy::default(), clock);
/// let report = check(&drive(backend, &Workload::default(), 4, 42).await);
/// assert!(report.is_correct(), "{report}");
/// # }); Ok::<(), std::io::Error>(())
/// ```
pub async fn drive(backend: Arc<dyn LockBackend>, workload: &Workload, clients: u32, seed: u64) -> History {
    drive_all(&[backend], workload, clients, seed).await
}

/// Like [`drive`], with clients spread over several backends that must be one lock manager: processes on one Redis.
/// Without any backend, an empty history.
pub async fn drive_all(
    backends: &[Arc<dyn LockBackend>],
    workload: &Workload,
    clients: u32,
    seed: u64,
) -> History {
    let Some(first) = backends.first() else { return History::default() };
    let recorder = Recorder::new();
    // Whoever gives this up gives up the clients as well.
    let mut tasks: JoinSet<()> = backends
        .iter()
        .cycle()
        .zip(0..clients)
        .map(|(backend, number)| {
            let client = Client {
                number,
                backend: Arc::clone(backend),
                recorder: recorder.clone(),
                workload: workload.clone(),
                dice: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
                    ^ u64::from(number).wrapping_mul(0xd134_2543_de82_ef95),
                run: seed,
            };
            client.work()
        })
        .collect();
    let mut died = None;
    while let Some(ended) = tasks.join_next().await {
        died = ended.err().or(died);
    }
    if let Some(panic) = died.and_then(|error| error.try_into_panic().ok()) {
        // A client's panic is the backend's: the test must see it.
        std::panic::resume_unwind(panic);
    }
    History { held_at_end: held(first, workload).await, ..recorder.finish() }
}

/// What is held on the workload's keys.
async fn held(backend: &Arc<dyn LockBackend>, workload: &Workload) -> Option<Vec<Grant>> {
    let mut held = Vec::new();
    let mut query = LockQuery { prefix: Some(workload.prefix.clone()), ..LockQuery::default() };
    for _ in 0..workload.tries {
        match timeout(workload.answer, backend.locks(&query)).await {
            Ok(Ok(page)) => {
                held.extend(page.items.iter().map(LockRecord::grant));
                query.cursor = page.next;
                if query.cursor.is_none() {
                    return Some(held);
                }
            }
            _ => sleep(workload.pause).await,
        }
    }
    None
}

/// One client of a run.
struct Client {
    number: u32,
    backend: Arc<dyn LockBackend>,
    recorder: Recorder,
    workload: Workload,
    dice: u64,
    run: u64,
}

impl Client {
    fn roll(&mut self, below: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % below.max(1)
    }

    fn happens(&mut self, per_mille: u16) -> bool {
        self.roll(1000) < u64::from(per_mille)
    }

    async fn work(mut self) {
        for round in 0..self.workload.rounds {
            let Some(request) = self.wish(round) else { return };
            let Some(record) = self.acquire(&request).await else { continue };
            let exclusive = record.request.mode == LockMode::Exclusive;
            let read: Vec<Option<Version>> = if exclusive { self.read(&record) } else { Vec::new() };
            let millis = u64::try_from(self.workload.hold.as_millis()).unwrap_or(u64::MAX);
            let hold = Duration::from_millis(self.roll(millis));
            sleep(hold).await;
            for (rows, version) in self.workload.guarded.iter().zip(read) {
                if let Some(version) = version {
                    // Being refused is what the check is for; the resource counts it.
                    let _ = rows.write(&record.request.key, record.token, version);
                }
            }
            if let Some(lease) = request.lease.duration() {
                self.renew(&record, lease).await;
            }
            self.release(&record).await;
        }
    }

    /// The next request; `None` if the prefix makes no legal key.
    fn wish(&mut self, round: u32) -> Option<AcquireRequest> {
        let number = self.roll(u64::from(self.workload.keys));
        let key = format!("{}{number}", self.workload.prefix);
        let id =
            RequestId::new(format!("{}.{}.{}.{round}", self.workload.prefix, self.run, self.number)).ok()?;
        let owner = OwnerId::new(format!("client-{}", self.number)).ok()?;
        let mut request = AcquireRequest::new(ResourceKey::new(key).ok()?, owner).id(id).sticky();
        if self.happens(self.workload.shared) {
            request = request.shared();
        }
        if self.happens(self.workload.leased) {
            request = request.lease(Lease::For(self.workload.lease));
        }
        let wait = if self.happens(self.workload.waiting) { Wait::Forever } else { Wait::No };
        Some(request.wait(wait))
    }

    fn read(&self, record: &LockRecord) -> Vec<Option<Version>> {
        let read = |rows: &Arc<GuardedResources>| rows.read(&record.request.key, record.token).ok();
        self.workload.guarded.iter().map(read).collect()
    }

    async fn acquire(&self, request: &AcquireRequest) -> Option<LockRecord> {
        let wait = request.wait.may_queue();
        let call = Call::Acquire { mode: request.mode, lease: request.lease.duration(), wait };
        for _ in 0..self.workload.tries {
            let pending = self.recorder.begin(self.number, &request.key, &request.id, call);
            match timeout(self.workload.answer, self.backend.acquire(request.clone())).await {
                Ok(Ok(AcquireOutcome::Held(record))) => {
                    pending.ok(Some(Granted::from(&record)));
                    return Some(record);
                }
                Ok(Ok(AcquireOutcome::Busy(_))) => {
                    pending.failed();
                    return None;
                }
                Ok(Ok(AcquireOutcome::Queued(_))) => return self.wait(request, pending).await,
                Ok(Err(AcquireError::Backend(error))) if !error.is_indeterminate() => pending.never_sent(),
                Ok(Err(AcquireError::Backend(_))) | Err(_) => pending.unknown(),
                // Refused, such as a request that is over by now: this says nothing about who holds the lock.
                Ok(Err(_)) => {
                    pending.never_sent();
                    return None;
                }
            }
            sleep(self.workload.pause).await;
        }
        // Granted or not: left behind so that it can be held against nobody.
        self.leave(request, None).await
    }

    async fn wait(&self, request: &AcquireRequest, pending: Pending) -> Option<LockRecord> {
        let ticket = request.ticket();
        let end = tokio::time::Instant::now() + self.workload.turn;
        while tokio::time::Instant::now() < end {
            let turn = end.saturating_duration_since(tokio::time::Instant::now());
            let limit = turn + self.workload.answer;
            match timeout(limit, self.backend.await_turn(&ticket, turn)).await {
                Ok(Ok(RequestState::Held(record))) => {
                    pending.ok(Some(Granted::from(&record)));
                    return Some(record);
                }
                Ok(Ok(RequestState::Queued(_))) => {}
                Ok(Ok(_)) => {
                    pending.failed();
                    return None;
                }
                Ok(Err(_)) | Err(_) => sleep(self.workload.pause).await,
            }
        }
        self.leave(request, Some(pending)).await
    }

    /// Cancels, until it is known whether the request was granted. A pending acquire ends with what is found out.
    async fn leave(&self, request: &AcquireRequest, pending: Option<Pending>) -> Option<LockRecord> {
        let ticket = request.ticket();
        for _ in 0..self.workload.tries {
            let cancel = self.backend.cancel(&ticket, None, EndReason::Cancelled, Cause::none());
            match timeout(self.workload.answer, cancel).await {
                Ok(Ok(CancelOutcome::Held(record))) => {
                    if let Some(pending) = pending {
                        pending.ok(Some(Granted::from(&record)));
                    }
                    return Some(record);
                }
                Ok(Ok(_)) => {
                    if let Some(pending) = pending {
                        pending.failed();
                    }
                    return None;
                }
                Ok(Err(_)) | Err(_) => sleep(self.workload.pause).await,
            }
        }
        None
    }

    async fn renew(&self, record: &LockRecord, lease: Duration) {
        let call = Call::Renew { token: record.token, lease };
        let pending = self.recorder.begin(self.number, &record.request.key, &record.request.id, call);
        let renewals = vec![Renewal { grant: record.grant(), lease: None }];
        match timeout(self.workload.answer, self.backend.renew(renewals)).await {
            Ok(Ok(answers)) => match answers.into_iter().next() {
                Some(Ok(record)) => pending.ok(Some(Granted::from(&record))),
                _ => pending.failed(),
            },
            Ok(Err(error)) if !error.is_indeterminate() => pending.never_sent(),
            Ok(Err(_)) | Err(_) => pending.unknown(),
        }
    }

    async fn release(&self, record: &LockRecord) {
        for _ in 0..self.workload.tries {
            if self.try_release(record).await {
                return;
            }
            sleep(self.workload.pause).await;
        }
    }

    /// Whether the store has answered.
    async fn try_release(&self, record: &LockRecord) -> bool {
        let call = Call::Release { token: record.token };
        let pending = self.recorder.begin(self.number, &record.request.key, &record.request.id, call);
        match timeout(self.workload.answer, self.backend.release(&record.grant())).await {
            Ok(Ok(_)) => pending.ok(None),
            Ok(Err(ReleaseError::NotHeld(_))) => pending.failed(),
            Ok(Err(ReleaseError::Backend(error))) if !error.is_indeterminate() => {
                pending.never_sent();
                return false;
            }
            Ok(Err(_)) | Err(_) => {
                pending.unknown();
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
#[path = "drive_tests.rs"]
mod tests;

//! One caller: acquires, holds and releases until there is nothing left to do. Owns what it measures, and that it leaves no
//! lock and no place in line behind.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use enhanced_locking_client::RemoteBackend;
use enhanced_locking_foundation::{
    AcquireError, AcquireOutcome, AcquireRequest, BackendError, CancelOutcome, Cause, EndReason, Grant,
    LockBackend, LockRecord, OwnerId, RequestState, Ticket,
};
use hdrhistogram::Histogram;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Ledger, Work};
use crate::failure::{Failure, chain};

/// How long one call waits for its turn; then it asks again.
const POLL: Duration = Duration::from_secs(20);
/// How long a caller rests after a call that failed.
const REST: Duration = Duration::from_millis(50);

/// One caller.
pub(super) struct Caller {
    pub(super) backend: Arc<RemoteBackend>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) work: Arc<Work>,
    pub(super) number: u32,
    pub(super) callers: u32,
    pub(super) hold: Duration,
    pub(super) stopped: watch::Receiver<bool>,
}

/// What callers measured. Times in microseconds.
#[derive(Debug)]
pub(super) struct Seen {
    /// From asking to holding.
    pub(super) acquire: Histogram<u64>,
    /// The call that releases.
    pub(super) release: Histogram<u64>,
    /// From the release being sent to the next one in line knowing that it holds the key.
    pub(super) hand_off: Histogram<u64>,
    /// Calls that failed, and the first failure.
    pub(super) errors: u64,
    pub(super) first_error: Option<String>,
}

impl Seen {
    /// Nothing yet.
    ///
    /// # Errors
    /// Never: the precision is a valid one.
    pub(super) fn new() -> Result<Self, Failure> {
        let empty = || Histogram::new(3).map_err(|error| Failure::new(error.to_string()));
        Ok(Self { acquire: empty()?, release: empty()?, hand_off: empty()?, errors: 0, first_error: None })
    }

    /// Adds what another one measured.
    ///
    /// # Errors
    /// If the histograms do not fit, which they do.
    pub(super) fn add(&mut self, other: &Self) -> Result<(), Failure> {
        let all = [
            (&mut self.acquire, &other.acquire),
            (&mut self.release, &other.release),
            (&mut self.hand_off, &other.hand_off),
        ];
        for (sum, part) in all {
            sum.add(part).map_err(|error| Failure::new(error.to_string()))?;
        }
        self.errors += other.errors;
        if self.first_error.is_none() {
            self.first_error.clone_from(&other.first_error);
        }
        Ok(())
    }

    fn failed(&mut self, error: &dyn std::error::Error) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| chain(error));
    }
}

impl Caller {
    /// Works until everything is done or it is told to stop.
    ///
    /// # Errors
    /// A [`Failure`] if it cannot begin. Calls that fail are counted, and it goes on.
    pub(super) async fn run(mut self) -> Result<Seen, Failure> {
        let owner = OwnerId::new(format!("bench-{}-{}", std::process::id(), self.number))?;
        let mut seen = Seen::new()?;
        let mut turn = 0;
        while !*self.stopped.borrow() && self.work.take() {
            let place = self.ledger.place(self.number, self.callers, turn);
            let wish = AcquireRequest::new(self.ledger.key(place).clone(), owner.clone());
            turn += 1;
            let ticket = wish.ticket();
            match self.pair(place, wish, &mut seen).await {
                Ok(true) => {
                    self.work.done.fetch_add(1, Ordering::Relaxed);
                }
                Ok(false) => self.give_up(&ticket).await,
                Err(error) => {
                    seen.failed(&error);
                    self.give_up(&ticket).await;
                    tokio::time::sleep(REST).await;
                }
            }
        }
        Ok(seen)
    }

    /// One pair; `false` if it was told to stop while it was in line.
    async fn pair(
        &mut self,
        place: usize,
        wish: AcquireRequest,
        seen: &mut Seen,
    ) -> Result<bool, AcquireError> {
        let asked = Instant::now();
        let Some((record, waited)) = self.acquire(wish).await? else { return Ok(false) };
        let left = self.ledger.enter(place, self.number, record.token);
        let held = Instant::now();
        note(&mut seen.acquire, held - asked);
        // Only if it stood in line already when the one before it let go.
        if let Some(left) = left.filter(|left| waited && *left > asked) {
            note(&mut seen.hand_off, held - left);
        }
        if !self.hold.is_zero() {
            tokio::time::sleep(self.hold).await;
        }
        self.ledger.leave(place, self.number);
        let grant: Grant = record.grant();
        let releasing = Instant::now();
        if let Err(error) = self.backend.release(&grant).await {
            // The lease ends it if nothing else does.
            seen.failed(&error);
        } else {
            note(&mut seen.release, releasing.elapsed());
        }
        Ok(true)
    }

    /// The lock, and whether it had to wait; `None` if it was told to stop before.
    async fn acquire(&mut self, wish: AcquireRequest) -> Result<Option<(LockRecord, bool)>, AcquireError> {
        let ticket = wish.ticket();
        if let AcquireOutcome::Held(record) = self.backend.acquire(wish).await? {
            return Ok(Some((record, false)));
        }
        loop {
            let turn = tokio::select! {
                biased;
                turn = self.backend.await_turn(&ticket, POLL) => turn?,
                _ = self.stopped.wait_for(|stopped| *stopped) => return Ok(None),
            };
            match turn {
                RequestState::Held(record) => return Ok(Some((record, true))),
                RequestState::Queued(_) => {}
                over => {
                    let kind = enhanced_locking_foundation::BackendErrorKind::Internal;
                    let what = format!("a request that waited is not in line any more: {over:?}");
                    return Err(BackendError::new(kind, what).into());
                }
            }
        }
    }

    /// Leaves the line, or releases what it was handed meanwhile.
    async fn give_up(&self, ticket: &Ticket) {
        let left = self.backend.cancel(ticket, None, EndReason::Cancelled, Cause::none()).await;
        if let Ok(CancelOutcome::Held(record)) = left {
            let _ = self.backend.release(&record.grant()).await;
        }
    }
}

fn note(times: &mut Histogram<u64>, time: Duration) {
    // Grows as needed; what no histogram can hold no run can last.
    let _ = times.record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
}

//! Calls of the script. Owns gathering: while one call for a bucket is under way, what comes in waits, and goes
//! together in the next one. One caller alone waits for nobody; many share round trips, as commits of a log do. Also
//! owns trying again what certainly did not happen.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use enhanced_locking_foundation::{BackendError, BackendErrorKind, Clock};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::RedisConfig;
use crate::breaker::{Breaker, BreakerState, jitter};
use crate::driver::{Answers, Driver, Failure};
use crate::durability::Copies;
use crate::wire::Operation;

/// Operations of one call at most: a script holds up everybody else on its server.
const MOST: usize = 128;
/// Bytes of one call, there or back, beyond which nothing is added.
const MOST_BYTES: usize = 256 * 1024;
/// Calls for one bucket that may be under way at the same time.
const FLYING: usize = 2;
/// The first pause before trying again; doubled with every further one.
const FIRST_PAUSE: Duration = Duration::from_millis(40);

/// Sends operations to buckets.
#[derive(Clone, Debug)]
pub(crate) struct Dispatch(Arc<Inner>);

struct Inner {
    driver: Box<dyn Driver>,
    lanes: Vec<Mutex<Lane>>,
    clock: Option<Arc<dyn Clock>>,
    /// One for all; in a cluster one for each bucket, because one server may be gone without the others.
    breakers: Vec<Breaker>,
    copies: Option<Copies>,
    retries: u32,
    command_timeout: Duration,
    counts: Counts,
    runtime: Handle,
    closed: std::sync::atomic::AtomicBool,
}

/// What was done so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Calls of the script.
    pub(crate) calls: AtomicU64,
    /// Operations in them.
    pub(crate) operations: AtomicU64,
    /// Operations that were tried again.
    pub(crate) retries: AtomicU64,
    /// Calls that fewer replicas had than were asked for.
    pub(crate) shortfalls: AtomicU64,
}

/// The answer to one operation.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) bytes: Vec<u8>,
    /// The copies that were asked for and are not there; `None` if all is well.
    pub(crate) missing: Option<Copies>,
}

/// What waits for one bucket.
#[derive(Default)]
struct Lane {
    flying: usize,
    waiting: Vec<Waiting>,
}

struct Waiting {
    packed: Vec<u8>,
    lasting: bool,
    answer: oneshot::Sender<Result<Reply, Failure>>,
}

/// A call under way. When it is over, or given up, what has gathered meanwhile goes next.
struct Flight<'a> {
    dispatch: &'a Dispatch,
    bucket: usize,
}

impl Dispatch {
    /// Sends to the buckets of a store through a driver.
    pub(crate) fn new(driver: Box<dyn Driver>, config: &RedisConfig) -> Self {
        let lanes = (0..config.buckets()).map(|_| Mutex::default()).collect();
        let breakers = if config.servers.is_cluster() { config.buckets() } else { 1 };
        Self(Arc::new(Inner {
            driver,
            lanes,
            breakers: (0..breakers).map(|_| Breaker::new()).collect(),
            clock: config.clock.clone(),
            copies: config.durability.copies(),
            retries: config.retries,
            command_timeout: config.command_timeout,
            counts: Counts::default(),
            runtime: Handle::current(),
            closed: false.into(),
        }))
    }

    /// The driver.
    pub(crate) fn driver(&self) -> &dyn Driver {
        &*self.0.driver
    }

    /// How many buckets there are.
    pub(crate) fn buckets(&self) -> usize {
        self.0.lanes.len()
    }

    /// What was done so far.
    pub(crate) fn counts(&self) -> &Counts {
        &self.0.counts
    }

    /// Where the breakers stand: the worst of them.
    pub(crate) fn breaker(&self) -> BreakerState {
        let states = || self.0.breakers.iter().map(Breaker::state);
        let has = |wanted| states().any(|state| state == wanted);
        if has(BreakerState::Open) {
            BreakerState::Open
        } else if has(BreakerState::HalfOpen) {
            BreakerState::HalfOpen
        } else {
            BreakerState::Closed
        }
    }

    /// There is a new connection: refused calls may try.
    pub(crate) fn hurry(&self) {
        self.0.breakers.iter().for_each(Breaker::hurry);
    }

    /// Carries out one operation. A change that too few replicas have is an error whose outcome is unknown.
    pub(crate) async fn call(&self, bucket: usize, operation: Operation) -> Result<Vec<u8>, BackendError> {
        let reply = self.ask(bucket, operation).await?;
        reply.missing.map_or(Ok(reply.bytes), |missing| Err(missing.missing()))
    }

    /// Carries out one operation, and tells whether enough replicas have it.
    pub(crate) async fn ask(&self, bucket: usize, operation: Operation) -> Result<Reply, BackendError> {
        self.check_open()?;
        let (started, mut attempt, mut unknown) = (Instant::now(), 0, None);
        loop {
            let failure = match self.send(bucket, operation.packed.clone(), operation.lasting).await {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            // Only what was lost quickly: with a connection. Who has waited long has waited enough.
            let quick = started.elapsed() < self.0.command_timeout / 2;
            let lost = matches!(failure, Failure::Lost(_)) && operation.repeatable && attempt == 0 && quick;
            if attempt >= self.0.retries || !(lost || failure.is_passing()) {
                // That this attempt did nothing says nothing about an earlier one.
                return Err(unknown.unwrap_or(failure).error(operation.changes));
            }
            if lost {
                unknown = Some(failure);
            }
            tokio::time::sleep(jitter(FIRST_PAUSE * (1 << attempt.min(6)))).await;
            self.0.counts.retries.fetch_add(1, Ordering::Relaxed);
            attempt += 1;
        }
    }

    /// Carries out operations one after the other, in as few calls as they fit in.
    pub(crate) async fn call_in_order(
        &self,
        bucket: usize,
        operations: Vec<Operation>,
    ) -> Result<Vec<Vec<u8>>, BackendError> {
        self.check_open()?;
        let mut replies = Vec::with_capacity(operations.len());
        let lasting = operations.iter().any(|operation| operation.lasting);
        let mut rest = operations.into_iter().map(|operation| operation.packed).peekable();
        while rest.peek().is_some() {
            let part = rest.by_ref().take(MOST).collect();
            let (answers, missing) =
                self.run(bucket, part, lasting).await.map_err(|failure| failure.error(true))?;
            if let Some(missing) = missing {
                return Err(missing.missing());
            }
            replies.extend(answers);
        }
        Ok(replies)
    }

    /// Takes no more operations, and lets go of the connection.
    pub(crate) async fn close(&self) {
        if !self.0.closed.swap(true, Ordering::AcqRel) {
            self.0.driver.close().await;
        }
    }

    /// Refuses if the store was closed.
    pub(crate) fn check_open(&self) -> Result<(), BackendError> {
        if self.0.closed.load(Ordering::Acquire) {
            return Err(BackendError::new(BackendErrorKind::Closed, "the store was closed; open it again"));
        }
        Ok(())
    }

    async fn send(&self, bucket: usize, packed: Vec<u8>, lasting: bool) -> Result<Reply, Failure> {
        let answer = {
            let mut lane = self.0.lanes[bucket].lock();
            if lane.flying < FLYING {
                lane.flying += 1;
                None
            } else {
                let (tell, answer) = oneshot::channel();
                lane.waiting.push(Waiting { packed: packed.clone(), lasting, answer: tell });
                Some(answer)
            }
        };
        match answer {
            Some(answer) => {
                answer.await.unwrap_or_else(|_| Err(Failure::Lost("the call was given up".to_owned())))
            }
            None => {
                // Flies alone in the caller's own task: no switch to another one for the only caller there is.
                let flight = Flight { dispatch: self, bucket };
                let answers = self.run(bucket, vec![packed], lasting).await;
                drop(flight);
                let (mut replies, missing) = answers?;
                let bytes = replies.pop().ok_or(Failure::Nonsense("nothing"))?;
                Ok(Reply { bytes, missing: missing.filter(|_| lasting) })
            }
        }
    }

    /// Sends what has gathered, until nothing has.
    async fn fly(self, bucket: usize) {
        loop {
            let Some(batch) = self.take(bucket) else { return };
            let Err((failure, batch)) = self.carry_out(bucket, batch).await else { continue };
            // Memory is full, and some of it would have been freed: that goes without the rest.
            let mut batch = batch;
            if failure.is_full() {
                let (filling, freeing): (Vec<_>, Vec<_>) =
                    batch.into_iter().partition(|waiting| Operation::may_fill(&waiting.packed));
                batch = filling;
                if !batch.is_empty() && !freeing.is_empty() {
                    if let Err((failure, freeing)) = self.carry_out(bucket, freeing).await {
                        fail(freeing, &failure);
                    }
                } else {
                    batch.extend(freeing);
                }
            }
            fail(batch, &failure);
        }
    }

    /// Sends a batch and answers those who wait for it. Gives it back if nothing came of it.
    async fn carry_out(&self, bucket: usize, batch: Vec<Waiting>) -> Result<(), (Failure, Vec<Waiting>)> {
        let any_lasting = batch.iter().any(|waiting| waiting.lasting);
        let packed = batch.iter().map(|waiting| waiting.packed.clone()).collect();
        match self.run(bucket, packed, any_lasting).await {
            Ok((replies, missing)) => {
                for (waiting, bytes) in batch.into_iter().zip(replies) {
                    let missing = missing.filter(|_| waiting.lasting);
                    // Whoever does not wait any more has given up: the change is as it is.
                    let _ = waiting.answer.send(Ok(Reply { bytes, missing }));
                }
                Ok(())
            }
            Err(failure) => Err((failure, batch)),
        }
    }

    /// One call of the script. Also tells which copies of it are missing.
    async fn run(
        &self,
        bucket: usize,
        mut operations: Vec<Vec<u8>>,
        lasting: bool,
    ) -> Result<(Vec<Vec<u8>>, Option<Copies>), Failure> {
        let Counts { calls, operations: count, shortfalls, .. } = &self.0.counts;
        calls.fetch_add(1, Ordering::Relaxed);
        count.fetch_add(operations.len() as u64, Ordering::Relaxed);
        let copies = self.0.copies.filter(|_| lasting);
        if copies.is_some() {
            // Something is written for sure: replicas are counted by what this connection wrote, and one that wrote
            // nothing yet would count them all.
            operations.push(Operation::ping().packed);
        }
        let breaker = &self.0.breakers[bucket.min(self.0.breakers.len() - 1)];
        let permit = breaker.admit().map_err(Failure::Resting)?;
        let answer = self.0.driver.run(bucket, self.time(), operations, copies).await;
        match &answer {
            Err(Failure::NotSent(_) | Failure::Lost(_)) => permit.failed(),
            _ => permit.succeeded(),
        }
        let Answers { mut replies, copies: had } = answer?;
        if copies.is_some() {
            replies.pop();
        }
        let missing = copies.filter(|copies| had < copies.replicas);
        if missing.is_some() {
            shortfalls.fetch_add(1, Ordering::Relaxed);
        }
        Ok((replies, missing))
    }

    /// The next batch; if there is none, the flight is over.
    fn take(&self, bucket: usize) -> Option<Vec<Waiting>> {
        let mut lane = self.0.lanes[bucket].lock();
        if lane.waiting.is_empty() {
            lane.flying -= 1;
            return None;
        }
        let mut bytes = 0;
        let fit = lane.waiting.iter().take(MOST).take_while(|waiting| {
            bytes += Operation::weight(&waiting.packed, MOST_BYTES);
            bytes <= MOST_BYTES
        });
        let count = fit.count().max(1);
        let rest = lane.waiting.split_off(count);
        Some(std::mem::replace(&mut lane.waiting, rest))
    }

    fn time(&self) -> Option<u64> {
        self.0.clock.as_ref().map(|clock| clock.now().as_micros())
    }
}

fn fail(batch: Vec<Waiting>, failure: &Failure) {
    for waiting in batch {
        let _ = waiting.answer.send(Err(failure.clone()));
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut lane = self.dispatch.0.lanes[self.bucket].lock();
        if lane.waiting.is_empty() {
            lane.flying -= 1;
        } else {
            drop(lane);
            let dispatch = self.dispatch.clone();
            self.dispatch.0.runtime.spawn(dispatch.fly(self.bucket));
        }
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatch").field("driver", &self.driver).finish_non_exhaustive()
    }
}

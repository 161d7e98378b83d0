//! Calls of the script. Owns gathering: while one call for a bucket is under way, what comes in waits, and goes
//! together in the next one. One caller alone waits for nobody; many share round trips, as commits of a log do.

use std::sync::Arc;

use enhanced_locking_foundation::{BackendError, BackendErrorKind, Clock};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::driver::{Driver, Failure};
use crate::wire::Operation;

/// Operations of one call at most: a script holds up everybody else on its server.
const MOST: usize = 128;
/// Bytes of one call, beyond which nothing is added.
const MOST_BYTES: usize = 256 * 1024;
/// Calls for one bucket that may be under way at the same time.
const FLYING: usize = 2;

/// Sends operations to buckets.
#[derive(Clone, Debug)]
pub(crate) struct Dispatch(Arc<Inner>);

struct Inner {
    driver: Box<dyn Driver>,
    lanes: Vec<Mutex<Lane>>,
    clock: Option<Arc<dyn Clock>>,
    runtime: Handle,
    closed: std::sync::atomic::AtomicBool,
}

/// What waits for one bucket.
#[derive(Default)]
struct Lane {
    flying: usize,
    waiting: Vec<Waiting>,
}

struct Waiting {
    packed: Vec<u8>,
    answer: oneshot::Sender<Result<Vec<u8>, Failure>>,
}

/// A call under way. When it is over, or given up, what has gathered meanwhile goes next.
struct Flight<'a> {
    dispatch: &'a Dispatch,
    bucket: usize,
}

impl Dispatch {
    /// Sends to so many buckets through a driver.
    pub(crate) fn new(driver: Box<dyn Driver>, buckets: usize, clock: Option<Arc<dyn Clock>>) -> Self {
        let lanes = (0..buckets).map(|_| Mutex::default()).collect();
        Self(Arc::new(Inner { driver, lanes, clock, runtime: Handle::current(), closed: false.into() }))
    }

    /// The driver.
    pub(crate) fn driver(&self) -> &dyn Driver {
        &*self.0.driver
    }

    /// How many buckets there are.
    pub(crate) fn buckets(&self) -> usize {
        self.0.lanes.len()
    }

    /// Carries out one operation and decodes its answer.
    pub(crate) async fn call(&self, bucket: usize, operation: Operation) -> Result<Vec<u8>, BackendError> {
        self.check_open()?;
        let changes = operation.changes;
        self.send(bucket, operation.packed).await.map_err(|failure| failure.error(changes))
    }

    /// Carries out operations one after the other, in as few calls as they fit in.
    pub(crate) async fn call_in_order(
        &self,
        bucket: usize,
        operations: Vec<Operation>,
    ) -> Result<Vec<Vec<u8>>, BackendError> {
        self.check_open()?;
        let mut replies = Vec::with_capacity(operations.len());
        let mut rest = operations.into_iter().map(|operation| operation.packed).peekable();
        while rest.peek().is_some() {
            let part = rest.by_ref().take(MOST).collect();
            let answers = self.0.driver.run(bucket, self.time(), part).await;
            replies.extend(answers.map_err(|failure| failure.error(true))?);
        }
        Ok(replies)
    }

    /// Takes no more operations, and lets go of the connection.
    pub(crate) async fn close(&self) {
        if !self.0.closed.swap(true, std::sync::atomic::Ordering::AcqRel) {
            self.0.driver.close().await;
        }
    }

    /// Refuses if the store was closed.
    pub(crate) fn check_open(&self) -> Result<(), BackendError> {
        if self.0.closed.load(std::sync::atomic::Ordering::Acquire) {
            return Err(BackendError::new(BackendErrorKind::Closed, "the store was closed; open it again"));
        }
        Ok(())
    }

    async fn send(&self, bucket: usize, packed: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let answer = {
            let mut lane = self.0.lanes[bucket].lock();
            if lane.flying < FLYING {
                lane.flying += 1;
                None
            } else {
                let (tell, answer) = oneshot::channel();
                lane.waiting.push(Waiting { packed: packed.clone(), answer: tell });
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
                let answers = self.0.driver.run(bucket, self.time(), vec![packed]).await;
                drop(flight);
                answers?.pop().ok_or(Failure::Nonsense("nothing"))
            }
        }
    }

    /// Sends what has gathered, until nothing has.
    async fn fly(self, bucket: usize) {
        loop {
            let Some(batch) = self.take(bucket) else { return };
            let (packed, answers): (Vec<_>, Vec<_>) =
                batch.into_iter().map(|waiting| (waiting.packed, waiting.answer)).unzip();
            match self.0.driver.run(bucket, self.time(), packed).await {
                Ok(replies) => {
                    for (answer, reply) in answers.into_iter().zip(replies) {
                        // Whoever does not wait any more has given up: the change is as it is.
                        let _ = answer.send(Ok(reply));
                    }
                }
                Err(failure) => {
                    for answer in answers {
                        let _ = answer.send(Err(failure.clone()));
                    }
                }
            }
        }
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
            bytes += waiting.packed.len();
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

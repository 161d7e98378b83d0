//! Calls to a service that is killed all the time. Owns asking again until the outcome is known; what is asked is the client's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use enhanced_locking_client::{RemoteBackend, RemoteConfig};
use enhanced_locking_foundation::{AcquireError, BackendError, ReleaseError, TransferError};
use tokio::sync::watch;

use crate::ledger::Ledger;

/// How often a call is repeated before it counts as a defect that nobody answers it.
const ATTEMPTS: u32 = 2_000;

/// What was counted over all clients.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Calls that were answered.
    pub(crate) answered: AtomicU64,
    /// Calls that were sent and got no answer: done or not.
    pub(crate) unknown: AtomicU64,
    /// Calls that did not reach the service.
    pub(crate) unreachable: AtomicU64,
}

/// Errors that can be the store's.
pub(crate) trait Trouble: std::fmt::Debug {
    /// The store's error, if that is what it is.
    fn store(&self) -> Option<&BackendError>;
}

impl Trouble for BackendError {
    fn store(&self) -> Option<&BackendError> {
        Some(self)
    }
}

impl Trouble for AcquireError {
    fn store(&self) -> Option<&BackendError> {
        if let Self::Backend(error) = self { Some(error) } else { None }
    }
}

impl Trouble for ReleaseError {
    fn store(&self) -> Option<&BackendError> {
        if let Self::Backend(error) = self { Some(error) } else { None }
    }
}

impl Trouble for TransferError {
    fn store(&self) -> Option<&BackendError> {
        if let Self::Backend(error) = self { Some(error) } else { None }
    }
}

/// A line to the service.
#[derive(Debug)]
pub(crate) struct Calls {
    pub(crate) service: RemoteBackend,
    pub(crate) ledger: Arc<Ledger>,
    up: watch::Receiver<bool>,
    counts: Arc<Counts>,
}

impl Calls {
    pub(crate) fn new(
        url: &str,
        ledger: Arc<Ledger>,
        up: watch::Receiver<bool>,
        counts: Arc<Counts>,
    ) -> Self {
        let service = RemoteBackend::new(&RemoteConfig::new(url)).unwrap();
        Self { service, ledger, up, counts }
    }

    /// Asks once. `None` if the store did not answer; then the service is up again when this returns.
    pub(crate) async fn once<T, E: Trouble>(
        &self,
        call: impl AsyncFn() -> Result<T, E>,
    ) -> Result<Result<T, E>, Silence> {
        let answer = call().await;
        let silence = match answer.as_ref().err().and_then(Trouble::store) {
            Some(error) if error.is_indeterminate() => Silence::Unknown,
            Some(error) if error.is_transient() => Silence::NotSent,
            _ => {
                self.counts.answered.fetch_add(1, Ordering::Relaxed);
                return Ok(answer);
            }
        };
        let count = if silence == Silence::Unknown { &self.counts.unknown } else { &self.counts.unreachable };
        count.fetch_add(1, Ordering::Relaxed);
        // Connections that broke are noticed one by one: not too fast.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut up = self.up.clone();
        // The other end is only gone when the test is.
        let _ = up.wait_for(|up| *up).await;
        Err(silence)
    }

    /// Asks until there is an answer. Also says whether an earlier attempt may have been carried out.
    pub(crate) async fn resolved<T, E: Trouble>(
        &self,
        call: impl AsyncFn() -> Result<T, E>,
    ) -> (Result<T, E>, bool) {
        let mut doubtful = false;
        for _ in 0..ATTEMPTS {
            match self.once(&call).await {
                Ok(answer) => {
                    if let Some(error) = answer.as_ref().err().and_then(Trouble::store) {
                        self.ledger.defect(format!("the store failed: {error:?}"));
                    }
                    return (answer, doubtful);
                }
                Err(silence) => doubtful |= silence == Silence::Unknown,
            }
        }
        let answer = call().await;
        self.ledger.defect(format!("no answer after {ATTEMPTS} attempts: {:?}", answer.as_ref().err()));
        (answer, doubtful)
    }
}

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// The call did not reach the service.
    NotSent,
    /// It did, or may have.
    Unknown,
}

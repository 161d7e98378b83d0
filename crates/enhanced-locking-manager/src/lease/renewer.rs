//! Renewals of many guards in few calls (design §6, "one heartbeat per process"). Owns the gathering; when a guard renews is the keeper's decision.

use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_foundation::{
    BackendError, BackendErrorKind, LockBackend, LockRecord, NotHeld, Renewal,
};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use crate::inner::Fault;
use crate::observe::Recorder;

/// The answer to one renewal, and an instant before it was asked.
type Answer = Result<(Instant, Result<LockRecord, NotHeld>), BackendError>;

#[derive(Debug)]
struct Wish {
    renewal: Renewal,
    tell: oneshot::Sender<Answer>,
}

/// Gathers renewals that come at the same time into one call.
#[derive(Debug)]
pub(crate) struct Renewer {
    wishes: mpsc::Sender<Wish>,
    began: Instant,
}

impl Renewer {
    /// The most renewals of one call.
    const BATCH: usize = 500;
    /// The most calls under way: one that hangs must not hold up the others.
    const CALLS: usize = 16;

    pub(crate) fn start(
        backend: Arc<dyn LockBackend>,
        recorder: Arc<Recorder>,
        call_timeout: Duration,
        handle: &Handle,
    ) -> Self {
        let (wishes, inbox) = mpsc::channel(2 * Self::BATCH);
        // Ends when the manager's shared state is dropped, and with it the sender.
        handle.spawn(gather(inbox, backend, recorder, call_timeout));
        Self { wishes, began: Instant::now() }
    }

    /// Renews one grant. Whatever takes longer than `limit` has an unknown outcome.
    pub(crate) async fn renew(&self, renewal: Renewal, limit: Duration) -> Answer {
        let unknown = || {
            BackendError::new(
                BackendErrorKind::Indeterminate,
                format!("the store did not answer the renewal within {limit:?}; it is asked again"),
            )
        };
        let ask = async {
            let (tell, answer) = oneshot::channel();
            self.wishes.send(Wish { renewal, tell }).await.ok()?;
            answer.await.ok()
        };
        match tokio::time::timeout(limit, ask).await {
            Ok(Some(answer)) => answer,
            Ok(None) | Err(_) => Err(unknown()),
        }
    }

    /// Moves an instant back to a mark that all leases of this length share, at most by a twelfth of the lease.
    ///
    /// So the guards of a process fall into step, and one call renews many.
    pub(crate) fn align(&self, at: Instant, lease: Duration) -> Instant {
        let step = (lease / 12).as_micros().max(1);
        let past = at.saturating_duration_since(self.began).as_micros() % step;
        at.checked_sub(Duration::from_micros(u64::try_from(past).unwrap_or(0))).unwrap_or(at)
    }
}

async fn gather(
    mut inbox: mpsc::Receiver<Wish>,
    backend: Arc<dyn LockBackend>,
    recorder: Arc<Recorder>,
    call_timeout: Duration,
) {
    let calls = Arc::new(Semaphore::new(Renewer::CALLS));
    while let Some(first) = inbox.recv().await {
        let Ok(permit) = calls.clone().acquire_owned().await else { return };
        // Timers that fired together have all been polled after this.
        tokio::task::yield_now().await;
        let mut batch = vec![first];
        while batch.len() < Renewer::BATCH
            && let Ok(wish) = inbox.try_recv()
        {
            batch.push(wish);
        }
        let (backend, recorder) = (backend.clone(), recorder.clone());
        tokio::spawn(async move {
            let (renewals, tells): (Vec<_>, Vec<_>) =
                batch.into_iter().map(|wish| (wish.renewal, wish.tell)).unzip();
            let (sent, count) = (Instant::now(), renewals.len());
            let answer = match tokio::time::timeout(call_timeout, backend.renew(renewals)).await {
                Ok(answer) => answer,
                Err(_) => Err(BackendError::new(
                    BackendErrorKind::Indeterminate,
                    format!(
                        "the store did not answer {count} renewals within {call_timeout:?}; they are asked again"
                    ),
                )),
            };
            recorder.call("renew", sent, answer.as_ref().err().map(Fault::failure));
            tell_all(answer, sent, tells, &recorder);
            drop(permit);
        });
    }
}

fn tell_all(
    answer: Result<Vec<Result<LockRecord, NotHeld>>, BackendError>,
    sent: Instant,
    tells: Vec<oneshot::Sender<Answer>>,
    recorder: &Recorder,
) {
    match answer {
        Ok(answers) if answers.len() == tells.len() => {
            for (answer, tell) in answers.into_iter().zip(tells) {
                if let Err(error) = &answer {
                    recorder.error(error.code());
                }
                // A guard that is gone does not want to know.
                let _ = tell.send(Ok((sent, answer)));
            }
        }
        Ok(answers) => {
            let message = format!("the store answered {} of {} renewals", answers.len(), tells.len());
            for tell in tells {
                let _ = tell.send(Err(BackendError::new(BackendErrorKind::Corrupt, message.clone())));
            }
        }
        Err(error) => {
            for tell in tells {
                let _ = tell.send(Err(BackendError::new(error.kind(), error.message())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn instants_of_equal_leases_fall_into_step_but_never_later() {
        let (wishes, _inbox) = mpsc::channel(1);
        let renewer = Renewer { wishes, began: Instant::now() };
        let lease = Duration::from_secs(12);
        for ms in [0u64, 1, 999, 1_000, 1_001, 123_456] {
            let at = renewer.began + Duration::from_millis(ms);
            let aligned = renewer.align(at, lease);
            assert!(aligned <= at && at - aligned < lease / 12, "{ms}");
            assert_eq!((aligned - renewer.began).as_millis() % 1_000, 0);
        }
    }
}

//! What can be asked of a store, and its answer, as values. Owns their normal form and carrying them out through the port.

use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireError, AcquireOutcome, AcquireRequest, BackendError, BatchOutcome, CancelOutcome, Cause, Cleared,
    EndReason, Grant, LockBackend, LockRecord, NotHeld, Priority, ReleaseError, ReleaseOutcome, Renewal,
    ReprioritiseError, RequestId, RequestState, ResourceKey, Selector, SweepOutcome, Ticket, TransferError,
    Transferee,
};

/// One call of the backend port that may change something, or finds a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Acquire.
    Acquire(AcquireRequest),
    /// Acquire all or none.
    AcquireAll(Vec<AcquireRequest>),
    /// Await the turn without waiting.
    Poll(Ticket),
    /// Find by id.
    Find(RequestId),
    /// Cancel.
    Cancel {
        /// Which request.
        ticket: Ticket,
        /// Only this entry of the line.
        generation: Option<u64>,
        /// What it is ended with.
        reason: EndReason,
        /// Who does it.
        cause: Cause,
    },
    /// Change a priority.
    Reprioritise(Ticket, Priority),
    /// Release.
    Release(Grant),
    /// Renew, in order.
    Renew(Vec<Renewal>),
    /// Transfer.
    Transfer(Grant, Transferee),
    /// Force out one holder or all.
    Force(ResourceKey, Option<RequestId>, Cause),
    /// Clear an owner or a pull request.
    Clear(Selector, Cause),
    /// Sweep with a budget.
    Sweep(usize),
}

/// The answer to a [`Command`].
#[derive(Debug)]
pub enum Answer {
    /// To an acquire.
    Acquire(Result<AcquireOutcome, AcquireError>),
    /// To a batch.
    AcquireAll(Result<BatchOutcome, AcquireError>),
    /// To a poll.
    State(RequestState),
    /// To a find.
    Found(Option<(ResourceKey, RequestState)>),
    /// To a cancel.
    Cancel(CancelOutcome),
    /// To a change of priority.
    Reprioritise(Result<RequestState, ReprioritiseError>),
    /// To a release.
    Release(Result<ReleaseOutcome, NotHeld>),
    /// To a renewal.
    Renew(Vec<Result<LockRecord, NotHeld>>),
    /// To a transfer.
    Transfer(Result<LockRecord, TransferError>),
    /// To a force.
    Force(Vec<LockRecord>),
    /// To a clearing.
    Clear(Cleared),
    /// To a sweep.
    Sweep(SweepOutcome),
    /// The store itself failed: never right here.
    Failed(BackendError),
}

impl Command {
    /// Asks a store through the port.
    pub async fn ask(&self, store: &dyn LockBackend) -> Answer {
        self.try_ask(store).await.unwrap_or_else(Answer::Failed)
    }

    async fn try_ask(&self, store: &dyn LockBackend) -> Result<Answer, BackendError> {
        Ok(match self.clone() {
            Self::Acquire(request) => Answer::Acquire(store.acquire(request).await),
            Self::AcquireAll(requests) => Answer::AcquireAll(store.acquire_all(requests).await),
            Self::Poll(ticket) => Answer::State(store.await_turn(&ticket, Duration::ZERO).await?),
            Self::Find(id) => Answer::Found(store.find(&id).await?),
            Self::Cancel { ticket, generation, reason, cause } => {
                Answer::Cancel(store.cancel(&ticket, generation, reason, cause).await?)
            }
            Self::Reprioritise(ticket, priority) => {
                Answer::Reprioritise(store.reprioritise(&ticket, priority).await)
            }
            Self::Release(grant) => match store.release(&grant).await {
                Ok(outcome) => Answer::Release(Ok(outcome)),
                Err(ReleaseError::NotHeld(error)) => Answer::Release(Err(error)),
                Err(ReleaseError::Backend(error)) => Answer::Failed(error),
                Err(_) => Answer::Release(Err(NotHeld { ended: None, current: None })),
            },
            Self::Renew(renewals) => Answer::Renew(store.renew(renewals).await?),
            Self::Transfer(grant, to) => Answer::Transfer(store.transfer(&grant, to).await),
            Self::Force(key, id, cause) => {
                Answer::Force(store.force_release(&key, id.as_ref(), cause).await?)
            }
            Self::Clear(selector, cause) => Answer::Clear(store.clear(&selector, cause).await?),
            Self::Sweep(budget) => Answer::Sweep(store.sweep(budget).await?),
        })
    }
}

impl Answer {
    /// The answer in words that are equal for equal answers.
    #[must_use]
    pub fn normal(self) -> String {
        format!("{:?}", self.ordered())
    }

    /// The same answer with the holders in the order of their requests: they have no order of their own.
    #[must_use]
    pub fn ordered(mut self) -> Self {
        match &mut self {
            Self::Acquire(Ok(AcquireOutcome::Queued(place)))
            | Self::State(RequestState::Queued(place))
            | Self::Found(Some((_, RequestState::Queued(place))))
            | Self::Reprioritise(Ok(RequestState::Queued(place))) => sort(&mut place.holders),
            Self::Acquire(Ok(AcquireOutcome::Busy(holders))) | Self::Force(holders) => sort(holders),
            Self::AcquireAll(Ok(BatchOutcome::Busy(blocked))) => {
                for (_, holders) in blocked {
                    sort(holders);
                }
            }
            _ => {}
        }
        self
    }

    /// Whether two answers, both [`ordered`](Self::ordered), say the same.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Acquire(Ok(a)), Self::Acquire(Ok(b))) => a == b,
            (Self::AcquireAll(Ok(a)), Self::AcquireAll(Ok(b))) => a == b,
            (Self::State(a), Self::State(b)) | (Self::Reprioritise(Ok(a)), Self::Reprioritise(Ok(b))) => {
                a == b
            }
            (Self::Found(a), Self::Found(b)) => a == b,
            (Self::Cancel(a), Self::Cancel(b)) => a == b,
            (Self::Release(a), Self::Release(b)) => a == b,
            (Self::Renew(a), Self::Renew(b)) => a == b,
            (Self::Transfer(Ok(a)), Self::Transfer(Ok(b))) => a == b,
            (Self::Force(a), Self::Force(b)) => a == b,
            (Self::Clear(a), Self::Clear(b)) => a == b,
            (Self::Sweep(a), Self::Sweep(b)) => a == b,
            // Refusals can carry errors of a store, which do not compare.
            (a, b) => format!("{a:?}") == format!("{b:?}"),
        }
    }

    /// The records it hands out: their grants can be used from now on.
    #[must_use]
    pub fn records(&self) -> Vec<&LockRecord> {
        match self {
            Self::Acquire(Ok(AcquireOutcome::Held(record)))
            | Self::State(RequestState::Held(record))
            | Self::Reprioritise(Ok(RequestState::Held(record)))
            | Self::Found(Some((_, RequestState::Held(record))))
            | Self::Cancel(CancelOutcome::Held(record))
            | Self::Transfer(Ok(record)) => vec![record],
            Self::AcquireAll(Ok(BatchOutcome::Held(records)))
            | Self::Release(Ok(ReleaseOutcome::Released { next: records })) => records.iter().collect(),
            Self::Renew(answers) => answers.iter().flatten().collect(),
            _ => Vec::new(),
        }
    }
}

/// Orders holders by their requests.
pub(super) fn sort(records: &mut [LockRecord]) {
    records.sort_by(|a, b| a.request.id.cmp(&b.request.id));
}

//! The backend port (roadmap PR 1): what every store of locks can do, and promises. Owns the contract; its executable form is the conformance suite of `enhanced-locking-testkit`.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    AcquireError, AcquireOutcome, AcquireRequest, BackendError, BatchOutcome, CancelOutcome, Cause, Cleared,
    EdgeQuery, EndReason, EventCursor, EventPage, Grant, LockQuery, LockRecord, NotHeld, Page, Priority,
    QueueQuery, QueueView, ReleaseError, ReleaseOutcome, Renewal, ReprioritiseError, RequestId, RequestState,
    ResourceKey, Selector, Stats, SweepOutcome, Ticket, Timestamp, TransferError, Transferee, WaitEdge,
};

/// A store of locks: object safe, so that everything above works on any of them.
///
/// # What every backend promises
/// * An answer `Ok` is as durable as [`BackendInfo::durability`] says; nothing else was acknowledged.
/// * A [`BackendError`] says whether the change did not happen or is
///   [unknown](BackendError::is_indeterminate). Every change can be repeated with the same arguments:
///   acquire by its request id, release, renew, cancel, transfer by the grant's token (invariant 5).
/// * A release, expiry, force or abort writes the next holder in the same atomic step (design §4, "hand-off").
/// * Futures may be dropped at any await point. The change then happens or does not; repeat it, or cancel.
/// * Time is the store's own ([`now`](Self::now)); nothing a client says about the time of day is believed.
///
/// # Errors
/// Every method can fail with [`BackendError`]; the other refusals are the variants of the operation's own error.
#[async_trait]
pub trait LockBackend: Send + Sync + std::fmt::Debug + 'static {
    /// What kind of store this is.
    fn info(&self) -> BackendInfo;

    /// Takes the lock, joins the line, or reports who is in the way.
    ///
    /// The same owner asking again gets its own grant or place back; the same request id gets the same answer.
    /// A request that came to its end is refused ([`AcquireError::Finished`]), not granted anew.
    async fn acquire(&self, request: AcquireRequest) -> Result<AcquireOutcome, AcquireError>;

    /// Takes all of the locks or none, without waiting. [`Wait`](crate::Wait) is ignored.
    async fn acquire_all(&self, requests: Vec<AcquireRequest>) -> Result<BatchOutcome, AcquireError>;

    /// Waits until the request no longer stands in line, at most `timeout`; zero only looks.
    ///
    /// Keeps the place of a leased request and claims the lock it was granted: when this answers
    /// [`RequestState::Held`], the full lease has begun. A message that was lost delays the answer, but never
    /// beyond `timeout`, nor longer than the backend's poll period.
    async fn await_turn(&self, ticket: &Ticket, timeout: Duration) -> Result<RequestState, BackendError>;

    /// Finds a request by its id alone, without touching it, and tells its key. May have to ask every part of a store.
    async fn find(&self, id: &RequestId) -> Result<Option<(ResourceKey, RequestState)>, BackendError>;

    /// Leaves the line, or gives back a lock that was granted but not claimed.
    ///
    /// An id that was never seen is noted as cancelled, so that an acquire still under way is refused when it arrives.
    /// `generation` restricts it to one entry of the line: a later one is left alone.
    async fn cancel(
        &self,
        ticket: &Ticket,
        generation: Option<u64>,
        reason: EndReason,
        cause: Cause,
    ) -> Result<CancelOutcome, BackendError>;

    /// Gives a waiting request another priority. Its rank becomes what it would be had it joined with it.
    async fn reprioritise(
        &self,
        ticket: &Ticket,
        priority: Priority,
    ) -> Result<RequestState, ReprioritiseError>;

    /// Releases a lock and hands it to the next in line.
    async fn release(&self, grant: &Grant) -> Result<ReleaseOutcome, ReleaseError>;

    /// Renews many leases, in order. A sticky lock is confirmed. Also claims a grant that was not claimed.
    async fn renew(&self, renewals: Vec<Renewal>) -> Result<Vec<Result<LockRecord, NotHeld>>, BackendError>;

    /// Hands a lock to another owner, with a new token. If that owner waits for it, its waiting request becomes the holder.
    async fn transfer(&self, grant: &Grant, to: Transferee) -> Result<LockRecord, TransferError>;

    /// Takes a lock away from one holder (`id`) or from all, on an operator's word. Empty if nobody held it.
    async fn force_release(
        &self,
        key: &ResourceKey,
        id: Option<&RequestId>,
        cause: Cause,
    ) -> Result<Vec<LockRecord>, BackendError>;

    /// Releases everything of an owner or a pull request and leaves all its lines.
    async fn clear(&self, selector: &Selector, cause: Cause) -> Result<Cleared, BackendError>;

    /// Ends at most `budget` entries whose time has run out, handing their locks on.
    ///
    /// They end in the order of deadline, key and request id, the names compared byte by byte. A hand-off ends nobody:
    /// it stops at a waiter whose own time has run out, and that one's turn in the order hands on.
    async fn sweep(&self, budget: usize) -> Result<SweepOutcome, BackendError>;

    /// One resource: holders and the first `waiters` of its line. `None` if it is free and nobody waits.
    async fn resource(&self, key: &ResourceKey, waiters: usize) -> Result<Option<QueueView>, BackendError>;

    /// Lists locks in the order of keys.
    async fn locks(&self, query: &LockQuery) -> Result<Page<LockRecord>, BackendError>;

    /// Lists the resources somebody waits for.
    async fn queues(&self, query: &QueueQuery) -> Result<Page<QueueView>, BackendError>;

    /// Reads the wait-for graph.
    async fn wait_edges(&self, query: &EdgeQuery) -> Result<Page<WaitEdge>, BackendError>;

    /// Figures for health and metrics.
    async fn stats(&self) -> Result<Stats, BackendError>;

    /// Reads the event feed after a cursor, at most `limit` events.
    async fn events(&self, after: &EventCursor, limit: usize) -> Result<EventPage, BackendError>;

    /// Where the feed ends now: a cursor that sees only what happens from here on.
    async fn events_end(&self) -> Result<EventCursor, BackendError>;

    /// Waits until the feed may have something after the cursor, at most `timeout`.
    async fn await_events(&self, after: &EventCursor, timeout: Duration) -> Result<(), BackendError>;

    /// Server time.
    async fn now(&self) -> Result<Timestamp, BackendError>;

    /// Checks that the store can take a change.
    async fn ping(&self) -> Result<(), BackendError>;

    /// Stops taking changes, finishes those under way and lets go of the store. Waiting requests keep their places in it.
    async fn close(&self) -> Result<(), BackendError>;
}

/// What kind of store a backend is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendInfo {
    /// Its name in configuration and metrics.
    pub name: &'static str,
    /// Where it keeps its locks, without secrets.
    pub location: String,
    /// What an acknowledged change survives.
    pub durability: Durability,
}

/// What an acknowledged change survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// Nothing: it is gone with the process.
    Process,
    /// The failure of processes, but perhaps not of machines.
    Fast,
    /// The failure of the machine: it is on disk, or on the replicas that were asked for.
    Durable,
    /// Also a promotion that lost writes: grants pause until old leases have run out.
    Strict,
}

impl Durability {
    /// The name used in the API and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Fast => "fast",
            Self::Durable => "durable",
            Self::Strict => "strict",
        }
    }
}

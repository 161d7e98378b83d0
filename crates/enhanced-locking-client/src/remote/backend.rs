//! The port over HTTP, call by call. Owns which call of the API answers which method; transport and bodies are beside it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use enhanced_locking_foundation::{
    AcquireError, AcquireOutcome, AcquireRequest, BackendError, BackendErrorKind, BackendInfo, BatchOutcome,
    CancelOutcome, Cause, Cleared, Durability, EdgeQuery, EndReason, EventCursor, EventPage, Grant,
    LockBackend, LockQuery, LockRecord, NotHeld, Page, Priority, QueueQuery, QueueView, ReleaseError,
    ReleaseOutcome, Renewal, ReprioritiseError, RequestId, RequestState, ResourceKey, Selector, Stats,
    SweepOutcome, Ticket, Timestamp, TransferError, Transferee, WaitEdge,
};
use hyper::Method;
use tokio::time::Instant;

use super::transport::{Call, CallError, Transport};
use super::{ConnectError, RemoteConfig};
use crate::api::{
    self, AcquireReply, BackupReply, BatchBody, BatchReply, CancelReply, CleanupBody, CleanupReply,
    ClearedReply, CursorReply, EventPageView, ForceKeyBody, ForceReply, HealthDetailView, HeldReply,
    InfoView, LockBody, LocksPage, PriorityBody, ProblemKind, QueueStatus, ReleaseByOwnerBody,
    ReleaseByPullBody, ReleaseReply, RenewalsBody, RenewalsReply, RequestReply, StatsView, TimeReply,
    TransferBody, ViewError, WaitEdgesPage, millis,
};

/// The longest one call waits; a longer wait is several calls. Proxies cut connections that are silent for a minute.
const LONGEST_CALL: Duration = Duration::from_secs(50);

/// A backend that is a service somewhere else.
///
/// Cheap to make: nothing is sent before the first call. A call that cannot reach the service fails with
/// [`BackendErrorKind::Unavailable`]; one that was sent and not answered with
/// [`BackendErrorKind::Indeterminate`] if it could have changed something. Repeat it then, with the same arguments.
///
/// ```no_run
/// use enhanced_locking_client::{RemoteBackend, RemoteConfig};
/// use enhanced_locking_foundation::{AcquireRequest, LockBackend, OwnerId, ResourceKey};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let service = RemoteBackend::new(&RemoteConfig::new("http://127.0.0.1:4141"))?;
/// let request = AcquireRequest::new(ResourceKey::new("demo")?, OwnerId::new("me")?);
/// println!("{:?}", service.acquire(request).await?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RemoteBackend {
    transport: Transport,
}

impl RemoteBackend {
    /// A client of a service.
    ///
    /// # Errors
    /// [`ConnectError`] if the address or the token cannot be right.
    pub fn new(config: &RemoteConfig) -> Result<Self, ConnectError> {
        Ok(Self { transport: Transport::new(config)? })
    }

    /// The address of the service, as given.
    #[must_use]
    pub fn server(&self) -> &str {
        self.transport.server()
    }

    /// What store the service has.
    ///
    /// # Errors
    /// [`BackendError`] if it does not answer.
    pub async fn describe(&self) -> Result<InfoView, BackendError> {
        self.read(Call::read(&["info"])).await
    }

    /// How the service is. One that is not healthy answers all the same.
    ///
    /// # Errors
    /// [`BackendError`] if it does not answer.
    pub async fn health(&self) -> Result<HealthDetailView, BackendError> {
        self.transport.any_status(Call::read(&["health", "detailed"])).await.map_err(CallError::into_backend)
    }

    /// Lets the service copy its store, on its own machine.
    ///
    /// # Errors
    /// [`BackendError`] if it does not answer, or cannot.
    pub async fn backup(&self) -> Result<BackupReply, BackendError> {
        let call = Call::change(Method::POST, &["backup"]);
        self.transport.send::<(), _>(call, None).await.map_err(CallError::into_backend)
    }

    async fn read<T: serde::de::DeserializeOwned>(&self, call: Call) -> Result<T, BackendError> {
        self.transport.call(call).await.map_err(CallError::into_backend)
    }

    async fn events_page(
        &self,
        after: &EventCursor,
        limit: usize,
        wait: Duration,
    ) -> Result<EventPage, BackendError> {
        let call = Call::read(&["events", "page"]).with("after", after).with("limit", limit);
        let view: EventPageView = self.read(call.with("wait_ms", millis(wait)).waiting(wait)).await?;
        view.try_into().map_err(unreadable)
    }
}

fn unreadable(error: ViewError) -> BackendError {
    BackendError::new(BackendErrorKind::Corrupt, "the service's answer cannot be read").with_source(error)
}

/// `None` for an empty text: the API leaves out what is not given.
fn given(text: &str) -> Option<String> {
    (!text.trim().is_empty()).then(|| text.to_owned())
}

/// Gives the records of a batch the waits that were asked for: they mean nothing to a batch, and the API does not carry them.
fn as_asked(mut records: Vec<LockRecord>, requests: &[AcquireRequest]) -> Vec<LockRecord> {
    for (record, asked) in records.iter_mut().zip(requests) {
        if record.request.id == asked.id && record.request.wait != asked.wait {
            Arc::make_mut(&mut record.request).wait = asked.wait;
        }
    }
    records
}

fn limit(wanted: usize) -> Option<usize> {
    (wanted > 0).then_some(wanted)
}

#[async_trait]
impl LockBackend for RemoteBackend {
    /// The durability is the least there is: what the service really has is only known by [`RemoteBackend::describe`].
    fn info(&self) -> BackendInfo {
        BackendInfo { name: "remote", location: self.server().to_owned(), durability: Durability::Process }
    }

    async fn acquire(&self, request: AcquireRequest) -> Result<AcquireOutcome, AcquireError> {
        let call = Call::change(Method::POST, &["locks"]);
        match self.transport.send::<_, AcquireReply>(call, Some(&LockBody::from(&request))).await {
            Ok(reply) => Ok(reply.into()),
            Err(CallError::Refused(problem)) if problem.kind == Some(ProblemKind::Busy) => {
                Ok(AcquireOutcome::Busy(problem.into_holders()))
            }
            Err(CallError::Refused(problem)) => Err(problem.into_acquire_error()),
            Err(CallError::Failed(error)) => Err(error.into()),
        }
    }

    async fn acquire_all(&self, requests: Vec<AcquireRequest>) -> Result<BatchOutcome, AcquireError> {
        if requests.is_empty() {
            return Ok(BatchOutcome::Held(Vec::new()));
        }
        let call = Call::change(Method::POST, &["locks", "batch"]);
        match self.transport.send::<_, BatchReply>(call, Some(&BatchBody::from(&*requests))).await {
            Ok(reply) => Ok(BatchOutcome::Held(as_asked(reply.into_records(), &requests))),
            Err(CallError::Refused(problem)) if problem.kind == Some(ProblemKind::Busy) => {
                Ok(BatchOutcome::Busy(problem.into_blocked().unwrap_or_default()))
            }
            Err(CallError::Refused(problem)) => Err(problem.into_acquire_error()),
            Err(CallError::Failed(error)) => Err(error.into()),
        }
    }

    async fn await_turn(&self, ticket: &Ticket, timeout: Duration) -> Result<RequestState, BackendError> {
        let begun = Instant::now();
        loop {
            let left = timeout.saturating_sub(begun.elapsed());
            let wait = left.min(LONGEST_CALL);
            let call = Call::read(&["requests", ticket.id.as_str()]).with("key", &ticket.key);
            let call = call.with("wait_ms", millis(wait)).waiting(wait).touching();
            let state = match self.transport.call::<RequestReply>(call).await {
                Ok(reply) => RequestState::from(reply),
                Err(CallError::Refused(problem)) if problem.kind == Some(ProblemKind::Unknown) => {
                    RequestState::Unknown
                }
                Err(error) => return Err(error.into_backend()),
            };
            if wait == left || !matches!(state, RequestState::Queued(_)) {
                return Ok(state);
            }
        }
    }

    async fn find(&self, id: &RequestId) -> Result<Option<(ResourceKey, RequestState)>, BackendError> {
        match self.transport.call::<RequestReply>(Call::read(&["requests", id.as_str()])).await {
            Ok(reply) => Ok(Some((reply.key().clone(), reply.into()))),
            Err(CallError::Refused(problem)) if problem.kind == Some(ProblemKind::Unknown) => Ok(None),
            Err(error) => Err(error.into_backend()),
        }
    }

    async fn cancel(
        &self,
        ticket: &Ticket,
        generation: Option<u64>,
        reason: EndReason,
        cause: Cause,
    ) -> Result<CancelOutcome, BackendError> {
        let call = Call::change(Method::DELETE, &["requests", ticket.id.as_str()])
            .with("key", &ticket.key)
            .with("end_reason", reason.as_str())
            .maybe("generation", generation)
            .maybe("actor", given(&cause.actor))
            .maybe("reason", given(&cause.reason));
        match self.transport.call::<CancelReply>(call).await {
            Ok(reply) => Ok(reply.into()),
            Err(CallError::Refused(problem)) if problem.kind == Some(ProblemKind::Held) => {
                match problem.into_holders().pop() {
                    Some(record) => Ok(CancelOutcome::Held(record)),
                    None => Err(unreadable(ViewError::Missing { what: "holders" })),
                }
            }
            Err(error) => Err(error.into_backend()),
        }
    }

    async fn reprioritise(
        &self,
        ticket: &Ticket,
        priority: Priority,
    ) -> Result<RequestState, ReprioritiseError> {
        let call = Call::change(Method::PATCH, &["requests", ticket.id.as_str()]).with("key", &ticket.key);
        match self.transport.send::<_, RequestReply>(call, Some(&PriorityBody { priority })).await {
            Ok(reply) => Ok(reply.into()),
            Err(CallError::Refused(problem)) => Err(problem.into_reprioritise_error()),
            Err(CallError::Failed(error)) => Err(error.into()),
        }
    }

    async fn release(&self, grant: &Grant) -> Result<ReleaseOutcome, ReleaseError> {
        let call = Call::change(Method::DELETE, &["locks", grant.id.as_str()])
            .with("key", &grant.key)
            .with("token", grant.token);
        match self.transport.call::<ReleaseReply>(call).await {
            Ok(reply) => Ok(reply.into()),
            Err(CallError::Refused(problem)) => Err(problem.into_release_error()),
            Err(CallError::Failed(error)) => Err(error.into()),
        }
    }

    async fn renew(&self, renewals: Vec<Renewal>) -> Result<Vec<Result<LockRecord, NotHeld>>, BackendError> {
        let mut results = Vec::with_capacity(renewals.len());
        for part in renewals.chunks(RenewalsBody::MAX) {
            let call = Call::change(Method::POST, &["locks", "renew"]);
            let reply: RenewalsReply = self
                .transport
                .send(call, Some(&RenewalsBody::from(part)))
                .await
                .map_err(CallError::into_backend)?;
            if reply.results.len() != part.len() {
                let message =
                    format!("{} renewals were answered with {} results", part.len(), reply.results.len());
                return Err(BackendError::new(BackendErrorKind::Corrupt, message));
            }
            results.extend(reply.results.into_iter().map(Into::into));
        }
        Ok(results)
    }

    async fn transfer(&self, grant: &Grant, to: Transferee) -> Result<LockRecord, TransferError> {
        let call =
            Call::change(Method::POST, &["locks", grant.id.as_str(), "transfer"]).with("key", &grant.key);
        let body = TransferBody { token: grant.token, to: (&to).into(), actor: None };
        match self.transport.send::<_, HeldReply>(call, Some(&body)).await {
            Ok(reply) => Ok(reply.into()),
            Err(CallError::Refused(problem)) => Err(problem.into_transfer_error()),
            Err(CallError::Failed(error)) => Err(error.into()),
        }
    }

    async fn force_release(
        &self,
        key: &ResourceKey,
        id: Option<&RequestId>,
        cause: Cause,
    ) -> Result<Vec<LockRecord>, BackendError> {
        let body = ForceKeyBody {
            key: key.as_str().to_owned(),
            id: id.map(|id| id.as_str().to_owned()),
            // The API insists on a reason, the port does not.
            reason: given(&cause.reason).unwrap_or_else(|| "no reason given".to_owned()),
            actor: given(&cause.actor),
        };
        let call = Call::change(Method::POST, &["locks", "force-release"]);
        let reply = self.transport.send::<_, ForceReply>(call, Some(&body)).await;
        reply.map(ForceReply::into_records).map_err(CallError::into_backend)
    }

    async fn clear(&self, selector: &Selector, cause: Cause) -> Result<Cleared, BackendError> {
        let (actor, reason) = (given(&cause.actor), given(&cause.reason));
        let reply = match selector {
            Selector::Owner(owner) => {
                let body = ReleaseByOwnerBody { owner: owner.as_str().to_owned(), actor, reason };
                let call = Call::change(Method::POST, &["locks", "release-by-owner"]);
                self.transport.send::<_, ClearedReply>(call, Some(&body)).await
            }
            Selector::Pull(pull) => {
                let body = ReleaseByPullBody { repo: pull.repo.clone(), pull: pull.number, actor, reason };
                let call = Call::change(Method::POST, &["locks", "release-by-pull"]);
                self.transport.send::<_, ClearedReply>(call, Some(&body)).await
            }
        };
        reply.map(Cleared::from).map_err(CallError::into_backend)
    }

    async fn sweep(&self, budget: usize) -> Result<SweepOutcome, BackendError> {
        let call = Call::change(Method::POST, &["cleanup"]);
        let body = CleanupBody { budget: Some(budget) };
        let reply = self.transport.send::<_, CleanupReply>(call, Some(&body)).await;
        reply.map(SweepOutcome::from).map_err(CallError::into_backend)
    }

    async fn resource(&self, key: &ResourceKey, waiters: usize) -> Result<Option<QueueView>, BackendError> {
        let call = Call::read(&["resources"]).with("key", key).with("waiters", waiters);
        match self.transport.call::<api::QueueView>(call).await {
            Ok(view) => Ok(Some(view.into())),
            Err(CallError::Refused(problem)) if problem.status == 404 => Ok(None),
            Err(error) => Err(error.into_backend()),
        }
    }

    async fn locks(&self, query: &LockQuery) -> Result<Page<LockRecord>, BackendError> {
        let call = Call::read(&["locks"])
            .maybe("prefix", query.prefix.as_ref())
            .maybe("owner", query.owner.as_ref())
            .maybe("repo", query.pull.as_ref().map(|pull| &pull.repo))
            .maybe("pull", query.pull.as_ref().map(|pull| pull.number))
            .maybe("cursor", query.cursor.as_ref())
            .maybe("limit", limit(query.limit));
        self.read::<LocksPage>(call).await.map(Into::into)
    }

    async fn queues(&self, query: &QueueQuery) -> Result<Page<QueueView>, BackendError> {
        let call = Call::read(&["queue", "status"])
            .maybe("prefix", query.prefix.as_ref())
            .maybe("cursor", query.cursor.as_ref())
            .maybe("limit", limit(query.limit))
            .with("waiters", query.waiters);
        self.read::<QueueStatus>(call).await.map(Into::into)
    }

    async fn wait_edges(&self, query: &EdgeQuery) -> Result<Page<WaitEdge>, BackendError> {
        let call = Call::read(&["wait-edges"]);
        let call = match query {
            EdgeQuery::Owner(owner) => call.with("owner", owner),
            EdgeQuery::All { cursor, limit: wanted } => {
                call.maybe("cursor", cursor.as_ref()).maybe("limit", limit(*wanted))
            }
        };
        self.read::<WaitEdgesPage>(call).await.map(Into::into)
    }

    async fn stats(&self) -> Result<Stats, BackendError> {
        self.read::<StatsView>(Call::read(&["stats"])).await.map(Into::into)
    }

    async fn events(&self, after: &EventCursor, limit: usize) -> Result<EventPage, BackendError> {
        self.events_page(after, limit, Duration::ZERO).await
    }

    async fn events_end(&self) -> Result<EventCursor, BackendError> {
        let reply: CursorReply = self.read(Call::read(&["events", "end"])).await?;
        reply
            .cursor
            .parse()
            .map_err(|error: enhanced_locking_foundation::ValueError| unreadable(error.into()))
    }

    async fn await_events(&self, after: &EventCursor, timeout: Duration) -> Result<(), BackendError> {
        let begun = Instant::now();
        loop {
            let left = timeout.saturating_sub(begun.elapsed());
            let wait = left.min(LONGEST_CALL);
            let page = self.events_page(after, 1, wait).await?;
            if wait == left || page.missed || !page.events.is_empty() {
                return Ok(());
            }
        }
    }

    async fn now(&self) -> Result<Timestamp, BackendError> {
        self.read::<TimeReply>(Call::read(&["time"])).await.map(|reply| reply.now)
    }

    async fn ping(&self) -> Result<(), BackendError> {
        self.read(Call::read(&["ping"])).await
    }

    /// Lets go of the service, which goes on without us.
    async fn close(&self) -> Result<(), BackendError> {
        self.transport.close();
        Ok(())
    }
}

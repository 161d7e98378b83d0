//! The workbench of a case: short words for what cases do all the time, with failures that show the state.
//!
//! Owns no expectations about lock rules; those are in the cases.
#![expect(clippy::panic, reason = "a case that does not get what it expects has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireError, AcquireOutcome, AcquireRequest, CancelOutcome, Cause, EndReason, Ended, EventCursor,
    EventKind, FencingToken, Lease, LockBackend, LockEvent, LockRecord, NotHeld, OwnerId, PullRequest,
    QueuePlace, QueueView, ReleaseError, ReleaseOutcome, Renewal, RequestId, RequestState, ResourceKey,
    Ticket, Timestamp,
};

use super::{Fixture, FixturePolicy};

/// A store under test with the words of the suite.
pub struct Bench<'f> {
    /// The store.
    pub store: Arc<dyn LockBackend>,
    fixture: &'f dyn Fixture,
    prefix: String,
}

impl std::fmt::Debug for Bench<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bench").field("store", &self.store).field("prefix", &self.prefix).finish()
    }
}

impl<'f> Bench<'f> {
    /// A fresh store with the default policy.
    pub async fn open(fixture: &'f dyn Fixture) -> Self {
        Self::with(fixture, |_| ()).await
    }

    /// A fresh store with a policy of the case's own.
    pub async fn with(fixture: &'f dyn Fixture, change: impl FnOnce(&mut FixturePolicy)) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut policy = FixturePolicy::default();
        change(&mut policy);
        let prefix = format!("case-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Self { store: fixture.open(policy).await, fixture, prefix }
    }

    /// Closes and opens the store again; false if it is not durable.
    pub async fn reopen(&mut self) -> bool {
        match self.fixture.reopen().await {
            Some(store) => self.store = store,
            None => {
                eprintln!("skipped: the store is not durable");
                return false;
            }
        }
        true
    }

    /// Moves the store's clock.
    pub async fn advance(&self, by: Duration) {
        self.fixture.advance(by).await;
    }

    /// Server time.
    pub async fn now(&self) -> Timestamp {
        self.store.now().await.unwrap_or_else(|error| panic!("now: {error}"))
    }

    /// A key that no other case uses.
    #[must_use]
    pub fn key(&self, name: &str) -> ResourceKey {
        ResourceKey::new(format!("{}/{name}", self.prefix)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// What every key of this case starts with.
    #[must_use]
    pub fn prefix(&self) -> String {
        format!("{}/", self.prefix)
    }

    /// Acquires, and wants an answer.
    pub async fn acquire(&self, request: &AcquireRequest) -> AcquireOutcome {
        match self.store.acquire(request.clone()).await {
            Ok(outcome) => outcome,
            Err(error) => panic!("{} was refused: {error}\n{}", who(request), self.line(&request.key).await),
        }
    }

    /// Acquires, and wants to hold.
    pub async fn held(&self, request: &AcquireRequest) -> LockRecord {
        match self.acquire(request).await {
            AcquireOutcome::Held(record) => record,
            other => {
                panic!("{} should hold, but: {other:?}\n{}", who(request), self.line(&request.key).await)
            }
        }
    }

    /// Acquires, and wants to stand in line.
    pub async fn queued(&self, request: &AcquireRequest) -> QueuePlace {
        match self.acquire(request).await {
            AcquireOutcome::Queued(place) => place,
            other => {
                panic!("{} should wait, but: {other:?}\n{}", who(request), self.line(&request.key).await)
            }
        }
    }

    /// Acquires, and wants to be told who is in the way.
    pub async fn busy(&self, request: &AcquireRequest) -> Vec<LockRecord> {
        match self.acquire(request).await {
            AcquireOutcome::Busy(holders) => holders,
            other => panic!(
                "{} should find it busy, but: {other:?}\n{}",
                who(request),
                self.line(&request.key).await
            ),
        }
    }

    /// Acquires, and wants a refusal.
    pub async fn refused(&self, request: &AcquireRequest) -> AcquireError {
        match self.store.acquire(request.clone()).await {
            Ok(outcome) => panic!(
                "{} should be refused, but: {outcome:?}\n{}",
                who(request),
                self.line(&request.key).await
            ),
            Err(error) => error,
        }
    }

    /// Acquires, and wants to be told that the request is over.
    pub async fn over(&self, request: &AcquireRequest) -> Ended {
        match self.refused(request).await {
            AcquireError::Finished { ended, id } if id == request.id => ended,
            error => panic!("{} should be over, but: {error:?}", who(request)),
        }
    }

    /// Looks at a request without waiting; claims and keeps its place like every look.
    pub async fn look(&self, request: &AcquireRequest) -> RequestState {
        self.turn(&request.ticket(), Duration::ZERO).await
    }

    /// Waits for a request's turn.
    pub async fn turn(&self, ticket: &Ticket, timeout: Duration) -> RequestState {
        match self.store.await_turn(ticket, timeout).await {
            Ok(state) => state,
            Err(error) => panic!("await_turn of {}: {error}\n{}", ticket.id, self.line(&ticket.key).await),
        }
    }

    /// Looks at a request, and wants it to hold.
    pub async fn holds(&self, request: &AcquireRequest) -> LockRecord {
        match self.look(request).await {
            RequestState::Held(record) => record,
            other => {
                panic!("{} should hold, but: {other:?}\n{}", who(request), self.line(&request.key).await)
            }
        }
    }

    /// Looks at a request, and wants it to wait.
    pub async fn waits(&self, request: &AcquireRequest) -> QueuePlace {
        match self.look(request).await {
            RequestState::Queued(place) => place,
            other => {
                panic!("{} should wait, but: {other:?}\n{}", who(request), self.line(&request.key).await)
            }
        }
    }

    /// Looks at a request, and wants it to have ended for a reason.
    pub async fn ended(&self, request: &AcquireRequest, reason: EndReason) -> Ended {
        match self.look(request).await {
            RequestState::Finished(ended) if ended.reason == reason => ended,
            other => panic!(
                "{} should have ended as {reason:?}, but: {other:?}\n{}",
                who(request),
                self.line(&request.key).await
            ),
        }
    }

    /// Releases, and wants it to work; who holds it next.
    pub async fn release(&self, record: &LockRecord) -> Vec<LockRecord> {
        match self.store.release(&record.grant()).await {
            Ok(ReleaseOutcome::Released { next }) => next,
            other => panic!("release: {other:?}\n{}", self.line(&record.request.key).await),
        }
    }

    /// Releases, and wants to be told that it is not held.
    pub async fn not_released(&self, record: &LockRecord) -> NotHeld {
        match self.store.release(&record.grant()).await {
            Err(ReleaseError::NotHeld(error)) => error,
            other => panic!(
                "release should find nothing, but: {other:?}\n{}",
                self.line(&record.request.key).await
            ),
        }
    }

    /// Renews one grant.
    pub async fn renew(&self, record: &LockRecord, lease: Option<Duration>) -> Result<LockRecord, NotHeld> {
        let renewals = vec![Renewal { grant: record.grant(), lease }];
        let mut answers =
            self.store.renew(renewals).await.unwrap_or_else(|error| panic!("renew: {error}")).into_iter();
        match (answers.next(), answers.next()) {
            (Some(answer), None) => answer,
            other => panic!("one renewal has one answer, not {other:?}"),
        }
    }

    /// Renews one grant, and wants it to work.
    pub async fn renewed(&self, record: &LockRecord, lease: Option<Duration>) -> LockRecord {
        match self.renew(record, lease).await {
            Ok(record) => record,
            Err(error) => panic!("renew: {error}\n{}", self.line(&record.request.key).await),
        }
    }

    /// Cancels without a generation, as its owner would.
    pub async fn cancel(&self, request: &AcquireRequest) -> CancelOutcome {
        self.cancel_generation(request, None).await
    }

    /// Cancels as its owner would.
    pub async fn cancel_generation(
        &self,
        request: &AcquireRequest,
        generation: Option<u64>,
    ) -> CancelOutcome {
        self.store
            .cancel(&request.ticket(), generation, EndReason::Cancelled, Cause::none())
            .await
            .unwrap_or_else(|error| panic!("cancel: {error}"))
    }

    /// What is stored of a key.
    pub async fn view(&self, key: &ResourceKey) -> Option<QueueView> {
        self.store.resource(key, 1_000).await.unwrap_or_else(|error| panic!("resource {key}: {error}"))
    }

    /// The owners that hold a key, in no particular order: sorted.
    pub async fn holders(&self, key: &ResourceKey) -> Vec<String> {
        let mut names: Vec<_> = self
            .view(key)
            .await
            .map_or_else(Vec::new, |view| view.holders.iter().map(|r| r.owner().to_string()).collect());
        names.sort();
        names
    }

    /// The owners that wait for a key, in line.
    pub async fn waiting(&self, key: &ResourceKey) -> Vec<String> {
        self.view(key).await.map_or_else(Vec::new, |view| {
            view.waiters.iter().map(|waiter| waiter.request.owner.to_string()).collect()
        })
    }

    /// A key's state for people: who holds it, who waits.
    pub async fn line(&self, key: &ResourceKey) -> String {
        match self.store.resource(key, 1_000).await {
            Ok(None) => format!("{key}: free"),
            Ok(Some(view)) => {
                let holders: Vec<_> = view
                    .holders
                    .iter()
                    .map(|r| {
                        format!("{} {} token {} claim {:?}", r.owner(), r.request.mode, r.token, r.claim_by)
                    })
                    .collect();
                let waiters: Vec<_> = view.waiters.iter().map(|w| who(&w.request)).collect();
                format!("{key}: held by [{}], waiting [{}]", holders.join("; "), waiters.join(", "))
            }
            Err(error) => format!("{key}: {error}"),
        }
    }

    /// The whole feed, read in small pages.
    pub async fn events(&self) -> Vec<LockEvent> {
        self.events_after(EventCursor::start()).await
    }

    /// The feed after a cursor.
    pub async fn events_after(&self, mut cursor: EventCursor) -> Vec<LockEvent> {
        let mut events = Vec::new();
        loop {
            let page = self.store.events(&cursor, 7).await.unwrap_or_else(|e| panic!("events: {e}"));
            assert!(!page.missed, "the feed says that events are missing after {cursor}");
            if page.events.is_empty() {
                return events;
            }
            assert_ne!(page.next, cursor, "a page with events must move the cursor");
            cursor = page.next;
            events.extend(page.events);
        }
    }

    /// Where the feed ends now.
    pub async fn mark(&self) -> EventCursor {
        self.store.events_end().await.unwrap_or_else(|error| panic!("events_end: {error}"))
    }

    /// The feed after a cursor in words: `acquired a`, `granted b`, `expired c`.
    pub async fn story(&self, after: &EventCursor) -> Vec<String> {
        self.events_after(after.clone()).await.iter().map(words).collect()
    }

    /// Tokens granted so far for a key, in the order of the feed.
    pub async fn tokens(&self, key: &ResourceKey) -> Vec<FencingToken> {
        self.events()
            .await
            .into_iter()
            .filter(|event| event.request.as_ref().is_some_and(|request| request.key == *key))
            .filter(|event| {
                matches!(
                    event.kind,
                    EventKind::Acquired | EventKind::Granted { .. } | EventKind::Transferred { .. }
                )
            })
            .filter_map(|event| event.token)
            .collect()
    }
}

/// An owner.
///
/// # Panics
/// If it is not a valid owner.
#[must_use]
pub fn owner(name: &str) -> OwnerId {
    OwnerId::new(name).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A pull request.
///
/// # Panics
/// If the repository is not valid.
#[must_use]
pub fn pull(repo: &str, number: i64) -> PullRequest {
    PullRequest::new(repo, number).unwrap_or_else(|error| panic!("{repo}: {error}"))
}

/// Whole seconds.
#[must_use]
pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A sticky exclusive request that waits as long as it takes, with a fresh id.
#[must_use]
pub fn ask(key: &ResourceKey, name: &str) -> AcquireRequest {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let id = format!("{}-{}", name.replace(['/', '#'], "."), NEXT.fetch_add(1, Ordering::Relaxed));
    let id = RequestId::new(id).unwrap_or_else(|error| panic!("{name}: {error}"));
    AcquireRequest::new(key.clone(), owner(name)).id(id).sticky()
}

/// Like [`ask`], with a lease of 30 seconds.
#[must_use]
pub fn leased(key: &ResourceKey, name: &str) -> AcquireRequest {
    ask(key, name).lease(Lease::For(secs(30)))
}

fn who(request: &AcquireRequest) -> String {
    format!("{} ({}, {})", request.owner, request.mode, request.id)
}

fn words(event: &LockEvent) -> String {
    match &event.request {
        Some(request) => format!("{} {}", event.kind.as_str(), request.owner),
        None => event.kind.as_str().to_owned(),
    }
}

/// Ends a case that cannot go on.
///
/// # Panics
/// Always: that is how a case fails.
pub fn fail(why: std::fmt::Arguments<'_>) -> ! {
    panic!("{why}")
}

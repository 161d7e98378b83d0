//! Carries a script out on a backend and notes what it saw. Owns [`Trace`]; judging it is in `invariants` and `compare`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireOutcome, AcquireRequest, BackendError, BatchOutcome, Cause, EndReason, EventCursor, Grant,
    LockBackend, LockEvent, LockRecord, OwnerId, PullRequest, QueueView, ReleaseOutcome, Renewal, RequestId,
    RequestState, ResourceKey, Selector, Stats, Timestamp, Transferee, ValueError,
};

use super::normal::{Normaliser, backend};
use super::{Generation, Step, Twist};
use crate::conformance::Fixture;

/// What a script did to a store.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// What each step did, in order.
    pub steps: Vec<TraceStep>,
}

/// What one step did, and what the store looked like afterwards.
#[derive(Clone, Debug)]
pub struct TraceStep {
    /// The step.
    pub step: Step,
    /// Server time after the step.
    pub at: Timestamp,
    /// The answer in words that are the same on every store.
    pub outcome: String,
    /// Whether the answer was a refusal or a repetition, which must not change anything by itself.
    pub refused: bool,
    /// The events it made.
    pub events: Vec<LockEvent>,
    /// The events in words, in order for each key.
    pub event_words: Vec<String>,
    /// Whether the feed said that events were missing.
    pub missed: bool,
    /// Every key that is held or waited for.
    pub views: Vec<QueueView>,
    /// The views in words.
    pub view_words: Vec<String>,
    /// The figures.
    pub stats: Stats,
    /// The figures in words.
    pub stats_words: String,
}

/// Replays a script on a fresh store. `fixture` moves its clock and opens it again.
///
/// # Errors
/// [`BackendError`] if the store cannot even be read. What it answers to the steps is in the trace.
pub async fn replay(
    store: Arc<dyn LockBackend>,
    fixture: &dyn Fixture,
    script: &[Step],
) -> Result<Trace, BackendError> {
    let start = store.now().await?;
    let mut player = Player {
        store,
        requests: Vec::new(),
        grants: Vec::new(),
        seen: HashSet::new(),
        made: 0,
        keys: 1,
        cursor: EventCursor::start(),
        words: Normaliser::new(start),
    };
    let mut trace = Trace::default();
    for step in script {
        trace.steps.push(player.play(fixture, step).await?);
    }
    Ok(trace)
}

struct Player {
    store: Arc<dyn LockBackend>,
    requests: Vec<AcquireRequest>,
    grants: Vec<Grant>,
    seen: HashSet<Grant>,
    made: usize,
    keys: u8,
    cursor: EventCursor,
    words: Normaliser,
}

/// Words the answer once the step's events have numbered their tokens.
type Wording = Box<dyn FnOnce(&mut Normaliser) -> String + Send>;

impl Player {
    async fn play(&mut self, fixture: &dyn Fixture, step: &Step) -> Result<TraceStep, BackendError> {
        let wording = match self.carry_out(fixture, step).await {
            Ok(wording) => wording,
            Err(error) => Box::new(move |_: &mut Normaliser| backend(&error)),
        };
        let mut events = Vec::new();
        let mut missed = false;
        loop {
            let page = self.store.events(&self.cursor, 1_000).await?;
            missed |= page.missed;
            if page.events.is_empty() {
                break;
            }
            self.cursor = page.next;
            events.extend(page.events);
        }
        let mut event_words: Vec<_> = events.iter().map(|event| self.words.event(event)).collect();
        // Stores with many streams have an order for each key only; the sort is stable.
        event_words.sort_by(|a, b| a.split(' ').next().cmp(&b.split(' ').next()));
        let outcome = wording(&mut self.words);
        let mut views = Vec::new();
        for key in 0..self.keys {
            views.extend(self.store.resource(&key_of(key), 1_000).await?);
        }
        let view_words = views.iter().map(|view| self.words.view(view)).collect();
        let stats = self.store.stats().await?;
        Ok(TraceStep {
            step: step.clone(),
            at: stats.now,
            refused: ["refused", "busy", "already", "finished", "unknown"]
                .iter()
                .any(|word| outcome.starts_with(word)),
            outcome,
            events,
            event_words,
            missed,
            views,
            view_words,
            stats_words: self.words.stats(&stats),
            stats,
        })
    }

    async fn carry_out(&mut self, fixture: &dyn Fixture, step: &Step) -> Result<Wording, BackendError> {
        match step {
            Step::Acquire { owner, key, mode, priority, lease, wait, max_age } => {
                let mut request = self.make(*owner, *key).mode(*mode).priority(*priority);
                request = request.lease(*lease).wait(*wait);
                request.max_age = *max_age;
                self.requests.push(request.clone());
                Ok(self.acquire(request).await)
            }
            Step::Retry { request, twist } => {
                let Some(mut request) = nth(&self.requests, *request) else { return skipped() };
                match twist {
                    Twist::None => {}
                    Twist::Owner => request.owner = owner_of(u8::MAX),
                    Twist::Mode => {
                        use enhanced_locking_foundation::LockMode::{Exclusive, Shared};
                        let other = if request.mode == Exclusive { Shared } else { Exclusive };
                        request = request.mode(other);
                    }
                }
                Ok(self.acquire(request).await)
            }
            Step::AcquireAll { owner, keys, mode } => {
                let requests: Vec<_> =
                    keys.iter().map(|key| self.make(*owner, *key).mode(*mode).sticky()).collect();
                self.requests.extend(requests.iter().cloned());
                let named: Vec<_> = requests.iter().map(|r| (r.id.clone(), r.key.clone())).collect();
                let answer = self.store.acquire_all(requests).await;
                if let Ok(BatchOutcome::Held(records)) = &answer {
                    self.note(records);
                }
                Ok(Box::new(move |words| words.batch(&answer, &named)))
            }
            Step::CancelUnseen { owner, key } => {
                let request = self.make(*owner, *key).sticky();
                self.requests.push(request.clone());
                let (ticket, cause) = (request.ticket(), Cause::none());
                let answer = self.store.cancel(&ticket, None, EndReason::Cancelled, cause).await;
                Ok(Box::new(move |words| words.cancel(&ticket.key, &answer)))
            }
            Step::Force { key, request } => {
                let key = self.key(*key);
                let id = request.and_then(|nth_request| nth(&self.requests, nth_request)).map(|r| r.id);
                let answer = self.store.force_release(&key, id.as_ref(), by_script()).await;
                Ok(Box::new(move |words| words.forced(&answer)))
            }
            Step::ClearOwner { owner } => Ok(self.clear(Selector::Owner(owner_of(*owner))).await),
            Step::ClearPull { owner } => Ok(self.clear(Selector::Pull(pull_of(*owner))).await),
            Step::Sweep { budget } => {
                let answer = self.store.sweep(*budget).await;
                Ok(Box::new(move |words| words.swept(&answer)))
            }
            Step::Advance { by } => {
                fixture.advance(*by).await;
                Ok(Box::new(|_| "advanced".to_owned()))
            }
            Step::Reopen => match fixture.reopen().await {
                Some(store) => {
                    self.store = store;
                    Ok(Box::new(|_| "reopened".to_owned()))
                }
                None => skipped(),
            },
            Step::Look { request }
            | Step::Find { request }
            | Step::Cancel { request, .. }
            | Step::Reprioritise { request, .. } => {
                let Some(request) = nth(&self.requests, *request) else { return skipped() };
                self.on_request(request, step).await
            }
            Step::Release { grant } | Step::Transfer { grant, .. } => {
                let Some(grant) = nth(&self.grants, *grant) else { return skipped() };
                Ok(self.on_grant(grant, step).await)
            }
            Step::Renew { grants, lease } => self.renew(grants, *lease).await,
        }
    }

    async fn on_request(&mut self, request: AcquireRequest, step: &Step) -> Result<Wording, BackendError> {
        let ticket = request.ticket();
        match step {
            Step::Find { .. } => {
                let found = self.store.find(&ticket.id).await?;
                Ok(Box::new(move |words| match found {
                    Some((key, state)) => format!("found {key}: {}", words.state(&key, &state)),
                    None => "found nothing".to_owned(),
                }))
            }
            Step::Cancel { generation, .. } => {
                let place = match self.store.find(&ticket.id).await? {
                    Some((_, RequestState::Queued(place))) => place.generation,
                    _ => 0,
                };
                let generation = match generation {
                    Generation::Any => None,
                    Generation::Current => Some(place),
                    Generation::Other => Some(place + 1_000_000),
                };
                let answer = self.store.cancel(&ticket, generation, EndReason::Cancelled, by_script()).await;
                Ok(Box::new(move |words| words.cancel(&ticket.key, &answer)))
            }
            Step::Reprioritise { priority, .. } => {
                let answer = self.store.reprioritise(&ticket, *priority).await;
                if let Ok(RequestState::Held(record)) = &answer {
                    self.note(std::slice::from_ref(record));
                }
                Ok(Box::new(move |words| words.reprioritise(&ticket.key, &answer)))
            }
            _ => {
                let state = self.store.await_turn(&ticket, Duration::ZERO).await?;
                if let RequestState::Held(record) = &state {
                    self.note(std::slice::from_ref(record));
                }
                Ok(Box::new(move |words| words.state(&ticket.key, &state)))
            }
        }
    }

    async fn on_grant(&mut self, grant: Grant, step: &Step) -> Wording {
        if let Step::Transfer { to, .. } = step {
            let to = Transferee { owner: owner_of(*to), user: None, pull: Some(pull_of(*to)) };
            let answer = self.store.transfer(&grant, to).await;
            if let Ok(record) = &answer {
                self.note(std::slice::from_ref(record));
            }
            return Box::new(move |words| words.transfer(&grant.key, &answer));
        }
        let answer = self.store.release(&grant).await;
        if let Ok(ReleaseOutcome::Released { next }) = &answer {
            self.note(next);
        }
        Box::new(move |words| words.release(&grant.key, &answer))
    }

    async fn renew(&mut self, grants: &[u16], lease: Option<Duration>) -> Result<Wording, BackendError> {
        let grants: Vec<_> = grants.iter().filter_map(|grant| nth(&self.grants, *grant)).collect();
        if grants.is_empty() {
            return skipped();
        }
        let renewals = grants.iter().map(|grant| Renewal { grant: grant.clone(), lease }).collect();
        let answers = self.store.renew(renewals).await?;
        Ok(Box::new(move |words| {
            let answers: Vec<_> = grants
                .iter()
                .zip(&answers)
                .map(|(grant, answer)| match answer {
                    Ok(record) => words.record(record),
                    Err(error) => words.not_held(&grant.key, error),
                })
                .collect();
            format!("renewed: {}", answers.join(" | "))
        }))
    }

    async fn clear(&mut self, selector: Selector) -> Wording {
        let answer = self.store.clear(&selector, by_script()).await;
        Box::new(move |words| words.cleared(&answer))
    }

    async fn acquire(&mut self, request: AcquireRequest) -> Wording {
        let key = request.key.clone();
        let answer = self.store.acquire(request).await;
        if let Ok(AcquireOutcome::Held(record)) = &answer {
            self.note(std::slice::from_ref(record));
        }
        Box::new(move |words| words.acquire(&key, &answer))
    }

    fn make(&mut self, owner: u8, key: u8) -> AcquireRequest {
        self.made += 1;
        let key = self.key(key);
        AcquireRequest::new(key, owner_of(owner))
            .id(name(RequestId::new, "r", self.made))
            .pull(pull_of(owner))
    }

    fn key(&mut self, key: u8) -> ResourceKey {
        self.keys = self.keys.max(key.saturating_add(1));
        key_of(key)
    }

    fn note(&mut self, records: &[LockRecord]) {
        for record in records {
            if self.seen.insert(record.grant()) {
                self.grants.push(record.grant());
            }
        }
    }
}

fn skipped() -> Result<Wording, BackendError> {
    Ok(Box::new(|_| "skipped".to_owned()))
}

fn nth<T: Clone>(seen: &[T], back: u16) -> Option<T> {
    let back = usize::from(back).checked_rem(seen.len())?;
    seen.get(seen.len() - 1 - back).cloned()
}

fn key_of(key: u8) -> ResourceKey {
    name(ResourceKey::new, "k", usize::from(key))
}

fn owner_of(owner: u8) -> OwnerId {
    name(OwnerId::new, "o", usize::from(owner))
}

/// Two owners share a pull request; two repositories differ in their last letter only.
fn pull_of(owner: u8) -> PullRequest {
    let repo = if owner % 4 < 2 { "acme/infra" } else { "acme/infra2" };
    PullRequest { repo: repo.to_owned(), number: i64::from(owner / 4) }
}

fn by_script() -> Cause {
    Cause { actor: "script".to_owned(), reason: "a step says so".to_owned() }
}

#[expect(clippy::panic, reason = "a letter and a number are a valid name")]
fn name<T>(make: impl FnOnce(String) -> Result<T, ValueError>, letter: &str, number: usize) -> T {
    make(format!("{letter}{number}")).unwrap_or_else(|error| panic!("{letter}{number}: {error}"))
}

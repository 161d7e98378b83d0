//! Words for outcomes that are the same on every store: tokens become ranks, times become offsets.
//!
//! Owns the wording only; what is worded is chosen by `replay`.

use std::collections::BTreeMap;

use enhanced_locking_foundation::{
    AcquireError, AcquireOutcome, BackendError, BatchOutcome, CancelOutcome, Cleared, Ended, EventKind,
    FencingToken, LockEvent, LockRecord, NotHeld, QueuePlace, QueueView, ReleaseError, ReleaseOutcome,
    ReprioritiseError, RequestId, RequestState, ResourceKey, Stats, SweepOutcome, Timestamp, TransferError,
};

/// Numbers tokens per key and generations per request in the order they are first seen.
#[derive(Debug)]
pub(super) struct Normaliser {
    start: Timestamp,
    tokens: BTreeMap<ResourceKey, Vec<FencingToken>>,
    generations: BTreeMap<RequestId, Vec<u64>>,
}

impl Normaliser {
    pub(super) fn new(start: Timestamp) -> Self {
        Self { start, tokens: BTreeMap::new(), generations: BTreeMap::new() }
    }

    fn token(&mut self, key: &ResourceKey, token: FencingToken) -> String {
        format!("#{}", nth(self.tokens.entry(key.clone()).or_default(), token))
    }

    fn generation(&mut self, id: &RequestId, generation: u64) -> String {
        format!("g{}", nth(self.generations.entry(id.clone()).or_default(), generation))
    }

    pub(super) fn time(&self, at: Timestamp) -> String {
        let since = at.as_micros().cast_signed() - self.start.as_micros().cast_signed();
        format!("{:+}us", since)
    }

    fn maybe(&self, at: Option<Timestamp>) -> String {
        at.map_or_else(|| "never".to_owned(), |at| self.time(at))
    }

    pub(super) fn record(&mut self, record: &LockRecord) -> String {
        let r = &record.request;
        format!(
            "{} {} {} {} {} {} lease {:?} pull {} age {:?} since {} until {} claim by {}",
            r.key,
            r.owner,
            r.id,
            r.mode,
            r.priority,
            self.token(&r.key, record.token),
            r.lease.duration(),
            r.pull.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
            r.max_age,
            self.time(record.acquired_at),
            self.maybe(record.expires_at),
            self.maybe(record.claim_by),
        )
    }

    fn records(&mut self, records: &[LockRecord]) -> String {
        let mut words: Vec<_> = records.iter().map(|record| self.record(record)).collect();
        words.sort();
        format!("[{}]", words.join("; "))
    }

    fn place(&mut self, place: &QueuePlace) -> String {
        let generation = self.generation(&place.request.id, place.generation);
        format!(
            "queued {} {} {}/{} since {} until {} {generation} behind {}",
            place.request.id,
            place.request.priority,
            place.position,
            place.depth,
            self.time(place.enqueued_at),
            self.maybe(place.gives_up_at),
            self.records(&place.holders),
        )
    }

    fn ended(&mut self, key: &ResourceKey, ended: &Ended) -> String {
        let token = ended.token.map_or_else(|| "-".to_owned(), |token| self.token(key, token));
        format!("{} at {} {token}", ended.reason.as_str(), self.time(ended.at))
    }

    pub(super) fn state(&mut self, key: &ResourceKey, state: &RequestState) -> String {
        match state {
            RequestState::Held(record) => format!("held {}", self.record(record)),
            RequestState::Queued(place) => self.place(place),
            RequestState::Finished(ended) => format!("finished {}", self.ended(key, ended)),
            RequestState::Unknown => "unknown".to_owned(),
        }
    }

    pub(super) fn acquire(
        &mut self,
        key: &ResourceKey,
        answer: &Result<AcquireOutcome, AcquireError>,
    ) -> String {
        match answer {
            Ok(AcquireOutcome::Held(record)) => format!("held {}", self.record(record)),
            Ok(AcquireOutcome::Queued(place)) => self.place(place),
            Ok(AcquireOutcome::Busy(holders)) => format!("busy {}", self.records(holders)),
            Err(error) => self.acquire_error(key, error),
        }
    }

    fn acquire_error(&mut self, key: &ResourceKey, error: &AcquireError) -> String {
        match error {
            AcquireError::Finished { id, ended } => {
                format!("refused: {id} finished {}", self.ended(key, ended))
            }
            AcquireError::Backend(error) => backend(error),
            other => format!("refused: {} {other}", other.code()),
        }
    }

    pub(super) fn batch(
        &mut self,
        answer: &Result<BatchOutcome, AcquireError>,
        keys: &[(RequestId, ResourceKey)],
    ) -> String {
        match answer {
            Ok(BatchOutcome::Held(records)) => format!("held {}", self.records(records)),
            Ok(BatchOutcome::Busy(blocked)) => {
                let mut words: Vec<_> =
                    blocked.iter().map(|(id, by)| format!("{id} by {}", self.records(by))).collect();
                words.sort();
                format!("busy {}", words.join("; "))
            }
            Err(error) => {
                let key = match error {
                    AcquireError::Finished { id, .. } => keys.iter().find(|(one, _)| one == id),
                    _ => keys.first(),
                };
                match key {
                    Some((_, key)) => self.acquire_error(key, error),
                    None => format!("refused: {error}"),
                }
            }
        }
    }

    pub(super) fn cancel(
        &mut self,
        key: &ResourceKey,
        answer: &Result<CancelOutcome, BackendError>,
    ) -> String {
        match answer {
            Ok(CancelOutcome::Cancelled) => "cancelled".to_owned(),
            Ok(CancelOutcome::Held(record)) => format!("held {}", self.record(record)),
            Ok(CancelOutcome::Finished(ended)) => format!("finished {}", self.ended(key, ended)),
            Err(error) => backend(error),
        }
    }

    pub(super) fn release(
        &mut self,
        key: &ResourceKey,
        answer: &Result<ReleaseOutcome, ReleaseError>,
    ) -> String {
        match answer {
            Ok(ReleaseOutcome::Released { next }) => format!("released, next {}", self.records(next)),
            Ok(ReleaseOutcome::AlreadyReleased) => "already released".to_owned(),
            Err(ReleaseError::NotHeld(error)) => self.not_held(key, error),
            Err(ReleaseError::Backend(error)) => backend(error),
            Err(other) => format!("refused: {other}"),
        }
    }

    pub(super) fn not_held(&mut self, key: &ResourceKey, error: &NotHeld) -> String {
        let ended = error.ended.as_ref().map(|ended| self.ended(key, ended));
        let current = error.current.map(|token| self.token(key, token));
        format!("refused: not held, ended {ended:?}, current {current:?}")
    }

    pub(super) fn transfer(
        &mut self,
        key: &ResourceKey,
        answer: &Result<LockRecord, TransferError>,
    ) -> String {
        match answer {
            Ok(record) => format!("transferred {}", self.record(record)),
            Err(TransferError::NotHeld(error)) => self.not_held(key, error),
            Err(TransferError::Backend(error)) => backend(error),
            Err(other) => format!("refused: {other}"),
        }
    }

    pub(super) fn reprioritise(
        &mut self,
        key: &ResourceKey,
        answer: &Result<RequestState, ReprioritiseError>,
    ) -> String {
        match answer {
            Ok(state) => self.state(key, state),
            Err(ReprioritiseError::Backend(error)) => backend(error),
            Err(other) => format!("refused: {other}"),
        }
    }

    pub(super) fn forced(&mut self, answer: &Result<Vec<LockRecord>, BackendError>) -> String {
        match answer {
            Ok(records) => format!("forced {}", self.records(records)),
            Err(error) => backend(error),
        }
    }

    pub(super) fn cleared(&mut self, answer: &Result<Cleared, BackendError>) -> String {
        match answer {
            Ok(cleared) => {
                let mut left: Vec<_> = cleared.cancelled.iter().map(|request| request.id.as_str()).collect();
                left.sort_unstable();
                format!("cleared {} and left {left:?}", self.records(&cleared.released))
            }
            Err(error) => backend(error),
        }
    }

    pub(super) fn swept(&mut self, answer: &Result<SweepOutcome, BackendError>) -> String {
        match answer {
            Ok(swept) => format!("ended {} next {}", swept.ended, self.maybe(swept.next)),
            Err(error) => backend(error),
        }
    }

    pub(super) fn event(&mut self, event: &LockEvent) -> String {
        let (who, token) = match &event.request {
            Some(request) => (
                format!("{} {} {} {}", request.key, request.owner, request.id, request.priority),
                event.token.map(|token| self.token(&request.key, token)),
            ),
            None => ("-".to_owned(), event.token.map(|token| token.to_string())),
        };
        let what = match &event.kind {
            EventKind::Queued { position } => format!("queued at {position}"),
            EventKind::Granted { waited_us } => format!("granted after {waited_us}us"),
            EventKind::Reprioritised { from } => format!("reprioritised from {from}"),
            EventKind::Transferred { from } => format!("transferred from {from}"),
            EventKind::Ended { cause, .. } => {
                format!("{} by {:?} because {:?}", event.kind.as_str(), cause.actor, cause.reason)
            }
            other => other.as_str().to_owned(),
        };
        format!("{who}: {what} {} {}", token.unwrap_or_default(), self.time(event.at))
    }

    pub(super) fn view(&mut self, view: &QueueView) -> String {
        let waiters: Vec<_> = view
            .waiters
            .iter()
            .map(|w| {
                let generation = self.generation(&w.request.id, w.generation);
                format!(
                    "{} {} {} {} {} since {} until {} {generation}",
                    w.position,
                    w.request.owner,
                    w.request.id,
                    w.request.mode,
                    w.request.priority,
                    self.time(w.enqueued_at),
                    self.maybe(w.gives_up_at)
                )
            })
            .collect();
        format!(
            "{} holders {} line {} [{}]",
            view.key,
            self.records(&view.holders),
            view.depth,
            waiters.join("; ")
        )
    }

    pub(super) fn stats(&self, stats: &Stats) -> String {
        format!(
            "held {} waiting {} {:?} resources {} oldest {:?}",
            stats.held, stats.waiting, stats.waiting_by_priority, stats.resources, stats.oldest_wait
        )
    }
}

/// An error of the store itself: scripts run on stores that work, so it is a finding.
pub(super) fn backend(error: &BackendError) -> String {
    format!("store failed: {:?}", error.kind())
}

fn nth<T: PartialEq>(seen: &mut Vec<T>, value: T) -> usize {
    match seen.iter().position(|one| *one == value) {
        Some(at) => at + 1,
        None => {
            seen.push(value);
            seen.len()
        }
    }
}

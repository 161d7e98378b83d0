//! Acquiring: one lock, or all of a batch. Owns who is granted at once, who waits and who is refused.

use std::collections::BTreeSet;
use std::sync::Arc;

use enhanced_locking_foundation::{
    AcquireError, AcquireOutcome, AcquireRequest, BatchOutcome, EventKind, LockRecord, QueuePlace, Timestamp,
};
use enhanced_locking_queue::Place;

use super::LockTable;
use super::entry::{Handle, ResourceIndex, State, Waiting};
use super::lookup::NameHash;

impl LockTable {
    /// Takes the lock, joins the line, or reports who is in the way.
    ///
    /// # Errors
    /// [`AcquireError`]: see the variants. Nothing was changed, except that what was over has ended.
    pub fn acquire(
        &mut self,
        request: impl Into<Arc<AcquireRequest>>,
        now: Timestamp,
    ) -> Result<AcquireOutcome, AcquireError> {
        let request = request.into();
        request.check()?;
        let hash = self.ids.of(&request.id);
        let known = self.resources.find(&request.key);
        let Some(resource) = known.filter(|resource| !self.resources[*resource].is_free()) else {
            // Nobody holds or waits: the common case has nothing to settle and nobody to ask.
            self.check_id(hash, &request)?;
            self.check_room(1)?;
            let resource = known.unwrap_or_else(|| self.resources.find_or_new(&request.key));
            return Ok(AcquireOutcome::Held(self.grant_now(resource, hash, request, now)));
        };
        self.settle(resource, now);
        let outcome = self.acquire_settled(resource, hash, request, now);
        self.resources.release(resource);
        outcome
    }

    /// Takes all of the locks or none; nobody waits.
    ///
    /// # Errors
    /// [`AcquireError`] if any of the requests would be refused. None is held then.
    pub fn acquire_all(
        &mut self,
        requests: Vec<AcquireRequest>,
        now: Timestamp,
    ) -> Result<BatchOutcome, AcquireError> {
        if requests.len() > self.policy.limits.batch {
            return Err(AcquireError::LimitReached {
                what: "locks in one batch",
                limit: self.policy.limits.batch,
            });
        }
        let (mut keys, mut ids) = (BTreeSet::new(), BTreeSet::new());
        for request in &requests {
            request.check()?;
            if !keys.insert(request.key.clone()) {
                return Err(AcquireError::DuplicateKey { key: request.key.clone() });
            }
            if !ids.insert(&request.id) {
                return Err(AcquireError::IdReused { id: request.id.clone() });
            }
        }
        for key in &keys {
            if let Some(resource) = self.resources.find(key) {
                self.settle(resource, now);
                self.resources.release(resource);
            }
        }
        let mut own: Vec<Option<Handle>> = Vec::with_capacity(requests.len());
        let mut busy = Vec::new();
        for request in &requests {
            let existing = self.existing(self.ids.of(&request.id), request)?;
            // An owner that waits for the key goes on waiting: it must not get a second entry.
            let held = match existing {
                Some(handle) => self.entries[handle].holding().is_some(),
                None => self.could_hold(request, now),
            };
            if !held {
                let holders = self.resources.find(&request.key).map_or_else(Vec::new, |r| self.blockers(r));
                busy.push((request.id.clone(), holders));
            }
            own.push(existing);
        }
        if !busy.is_empty() {
            return Ok(BatchOutcome::Busy(busy));
        }
        let new = own.iter().filter(|own| own.is_none()).count();
        self.check_room(new)?;
        let mut records = Vec::with_capacity(requests.len());
        for (request, own) in requests.into_iter().zip(own) {
            records.push(match own.and_then(|handle| self.claim(handle, now)) {
                Some(record) => record,
                None => {
                    let resource = self.resources.find_or_new(&request.key);
                    let hash = self.ids.of(&request.id);
                    self.grant_now(resource, hash, Arc::new(request), now)
                }
            });
        }
        Ok(BatchOutcome::Held(records))
    }

    fn acquire_settled(
        &mut self,
        resource: ResourceIndex,
        hash: NameHash,
        request: Arc<AcquireRequest>,
        now: Timestamp,
    ) -> Result<AcquireOutcome, AcquireError> {
        if let Some(handle) = self.existing(hash, &request)? {
            self.keep_alive(handle, now);
            return Ok(match self.claim(handle, now) {
                Some(record) => AcquireOutcome::Held(record),
                None => AcquireOutcome::Queued(self.place(handle)),
            });
        }
        if self.could_hold(&request, now) {
            self.check_room(1)?;
            return Ok(AcquireOutcome::Held(self.grant_now(resource, hash, request, now)));
        }
        if !request.wait.may_queue() {
            return Ok(AcquireOutcome::Busy(self.blockers(resource)));
        }
        self.check_line(resource, &request)?;
        let handle = self.enqueue(resource, hash, request, now);
        Ok(AcquireOutcome::Queued(self.place(handle)))
    }

    /// The entry that answers this request already: the request itself sent again, or the owner's.
    fn existing(&self, hash: NameHash, request: &AcquireRequest) -> Result<Option<Handle>, AcquireError> {
        self.check_id(hash, request)?;
        if let Some(handle) = self.request_of(hash, &request.id) {
            return Ok(Some(handle));
        }
        let Some(handle) = self.owned(&request.owner, &request.key) else {
            return Ok(None);
        };
        if self.entries[handle].request.mode.covers(request.mode) {
            Ok(Some(handle))
        } else {
            Err(AcquireError::Upgrade)
        }
    }

    /// Refuses an id that is over, or that names another request.
    fn check_id(&self, hash: NameHash, request: &AcquireRequest) -> Result<(), AcquireError> {
        if let Some(ended) = self.finished.of(hash, &request.id, &request.key) {
            return Err(AcquireError::Finished { id: request.id.clone(), ended: ended.clone() });
        }
        match self.request_of(hash, &request.id) {
            Some(handle) if !request.is_retry_of(&self.entries[handle].request) => {
                Err(AcquireError::IdReused { id: request.id.clone() })
            }
            _ => Ok(()),
        }
    }

    fn check_room(&self, more: usize) -> Result<(), AcquireError> {
        let limit = self.policy.limits.locks_total;
        if self.held + more > limit {
            Err(AcquireError::LimitReached { what: "locks", limit })
        } else {
            Ok(())
        }
    }

    fn check_line(&self, resource: ResourceIndex, request: &AcquireRequest) -> Result<(), AcquireError> {
        let limits = &self.policy.limits;
        let owner = self.waiting_by_owner.get(&request.owner).copied().unwrap_or(0);
        for (scope, waiting, limit) in [
            ("for this key", self.resources[resource].line.len(), limits.waiters_per_key),
            ("for this owner", owner, limits.waiters_per_owner),
            ("in all", self.arrivals.len(), limits.waiters_total),
        ] {
            if waiting >= limit {
                return Err(AcquireError::QueueFull { scope, waiting, limit });
            }
        }
        Ok(())
    }

    /// Whether the request would be granted at once: it fits, and nobody in line ranks before it. Needs a settled resource.
    fn could_hold(&self, request: &AcquireRequest, now: Timestamp) -> bool {
        let Some(resource) = self.resources.find(&request.key) else { return true };
        if !self.fits(resource, request.mode) {
            return false;
        }
        let rank = self.policy.credits.rank(now, request.priority);
        let place = Place { rank, sequence: self.last_sequence + 1 };
        self.resources[resource].line.first().is_none_or(|(first, _)| place < first)
    }

    fn grant_now(
        &mut self,
        resource: ResourceIndex,
        hash: NameHash,
        request: Arc<AcquireRequest>,
        now: Timestamp,
    ) -> LockRecord {
        let holding = self.new_holding(&request, None, now);
        self.insert_holder(resource, hash, Arc::clone(&request), holding);
        let record = holding.record(&request);
        self.emit(EventKind::Acquired, Some((request, Some(holding.token))), now);
        record
    }

    fn enqueue(
        &mut self,
        resource: ResourceIndex,
        hash: NameHash,
        request: Arc<AcquireRequest>,
        now: Timestamp,
    ) -> Handle {
        self.last_sequence += 1;
        let place =
            Place { rank: self.policy.credits.rank(now, request.priority), sequence: self.last_sequence };
        let waiting = Waiting {
            place,
            enqueued_at: now,
            gives_up_at: request.wait.limit().map(|limit| now.plus(limit)),
            keep_alive_by: (!request.lease.is_sticky()).then(|| now.plus(self.policy.timing.keep_alive)),
        };
        let handle = self.insert_waiter(resource, hash, Arc::clone(&request), waiting);
        let position = self.resources[resource].line.position(place).unwrap_or(1);
        self.emit(EventKind::Queued { position }, Some((request, None)), now);
        handle
    }

    /// A sign of life from a waiter: its place is kept for another keep-alive. Not a change of state, so no event.
    pub(super) fn keep_alive(&mut self, handle: Handle, now: Timestamp) {
        let by = now.plus(self.policy.timing.keep_alive);
        self.retime(handle, |state| {
            if let State::Waiting(Waiting { keep_alive_by: Some(keep_alive_by), .. }) = state {
                *keep_alive_by = by;
            }
        });
    }

    /// The first holders of a resource, as reported to those they block.
    pub(super) fn blockers(&self, resource: ResourceIndex) -> Vec<LockRecord> {
        let holders = self.resources[resource].holders.iter().take(QueuePlace::MAX_BLOCKERS);
        holders.filter_map(|handle| self.entries[*handle].record()).collect()
    }
}

//! What the clients were told, all in one place. Owns the comparison of that with what the service shows after a
//! restart: nothing acknowledged is lost, nothing that ended is back, no token has two owners.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use enhanced_locking_foundation::{
    BackendError, EndReason, FencingToken, Grant, LockBackend, LockQuery, LockRecord, OwnerId, QueueQuery,
    QueueView, RequestId, RequestState, ResourceKey, Ticket,
};

/// A lock that was acknowledged and that nothing under way can end.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Settled {
    grant: Grant,
    owner: OwnerId,
}

#[derive(Debug, Default)]
struct Books {
    /// By the id of the request.
    holds: BTreeMap<RequestId, Settled>,
    /// Places in line that only a grant can end.
    waits: BTreeMap<RequestId, Ticket>,
    /// Requests whose end was acknowledged.
    ended: HashMap<RequestId, ()>,
    /// Every token ever told, with what it was granted for.
    tokens: BTreeMap<FencingToken, (ResourceKey, RequestId)>,
    defects: Vec<String>,
}

/// What all clients know.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    books: Mutex<Books>,
}

/// Everything that a service shows.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    pub(crate) locks: Vec<LockRecord>,
    pub(crate) queues: Vec<QueueView>,
}

impl Ledger {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes something that must not be.
    pub(crate) fn defect(&self, what: impl Into<String>) {
        self.books().defects.push(what.into());
    }

    /// What must not be and was.
    pub(crate) fn defects(&self) -> Vec<String> {
        self.books().defects.clone()
    }

    /// The highest token told so far: whatever is asked for from now on gets a higher one.
    pub(crate) fn highest_token(&self) -> FencingToken {
        self.books().tokens.last_key_value().map_or(FencingToken::NONE, |(token, _)| *token)
    }

    /// How many tokens were told.
    pub(crate) fn tokens(&self) -> Vec<FencingToken> {
        self.books().tokens.keys().copied().collect()
    }

    /// A grant was told for the first time. `floor` is the highest token told before it was asked for.
    pub(crate) fn granted(&self, record: &LockRecord, floor: FencingToken) {
        let grant = record.grant();
        let mut books = self.books();
        if grant.token <= floor {
            let what = format!(
                "token {} of {} is not above {floor}, told before it was asked for",
                grant.token, grant.id
            );
            books.defects.push(what);
        }
        let first = books.tokens.insert(grant.token, (grant.key.clone(), grant.id.clone()));
        if let Some((key, id)) = first
            && (&key, &id) != (&grant.key, &grant.id)
        {
            books.defects.push(format!(
                "token {} was given for {id} on {key} and for {} on {}",
                grant.token, grant.id, grant.key
            ));
        }
    }

    /// From now on the lock must be there.
    pub(crate) fn settle_hold(&self, record: &LockRecord) {
        let settled = Settled { grant: record.grant(), owner: record.owner().clone() };
        self.books().holds.insert(record.request.id.clone(), settled);
    }

    /// From now on the request must be in line, or hold the lock.
    pub(crate) fn settle_wait(&self, ticket: &Ticket) {
        self.books().waits.insert(ticket.id.clone(), ticket.clone());
    }

    /// Something is about to be asked that may end it.
    pub(crate) fn unsettle(&self, id: &RequestId) {
        let mut books = self.books();
        books.holds.remove(id);
        books.waits.remove(id);
    }

    /// It was told that the request is over: it must not come back.
    pub(crate) fn ended(&self, id: &RequestId) {
        let mut books = self.books();
        books.holds.remove(id);
        books.waits.remove(id);
        books.ended.insert(id.clone(), ());
    }

    /// The locks that must be there.
    pub(crate) fn held(&self) -> Vec<Grant> {
        self.books().holds.values().map(|settled| settled.grant.clone()).collect()
    }

    /// Compares with what the service shows, while the clients go on: only what did not change meanwhile counts.
    pub(crate) async fn audit(&self, when: &str, service: &dyn LockBackend) -> Result<Shown, BackendError> {
        let (holds, waits, ended) = {
            let books = self.books();
            (books.holds.clone(), books.waits.clone(), books.ended.clone())
        };
        // First the lines, then the locks: who leaves a line in between is seen with the lock.
        let shown = Shown { queues: queues(service).await?, locks: locks(service).await? };
        let mut missing = Vec::new();
        {
            let mut books = self.books();
            let mut defects = Vec::new();
            for (id, settled) in holds {
                let shown = shown.locks.iter().find(|record| record.request.id == id);
                let as_told = shown.is_some_and(|record| {
                    record.grant() == settled.grant && *record.owner() == settled.owner
                });
                if !as_told && books.holds.get(&id) == Some(&settled) {
                    defects.push(format!("{when}: {settled:?} was acknowledged; shown is {shown:?}"));
                }
            }
            for (id, ticket) in waits {
                let in_line = shown
                    .queues
                    .iter()
                    .flat_map(|queue| &queue.waiters)
                    .any(|waiter| waiter.request.id == id);
                let holds = shown.locks.iter().any(|record| record.request.id == id);
                if !in_line && !holds && books.waits.contains_key(&id) {
                    missing.push(ticket);
                }
            }
            let waiters = shown.queues.iter().flat_map(|queue| &queue.waiters).map(|waiter| &waiter.request);
            for request in shown.locks.iter().map(|record| &record.request).chain(waiters) {
                if ended.contains_key(&request.id) {
                    defects.push(format!("{when}: {} on {} was over, and is back", request.id, request.key));
                }
            }
            for record in &shown.locks {
                let grant = record.grant();
                if let Some((key, id)) = books.tokens.get(&grant.token)
                    && (key, id) != (&grant.key, &grant.id)
                {
                    defects.push(format!(
                        "{when}: token {} of {id} on {key} is also held by {grant:?}",
                        grant.token
                    ));
                }
            }
            defects.extend(crowds(when, &shown));
            books.defects.extend(defects);
        }
        for ticket in missing {
            let state = service.find(&ticket.id).await?;
            let excused = matches!(&state, Some((_, RequestState::Finished(ended))) if is_neglect(ended.reason))
                || matches!(&state, Some((_, RequestState::Held(_) | RequestState::Queued(_))));
            // Between the two lists and now the client may have gone on.
            if !excused && self.books().waits.contains_key(&ticket.id) {
                self.defect(format!(
                    "{when}: the place of {ticket:?} was acknowledged and is gone: {state:?}"
                ));
            }
        }
        Ok(shown)
    }
}

/// Whether a waiter ended because its client was too slow: possible on a busy machine, and no loss.
pub(crate) fn is_neglect(reason: EndReason) -> bool {
    matches!(reason, EndReason::Unclaimed | EndReason::Abandoned)
}

/// Holders that exclude each other. The list is read in pages, but all of one key at once.
fn crowds(when: &str, shown: &Shown) -> Vec<String> {
    let mut by_key: BTreeMap<&ResourceKey, Vec<&LockRecord>> = BTreeMap::new();
    for record in &shown.locks {
        by_key.entry(&record.request.key).or_default().push(record);
    }
    let crowded = by_key.into_iter().filter(|(_, holders)| {
        let modes: Vec<_> = holders.iter().map(|record| record.request.mode).collect();
        modes
            .iter()
            .enumerate()
            .any(|(at, mode)| modes.iter().skip(at + 1).any(|other| !mode.is_compatible_with(*other)))
    });
    crowded.map(|(key, holders)| format!("{when}: {key} is held by several: {holders:?}")).collect()
}

/// All locks that are held.
pub(crate) async fn locks(service: &dyn LockBackend) -> Result<Vec<LockRecord>, BackendError> {
    let (mut all, mut query) = (Vec::new(), LockQuery { limit: 100, ..LockQuery::default() });
    loop {
        let page = service.locks(&query).await?;
        all.extend(page.items);
        if page.next.is_none() {
            return Ok(all);
        }
        query.cursor = page.next;
    }
}

async fn queues(service: &dyn LockBackend) -> Result<Vec<QueueView>, BackendError> {
    let (mut all, mut query) =
        (Vec::new(), QueueQuery { limit: 100, waiters: 1_000, ..QueueQuery::default() });
    loop {
        let page = service.queues(&query).await?;
        all.extend(page.items);
        if page.next.is_none() {
            return Ok(all);
        }
        query.cursor = page.next;
    }
}

//! What scripts are asked. Owns the numbers of operations and the order of their arguments.

use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireRequest, Cause, DocumentName, DocumentUpdate, EndReason, Expected, Grant, OwnerId, Priority,
    PullRequest, Renewal, RequestId, ResourceKey, Selector, Ticket, Transferee,
};

use super::pack::Packer;
use super::stored::{micros, said};
use crate::layout::pack_id;
use crate::script::reason_code;

/// The numbers of operations on one document, whose answers may be long.
const DOCUMENT: u8 = 26;
const PUT_DOCUMENT: u8 = 27;
const DELETE_DOCUMENT: u8 = 28;
/// Documents that go in one call at most: a server keeps all answers of a call until it is over.
const DOCUMENTS_OF_A_CALL: usize = 8;

/// One operation, packed.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) packed: Vec<u8>,
    /// Whether it may change anything: only then can a lost answer leave the outcome unknown.
    pub(crate) changes: bool,
    /// Whether replicas must have the change before it counts, where any must.
    pub(crate) lasting: bool,
    /// Whether a lost answer may be asked for again at once: it is the same then.
    pub(crate) repeatable: bool,
}

impl Operation {
    /// Whether a packed operation may add to what is stored. The others must work when memory is full.
    pub(crate) fn may_fill(packed: &[u8]) -> bool {
        matches!(packed, [1 | 7 | 10 | PUT_DOCUMENT, ..])
    }

    /// How much of what a call may have, `most`, a packed operation takes up: itself, and an answer that may be long.
    pub(crate) fn weight(packed: &[u8], most: usize) -> usize {
        let long = matches!(packed, [DOCUMENT | PUT_DOCUMENT | DELETE_DOCUMENT, ..]);
        packed.len() + if long { most / DOCUMENTS_OF_A_CALL } else { 0 }
    }

    /// Acquire.
    pub(crate) fn acquire(request: &AcquireRequest) -> Self {
        Self { repeatable: true, ..change(code(1).text(pack_id(&request.id)).text(said(request))) }
    }

    /// Acquire all of one bucket, or only ask whether that could be done.
    pub(crate) fn acquire_all(requests: &[&AcquireRequest], dry: bool) -> Self {
        let mut order: Vec<usize> = (0..requests.len()).collect();
        order.sort_by_key(|at| &requests[*at].key);
        let packer = code(10).list(requests.len());
        let packer = requests.iter().fold(packer, |to, request| to.text(pack_id(&request.id)));
        let packer = requests.iter().fold(packer.list(requests.len()), |to, request| to.text(said(request)));
        let packer = order.iter().fold(packer.list(order.len()), |to, at| to.number(*at as u64 + 1));
        Self { lasting: !dry, ..change(packer.maybe(dry.then_some("dry"))) }
    }

    /// Release.
    pub(crate) fn release(grant: &Grant) -> Self {
        change(pack_grant(code(2), grant))
    }

    /// Renew one lease.
    pub(crate) fn renew(renewal: &Renewal) -> Self {
        change(pack_grant(code(3), &renewal.grant).number(renewal.lease.map_or(0, micros)))
    }

    /// Look at a request, keeping its place and claiming its grant.
    pub(crate) fn poll(ticket: &Ticket) -> Self {
        change(pack_ticket(code(4), ticket))
    }

    /// Cancel.
    pub(crate) fn cancel(ticket: &Ticket, generation: Option<u64>, reason: EndReason, cause: &Cause) -> Self {
        let generation = generation.map_or(-1, |generation| i64::try_from(generation).unwrap_or(i64::MAX));
        let packer = pack_ticket(code(5), ticket).signed(generation).number(reason_code(reason));
        change(packer.text(&cause.actor).text(&cause.reason))
    }

    /// Change a priority.
    pub(crate) fn reprioritise(ticket: &Ticket, priority: Priority) -> Self {
        change(pack_ticket(code(6), ticket).number(priority.index() as u64))
    }

    /// Transfer.
    pub(crate) fn transfer(grant: &Grant, to: &Transferee) -> Self {
        let pull = to.pull.as_ref();
        let packer = pack_grant(code(7), grant).text(to.owner.as_str()).maybe(to.user.as_deref());
        change(packer.maybe(pull.map(name_of_pull)))
    }

    /// Take back a grant of a batch that came to nothing.
    pub(crate) fn withdraw(grant: &Grant) -> Self {
        // A grant that comes back with a promotion runs out like any other.
        Self { lasting: false, ..change(pack_grant(code(8), grant)) }
    }

    /// Find by id.
    pub(crate) fn find(id: &RequestId) -> Self {
        question(code(9).text(pack_id(id)))
    }

    /// Force out one holder or all.
    pub(crate) fn force(key: &ResourceKey, id: Option<&RequestId>, cause: &Cause) -> Self {
        let packer = code(11).text(id.map(pack_id).unwrap_or_default()).text(key.as_str());
        change(packer.text(&cause.actor).text(&cause.reason))
    }

    /// Clear some keys of a selector.
    pub(crate) fn clear(selector: &Selector, most: usize, cause: &Cause) -> Self {
        let packer = code(12).text(prefix_of(selector)).number(most as u64);
        change(packer.text(&cause.actor).text(&cause.reason))
    }

    /// Sweep.
    pub(crate) fn sweep(budget: usize) -> Self {
        // What is over is over on every copy; nobody is told that it is gone.
        Self { lasting: false, ..change(code(13).number(budget as u64)) }
    }

    /// One resource.
    pub(crate) fn resource(key: &ResourceKey, waiters: usize) -> Self {
        question(code(14).text(key.as_str()).number(waiters as u64))
    }

    /// Holders in the order of keys.
    pub(crate) fn locks(
        prefix: &str,
        after: Option<&(ResourceKey, Option<RequestId>)>,
        limit: usize,
    ) -> Self {
        let low = low(b"h", prefix, after);
        // No text in UTF-8 has this byte: the end of everything with the prefix.
        let high = [b"(h", prefix.as_bytes(), &[0xff]].concat();
        question(code(15).text(low).text(high).number(limit as u64))
    }

    /// Holders of a selector in the order of keys, if they have a pull request as well.
    pub(crate) fn selected(
        selector: &Selector,
        prefix: &str,
        after: Option<&(ResourceKey, Option<RequestId>)>,
        limit: usize,
        pull: Option<&PullRequest>,
    ) -> Self {
        let own = prefix_of(selector);
        let high = [b"(", own.as_slice(), prefix.as_bytes(), &[0xff]].concat();
        let packer = code(16).text(&own).text(low(&own, prefix, after)).text(high).number(limit as u64);
        question(packer.maybe(pull.map(name_of_pull)))
    }

    /// Resources with a line.
    pub(crate) fn queues(prefix: &str, after: Option<&ResourceKey>, limit: usize, waiters: usize) -> Self {
        let behind = after.map(|key| [b"[", key.as_str().as_bytes(), &[1]].concat());
        let from = [b"[", prefix.as_bytes()].concat();
        let low = behind.map_or_else(|| from.clone(), |behind| behind.max(from.clone()));
        question(code(17).text(low).text(prefix).number(limit as u64).number(waiters as u64))
    }

    /// What an owner waits for.
    pub(crate) fn owner_edges(owner: &OwnerId, limit: usize) -> Self {
        question(code(18).text(prefix_of(&Selector::Owner(owner.clone()))).number(limit as u64))
    }

    /// The whole graph.
    pub(crate) fn edges(after: Option<&(ResourceKey, Option<RequestId>)>, limit: usize) -> Self {
        let (key, id) = match after {
            Some((key, id)) => (key.as_str(), id.as_ref().map(pack_id).unwrap_or_default()),
            None => ("", Vec::new()),
        };
        question(code(19).text(key).text(id).number(limit as u64))
    }

    /// The value of a document.
    pub(crate) fn document(name: &DocumentName) -> Self {
        question(code(DOCUMENT.into()).text(name.as_str()))
    }

    /// Write or delete a document.
    pub(crate) fn put_document(name: &DocumentName, update: &DocumentUpdate) -> Self {
        let number = if update.value.is_some() { PUT_DOCUMENT } else { DELETE_DOCUMENT };
        let packer = code(number.into()).text(name.as_str());
        let packer = match &update.expected {
            Expected::Anything => packer.number(0).text(""),
            Expected::Absent => packer.number(1).text(""),
            Expected::Value(value) => packer.number(2).text(value),
        };
        // Not repeatable: somebody else may have written in between.
        change(match &update.value {
            Some(value) => packer.text(value),
            None => packer,
        })
    }

    /// Names of documents.
    pub(crate) fn documents(prefix: &str, after: Option<&DocumentName>, limit: usize) -> Self {
        let low = match after {
            Some(after) if after.as_str() >= prefix => format!("(d{after}"),
            _ => format!("[d{prefix}"),
        };
        let high = [b"(d", prefix.as_bytes(), &[0xff]].concat();
        question(code(29).text(low).text(high).number(limit as u64))
    }

    /// Figures.
    pub(crate) fn stats() -> Self {
        question(code(20))
    }

    /// Events after a number.
    pub(crate) fn events(after: u64, limit: usize) -> Self {
        question(code(21).number(after.min(1 << 53)).number(limit.min(1_000) as u64))
    }

    /// Have events told for a while; answers with the number of the newest.
    pub(crate) fn listen(lasting: Duration) -> Self {
        question(code(22).number(micros(lasting)))
    }

    /// Server time.
    pub(crate) fn now() -> Self {
        question(code(23))
    }

    /// Until when grants pause after a promotion. Whoever opens the store marks its buckets.
    pub(crate) fn replication(mark: bool) -> Self {
        Self { lasting: mark, ..question(code(25).number(u64::from(mark))) }
    }

    /// A change that changes nothing.
    pub(crate) fn ping() -> Self {
        question(code(24))
    }
}

fn code(number: u64) -> Packer {
    Packer::default().number(number)
}

fn change(packer: Packer) -> Operation {
    Operation { packed: packer.done(), changes: true, lasting: true, repeatable: false }
}

fn question(packer: Packer) -> Operation {
    Operation { packed: packer.done(), changes: false, lasting: false, repeatable: true }
}

fn pack_ticket(to: Packer, ticket: &Ticket) -> Packer {
    to.text(pack_id(&ticket.id)).text(ticket.key.as_str())
}

fn pack_grant(to: Packer, grant: &Grant) -> Packer {
    to.text(pack_id(&grant.id)).text(grant.key.as_str()).number(grant.token.as_u64())
}

/// What names have in front of keys.
fn prefix_of(selector: &Selector) -> Vec<u8> {
    match selector {
        Selector::Owner(owner) => [b"o", owner.as_str().as_bytes(), &[0]].concat(),
        Selector::Pull(pull) => [b"p".as_slice(), &name_of_pull(pull)].concat(),
    }
}

/// A pull request as names have it.
pub(super) fn name_of_pull(pull: &PullRequest) -> Vec<u8> {
    [pull.repo.as_bytes(), &[0], pull.number.to_string().as_bytes(), &[0]].concat()
}

/// The bound from which on members are wanted: after an entry, or with a prefix, whichever is later.
fn low(own: &[u8], prefix: &str, after: Option<&(ResourceKey, Option<RequestId>)>) -> Vec<u8> {
    let from = [own, prefix.as_bytes()].concat();
    let behind = after.map(|(key, id)| {
        let id = id.as_ref().map(pack_id).unwrap_or_default();
        [own, key.as_str().as_bytes(), &[0], &id].concat()
    });
    match behind {
        Some(behind) if behind >= from => [b"(".as_slice(), &behind].concat(),
        _ if from.is_empty() => b"-".to_vec(),
        _ => [b"[".as_slice(), &from].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> DocumentName {
        DocumentName::new("a").unwrap()
    }

    #[test]
    fn only_what_adds_to_the_store_may_fill_it() {
        let put = |update| Operation::may_fill(&Operation::put_document(&name(), &update).packed);
        assert!(put(DocumentUpdate::write(Vec::new())) && put(DocumentUpdate::write(vec![1; 1_000])));
        assert!(
            !put(DocumentUpdate::delete()) && !put(DocumentUpdate::delete().if_was(Some(vec![1; 1_000])))
        );
        assert!(!Operation::may_fill(&Operation::document(&name()).packed));
        assert!(!Operation::may_fill(&Operation::documents("", None, 9).packed));
    }

    #[test]
    fn eight_documents_go_in_one_call_at_most_however_short_their_questions_are() {
        let weight = |operation: Operation| Operation::weight(&operation.packed, 256 << 10);
        let operations = [
            Operation::document(&name()),
            Operation::put_document(&name(), &DocumentUpdate::write(Vec::new()).if_was(None)),
            Operation::put_document(&name(), &DocumentUpdate::delete()),
        ];
        for weight in operations.map(weight) {
            assert!(weight * 8 > 256 << 10 && weight * 7 <= 256 << 10, "{weight}");
        }
        assert!(weight(Operation::now()) < 16);
    }
}

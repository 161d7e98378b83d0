//! The table seen through the commands of the reference. Owns the translation; used by the model and the state machine.

use enhanced_locking_core::{LockTable, TablePolicy};
use enhanced_locking_foundation::{EdgeQuery, LockQuery, ResourceKey, Timestamp};
use enhanced_locking_queue::CreditTable;
use enhanced_locking_testkit::conformance::FixturePolicy;
use enhanced_locking_testkit::reference::{Answer, Command, Snapshot};

/// The policy of the table for that of the reference.
pub(crate) fn policy(policy: FixturePolicy) -> TablePolicy {
    TablePolicy { limits: policy.limits, timing: policy.timing, credits: CreditTable::new(policy.credits) }
}

/// Does what a command says.
pub(crate) fn ask(table: &mut LockTable, command: &Command, now: Timestamp) -> Answer {
    match command.clone() {
        Command::Acquire(request) => Answer::Acquire(table.acquire(request, now)),
        Command::AcquireAll(requests) => Answer::AcquireAll(table.acquire_all(requests, now)),
        Command::Poll(ticket) => Answer::State(table.poll(&ticket, now)),
        Command::Find(id) => Answer::Found(table.find(&id)),
        Command::Cancel { ticket, generation, reason, cause } => {
            Answer::Cancel(table.cancel(&ticket, generation, reason, cause, now))
        }
        Command::Reprioritise(ticket, priority) => {
            Answer::Reprioritise(table.reprioritise(&ticket, priority, now))
        }
        Command::Release(grant) => Answer::Release(table.release(&grant, now)),
        Command::Renew(renewals) => {
            Answer::Renew(renewals.iter().map(|renewal| table.renew(renewal, now)).collect())
        }
        Command::Transfer(grant, to) => Answer::Transfer(table.transfer(&grant, to, now)),
        Command::Force(key, id, cause) => Answer::Force(table.force_release(&key, id.as_ref(), &cause, now)),
        Command::Clear(selector, cause) => Answer::Clear(table.clear(&selector, &cause, now)),
        Command::Sweep(budget) => Answer::Sweep(table.sweep(budget, now)),
    }
}

/// Everything that can be seen of a table.
pub(crate) fn snapshot(table: &LockTable, keys: &[ResourceKey], now: Timestamp) -> Result<Snapshot, String> {
    let everything = EdgeQuery::All { cursor: None, limit: 0 };
    let mut snapshot = Snapshot {
        views: keys.iter().filter_map(|key| table.resource(key, usize::MAX)).collect(),
        locks: table.locks(&LockQuery::default()).map_err(|e| e.to_string())?.items,
        edges: table.wait_edges(&everything).map_err(|e| e.to_string())?.items,
        stats: table.stats(now),
    };
    snapshot.normalise();
    Ok(snapshot)
}

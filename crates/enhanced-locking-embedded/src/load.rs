//! Out of the map into a table. Owns reading all records of a store and comparing them with its seal.

use std::sync::Arc;

use enhanced_locking_core::{LockTable, StoredEntry, TablePolicy};
use enhanced_locking_foundation::{DocumentName, Ended, LockEvent, Ticket};
use heed::types::Bytes;
use heed::{Database, RoTxn};

use crate::changes::Changes;
use crate::log::{Batch, Ends, LOG, Part, Seal, digest};
use crate::record::{DOCUMENT, ENTRY, Entry, decode, push_entry_key, read_document};

/// The kinds of records there are besides the schema and the seal, by the first byte of their keys.
const KINDS: [u8; 3] = [DOCUMENT, ENTRY, LOG];

type Tree = Database<'static, Bytes, Bytes>;

/// Everything that is on disk. The log is oldest first, by commit.
#[derive(Debug)]
pub(crate) struct Records {
    pub(crate) seal: Seal,
    pub(crate) documents: Vec<(DocumentName, Arc<[u8]>)>,
    pub(crate) entries: Vec<StoredEntry>,
    pub(crate) events: Vec<(u64, Vec<LockEvent>)>,
    pub(crate) ends: Vec<(u64, Vec<(Ticket, Ended)>)>,
}

impl Records {
    /// Reads everything: what is in the data file, and what the journal changed since.
    ///
    /// # Errors
    /// The first thing that is wrong, and where.
    pub(crate) fn read(tree: Tree, txn: &RoTxn<'_>, since: &Changes<'_>) -> Result<Self, String> {
        let mut records = Self {
            seal: read_seal(tree, txn)?,
            documents: Vec::new(),
            entries: Vec::new(),
            events: Vec::new(),
            ends: Vec::new(),
        };
        let mut found = 0u64;
        for kind in KINDS {
            for item in tree.prefix_iter(txn, &[kind]).map_err(|e| e.to_string())? {
                let (key, value) = item.map_err(|e| e.to_string())?;
                found = found.wrapping_add(digest(key, value));
                // Of the log, a journal only tells what is not in the data file.
                if kind == LOG || !since.tells_of(key) {
                    records.read_record(key, value)?;
                }
            }
        }
        if found != records.seal.digest {
            return Err(format!(
                "its records are not those of its newest checkpoint, {}",
                records.seal.number
            ));
        }
        // Commits of the journal are newer than all of the data file: the log stays in order.
        for (key, value) in since.put() {
            records.read_record(key, value)?;
        }
        Ok(records)
    }

    /// A table with the documents, the entries, the counters and the memory of ends.
    ///
    /// # Errors
    /// Which entries contradict each other.
    pub(crate) fn into_table(self, policy: TablePolicy) -> Result<(LockTable, Vec<LockEvent>), String> {
        let mut table = LockTable::restore(policy, self.seal.meta, self.entries)?;
        table.track_changes();
        table.restore_documents(self.documents);
        table.restore_finished(self.ends.into_iter().flat_map(|(_, ends)| ends));
        let mut events: Vec<LockEvent> = self.events.into_iter().flat_map(|(_, events)| events).collect();
        let surplus = events.len().saturating_sub(policy.limits.events);
        events.drain(..surplus);
        Ok((table, events))
    }

    fn read_record(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        if key.first() == Some(&LOG) {
            return self.read_log(key, value).map_err(|e| format!("log record {key:02x?}: {e}"));
        }
        if key.first() == Some(&DOCUMENT) {
            let place = || key.get(1..).unwrap_or_default().escape_ascii();
            self.documents.push(read_document(key, value).map_err(|e| format!("document {}: {e}", place()))?);
            return Ok(());
        }
        self.entries.push(read_entry(key, value).map_err(|e| format!("{}: {e}", place(key)))?);
        Ok(())
    }

    fn read_log(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        match Part::of_key(key).ok_or("there is no such record")? {
            (commit, Part::Events) => {
                self.events.push((commit, decode::<Batch<'_>>(value)?.into_events()?));
            }
            (commit, Part::Ends) => self.ends.push((commit, decode::<Ends<'_>>(value)?.into_ends()?)),
        }
        Ok(())
    }
}

/// Reads the seal.
pub(crate) fn read_seal(tree: Tree, txn: &RoTxn<'_>) -> Result<Seal, String> {
    let bytes = tree.get(txn, Seal::KEY).map_err(|e| e.to_string())?;
    Seal::decode(bytes.ok_or("it has no seal")?)
}

/// The digest of everything in the tree.
pub(crate) fn digest_of_all(tree: Tree, txn: &RoTxn<'_>) -> Result<u64, heed::Error> {
    let mut sum = 0u64;
    for first in KINDS {
        for item in tree.prefix_iter(txn, &[first])? {
            let (key, value) = item?;
            sum = sum.wrapping_add(digest(key, value));
        }
    }
    Ok(sum)
}

fn read_entry(key: &[u8], value: &[u8]) -> Result<StoredEntry, String> {
    let entry = decode::<Entry<'_>>(value).and_then(Entry::into_stored)?;
    let mut own = Vec::with_capacity(key.len());
    push_entry_key(&mut own, &entry.request.key, &entry.request.id);
    if own == key { Ok(entry) } else { Err("it says it is another one".to_owned()) }
}

fn place(key: &[u8]) -> String {
    let name = key.get(1..).unwrap_or_default();
    let mut parts = name.splitn(2, |byte| *byte == 0).map(|part| part.escape_ascii().to_string());
    format!("entry {} of request {}", parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

//! Records in and out of the files. Owns when what is in the data file and what in the journal, and trimming the log; the schema is `schema`'s, when to commit the writer's.
//!
//! A commit is one frame in the journal. A *checkpoint* moves what the journal says into the data file, in one
//! transaction, and starts the journal over. The records of the store are those of the data file with the changes of
//! the journal on top.

mod schema;
mod tail;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Weak};

use enhanced_locking_core::{Effects, LockTable, TableMeta, TablePolicy};
use enhanced_locking_foundation::{Ended, Limits, LockEvent, RequestId, ResourceKey};
use heed::MdbError;

use self::schema::{SCHEMA, UPGRADES, make, read_front};
use self::tail::Tail;
use crate::directory::Directory;
use crate::env::Map;
use crate::frame::Body;
use crate::journal::Journal;
use crate::load::{Records, read_seal};
use crate::log::{Part, Seal, digest, push_batch, push_ends};
use crate::record::{push_document_key, push_entry, push_entry_key};
use crate::{OpenError, pages};

/// The files of one store.
#[derive(Debug)]
pub(crate) struct Store {
    map: Arc<Map>,
    directory: Arc<Directory>,
    journal: Journal,
    /// What the newest checkpoint left in the data file.
    seal: Seal,
    /// The number of the newest commit, and the counters it left.
    newest: (u64, TableMeta),
    events: Tail,
    ends: Tail,
    /// What the next commit says; kept for its allocation.
    body: Body,
    /// How much of the journal's file is kept when it starts over, in bytes.
    journal_size: u64,
    /// Set when it cannot be said any more what is on disk.
    uncertain: bool,
}

/// Everything that was on disk.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) table: LockTable,
    pub(crate) events: Vec<LockEvent>,
}

/// Why a commit did not happen.
#[derive(Debug)]
pub(crate) enum CommitError {
    /// The journal could not be written.
    Journal(std::io::Error),
    /// The journal is full and could not be moved into the data file.
    Checkpoint(OpenError),
}

impl Store {
    /// Opens the store of a directory, making one if there is none and upgrading its schema if it is older.
    pub(crate) fn open(directory: Directory, map_size: usize, journal_size: u64) -> Result<Self, OpenError> {
        let directory = Arc::new(directory);
        let file = directory.data_file();
        if !directory.has_data()? {
            make(&directory)?;
        }
        let in_use = pages::verify(&file)?;
        let size = map_size.max(usize::try_from(in_use).unwrap_or(usize::MAX));
        let map = Map::open(directory.path(), size, Arc::clone(&directory));
        let map = Arc::new(map.map_err(|e| opening(&directory, e))?);
        let (schema, seal) = read_front(&map, &directory)?;
        let journal = match Journal::open(&directory.journal_file())? {
            Some(journal) => journal,
            None if schema < 2 => Journal::create(&directory.journal_file())?,
            None => {
                let found = "it is missing; it belongs to the data file beside it".to_owned();
                return Err(OpenError::Damaged { file: directory.journal_file(), found });
            }
        };
        let mut store = Self {
            map,
            directory,
            journal,
            seal,
            newest: (seal.number, seal.meta),
            events: Tail::default(),
            ends: Tail::default(),
            body: Body::default(),
            journal_size,
            uncertain: false,
        };
        #[cfg(test)]
        store.journal.faults.clone_from(&store.map.faults);
        store.upgrade(schema, SCHEMA, UPGRADES)?;
        Ok(store)
    }

    /// Reads everything into a table.
    pub(crate) fn load(&mut self, policy: TablePolicy) -> Result<Loaded, OpenError> {
        let story = self.journal.recover(&self.seal)?;
        let changes = story.changes();
        let read = self.map.read(|txn| Ok(Records::read(self.map.database(), txn, &changes)));
        let mut records =
            read.map_err(|e| opening(&self.directory, e))?.map_err(|found| self.damaged(found))?;
        self.newest = story.newest.unwrap_or((self.seal.number, self.seal.meta));
        records.seal.meta = self.newest.1;
        self.events = records.events.iter().map(|(commit, events)| (*commit, events.len())).collect();
        self.ends = records.ends.iter().map(|(commit, ends)| (*commit, ends.len())).collect();
        let (table, events) = records.into_table(policy).map_err(|found| self.damaged(found))?;
        Ok(Loaded { table, events })
    }

    /// Makes what changed durable.
    pub(crate) fn commit(&mut self, table: &LockTable, effects: &Effects) -> Result<(), CommitError> {
        let (number, meta) = (self.newest.0 + 1, table.meta());
        let ends = ends_of(effects).count();
        self.describe(number, table, effects, ends);
        self.journal.prepare(number, self.seal.digest, &self.body).map_err(CommitError::Journal)?;
        if let Err(error) = self.journal.append() {
            if let Err(error) = self.journal.retract() {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "a commit that failed cannot be taken off the journal");
                self.uncertain = true;
            }
            return Err(CommitError::Journal(error));
        }
        self.newest = (number, meta);
        self.events.add(number, effects.events.len());
        self.ends.add(number, ends);
        Ok(())
    }

    /// Moves what the journal says into the data file.
    pub(crate) fn checkpoint(&mut self, limits: &Limits) -> Result<(), OpenError> {
        if self.newest.0 == self.seal.number {
            return Ok(());
        }
        let story = self.journal.replay(&self.seal, self.newest.0)?;
        let (old_events, old_ends) = (self.events.surplus(limits.events), self.ends.surplus(limits.finished));
        let old = self.events.first(old_events).map(|commit| Part::Events.key(commit));
        let old = old.chain(self.ends.first(old_ends).map(|commit| Part::Ends.key(commit)));
        let old: BTreeSet<[u8; 10]> = old.collect();
        let changes = story.changes();
        let is_old = |key: &[u8]| key.try_into().is_ok_and(|key: [u8; 10]| old.contains(&key));
        let put: Vec<_> = changes.put().into_iter().filter(|(key, _)| !is_old(key)).collect();

        let tree = self.map.database();
        let (number, meta) = self.newest;
        let written = self.map.write(|txn| {
            let mut sum = self.seal.digest;
            for key in changes.removed().chain(old.iter().map(<[u8; 10]>::as_slice)) {
                if let Some(before) = tree.get(txn, key)? {
                    sum = sum.wrapping_sub(digest(key, before));
                    tree.delete(txn, key)?;
                }
            }
            for (key, value) in &put {
                let before = tree.get(txn, key)?;
                sum = sum.wrapping_sub(before.map_or(0, |before| digest(key, before)));
                sum = sum.wrapping_add(digest(key, value));
                tree.put(txn, key, value)?;
            }
            let seal = Seal { number, digest: sum, meta };
            tree.put(txn, Seal::KEY, &seal.encode())?;
            Ok(seal)
        });
        self.seal = match written {
            Ok(seal) => seal,
            Err(error) => {
                // A map that failed while it named its new state as the newest one does not answer any more: that
                // state may come to be on disk.
                let seal = self.map.read(|txn| Ok(read_seal(tree, txn)));
                self.uncertain |= !matches!(seal, Ok(Ok(seal)) if seal == self.seal);
                return Err(failed("moving the journal into", &self.directory, error));
            }
        };
        self.journal.restart(self.journal_size);
        self.body.shrink(1 << 20);
        self.events.drop_first(old_events);
        self.ends.drop_first(old_ends);
        Ok(())
    }

    /// How many bytes a checkpoint would move.
    pub(crate) fn journal_len(&self) -> u64 {
        self.journal.len()
    }

    /// The number of the newest commit known to be on disk.
    pub(crate) fn newest_commit(&self) -> u64 {
        self.newest.0
    }

    /// Whether a commit failed and may come to be on disk all the same.
    pub(crate) fn is_uncertain(&self) -> bool {
        self.uncertain
    }

    /// Notes that what is on disk is known again.
    pub(crate) fn be_certain(&mut self) {
        self.uncertain = false;
    }

    /// The map, for copies; gone with the store.
    pub(crate) fn map(&self) -> Weak<Map> {
        Arc::downgrade(&self.map)
    }

    /// The directory of the store.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Puts together what a commit says.
    fn describe(&mut self, number: u64, table: &LockTable, effects: &Effects, ends: usize) {
        let body = &mut self.body;
        body.begin(&table.meta());
        for request in &effects.dirty {
            let key = |key: &mut Vec<u8>| push_entry_key(key, &request.key, &request.id);
            match table.stored(&request.key, &request.id) {
                Some(stored) => body.put(key, |value| push_entry(value, &stored)),
                None => body.remove(key),
            }
        }
        for name in &effects.documents {
            let key = |key: &mut Vec<u8>| push_document_key(key, name);
            match table.document(name) {
                Some(document) => body.put(key, |value| value.extend_from_slice(document)),
                None => body.remove(key),
            }
        }
        if !effects.events.is_empty() {
            let key = |key: &mut Vec<u8>| key.extend(Part::Events.key(number));
            body.put(key, |value| push_batch(value, &effects.events));
        }
        if ends > 0 {
            let key = |key: &mut Vec<u8>| key.extend(Part::Ends.key(number));
            body.put(key, |value| push_ends(value, ends, ends_of(effects)));
        }
    }

    fn damaged(&self, found: String) -> OpenError {
        OpenError::Damaged { file: self.directory.data_file(), found }
    }
}

/// The requests that a batch finished: those its events tell of, and those it refused.
fn ends_of(effects: &Effects) -> impl Iterator<Item = (&ResourceKey, &RequestId, Ended)> {
    let told = effects.events.iter().filter_map(|event| {
        let (request, ended) = LockTable::end_of(event)?;
        Some((&request.key, &request.id, ended))
    });
    told.chain(effects.refused.iter().map(|(ticket, ended)| (&ticket.key, &ticket.id, ended.clone())))
}

/// An error of the map, by what an operator can do about it.
fn opening(directory: &Directory, error: heed::Error) -> OpenError {
    failed("opening the store in", directory, error)
}

fn failed(doing: &'static str, directory: &Directory, error: heed::Error) -> OpenError {
    match error {
        heed::Error::Io(e) => OpenError::io(doing, directory.path(), e),
        heed::Error::Mdb(
            e
            @ (MdbError::Corrupted | MdbError::PageNotFound | MdbError::Invalid | MdbError::VersionMismatch),
        ) => OpenError::Damaged { file: directory.data_file(), found: e.to_string() },
        other => OpenError::io(doing, directory.path(), std::io::Error::other(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> Result<Store, OpenError> {
        Store::open(Directory::take(path)?, 1 << 20, 1 << 20)
    }

    /// A table that holds one more lock, and what that changed.
    fn acquire(table: &mut LockTable, id: &str) -> Effects {
        let key = enhanced_locking_foundation::ResourceKey::new(id).unwrap();
        let owner = enhanced_locking_foundation::OwnerId::new(id).unwrap();
        let request = enhanced_locking_foundation::AcquireRequest::new(key, owner).sticky();
        table.acquire(request, enhanced_locking_foundation::Timestamp::from_micros(1)).unwrap();
        table.take_effects()
    }

    #[test]
    fn sound_records_that_are_not_those_of_the_newest_checkpoint_are_reported() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = open(directory.path()).unwrap();
        let mut table = store.load(TablePolicy::default()).unwrap().table;
        let effects = acquire(&mut table, "a");
        store.commit(&table, &effects).map_err(drop).unwrap();
        store.checkpoint(&Limits::default()).unwrap();
        drop(store);
        let mut store = open(directory.path()).unwrap();
        assert_eq!(store.load(TablePolicy::default()).unwrap().events.len(), 1);
        // As if the page with another one, or a newer state of this one, had never reached the disk.
        for digest in [store.seal.digest + 1, store.seal.digest.wrapping_add(digest(b"elost", b"lost"))] {
            let tree = store.map.database();
            let seal = Seal { number: store.seal.number + 1, digest, ..store.seal };
            store.map.write(|txn| tree.put(txn, Seal::KEY, &seal.encode())).unwrap();
            drop(store);
            store = open(directory.path()).unwrap();
            let error = store.load(TablePolicy::default()).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("its records are not those of its newest checkpoint"), "{text}");
        }
    }

    #[test]
    fn a_checkpoint_moves_the_journal_and_changes_nothing_that_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = open(directory.path()).unwrap();
        let mut table = store.load(TablePolicy::default()).unwrap().table;
        for id in ["a", "b", "c", "d"] {
            let effects = acquire(&mut table, id);
            store.commit(&table, &effects).map_err(drop).unwrap();
            if id == "b" {
                store.checkpoint(&Limits::default()).unwrap();
                assert_eq!(store.journal_len(), 0);
            }
            let loaded = store.load(TablePolicy::default()).unwrap();
            assert_eq!(loaded.table.meta(), table.meta());
            assert_eq!(loaded.events.last().map(|event| event.seq), Some(table.meta().last_event));
        }
        assert!(store.journal_len() > 0);
    }
}

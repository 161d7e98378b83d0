//! Records in and out of the map. Owns loading, committing, trimming the log and the schema; when to commit is the writer's.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Weak};

use enhanced_locking_core::{Effects, LockTable, StoredEntry, TableMeta, TablePolicy};
use enhanced_locking_foundation::{Ended, LockEvent, Ticket};
use heed::{MdbError, RoTxn, RwTxn};

use crate::directory::Directory;
use crate::env::Map;
use crate::record::{Batch, ENTRY, Entry, LOG, Log, SCHEMA_KEY, decode, encode, entry_key, log_key};
use crate::{OpenError, pages};

/// The schema this version writes.
pub(crate) const SCHEMA: u32 = 1;

/// Steps from one schema to the next: the first turns 1 into 2. Run in one transaction with the new schema's number.
const UPGRADES: &[Upgrade] = &[];

/// One step of the schema.
type Upgrade = fn(&Map, &mut RwTxn<'_>) -> Result<(), heed::Error>;

/// The files of one store.
#[derive(Debug)]
pub(crate) struct Store {
    map: Arc<Map>,
    directory: Directory,
    /// The commits in the log, oldest first: last event and number of events.
    log: VecDeque<(u64, usize)>,
    logged: usize,
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
    /// A record that cannot be written: a defect.
    Encode(postcard::Error),
    /// The map or the disk.
    Map(heed::Error),
}

impl Store {
    /// Opens the store of a directory, upgrading its schema if it is older.
    pub(crate) fn open(directory: Directory, map_size: usize) -> Result<Self, OpenError> {
        let file = directory.data_file();
        let in_use = pages::verify(&file)?;
        let size = map_size.max(usize::try_from(in_use).unwrap_or(usize::MAX));
        let map = Map::open(directory.path(), size).map_err(|e| opening(&directory, e))?;
        let mut store = Self { map: Arc::new(map), directory, log: VecDeque::new(), logged: 0 };
        store.upgrade(SCHEMA, UPGRADES)?;
        Ok(store)
    }

    /// Reads everything into a table.
    pub(crate) fn load(&mut self, policy: TablePolicy) -> Result<Loaded, OpenError> {
        let read = self.map.read(|txn| Ok((read_entries(&self.map, txn), read_log(&self.map, txn))));
        let (entries, logs) = read.map_err(|e| opening(&self.directory, e))?;
        let entries = entries.map_err(|found| self.damaged(found))?;
        let logs = logs.map_err(|found| self.damaged(found))?;
        let meta = logs.last().map_or_else(TableMeta::default, |log| log.meta);
        self.log = logs.iter().map(|log| (log.meta.last_event, log.events.len())).collect();
        self.logged = self.log.iter().map(|(_, events)| events).sum();
        let mut table = LockTable::restore(policy, meta, entries).map_err(|found| self.damaged(found))?;
        table.track_changes();
        let mut events = Vec::with_capacity(self.logged);
        for log in logs {
            let ends: Vec<(Ticket, Ended)> = log.events.iter().filter_map(LockTable::end_of).collect();
            table.restore_finished(ends.into_iter().chain(log.refused));
            events.extend(log.events);
        }
        let surplus = events.len().saturating_sub(policy.limits.events);
        events.drain(..surplus);
        Ok(Loaded { table, events })
    }

    /// Makes what changed durable, in one transaction.
    pub(crate) fn commit(&mut self, table: &LockTable, effects: &Effects) -> Result<(), CommitError> {
        let meta = table.meta();
        let mut tickets: Vec<&Ticket> = effects.dirty.iter().collect();
        tickets.sort_unstable();
        tickets.dedup();
        let mut puts: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::with_capacity(tickets.len() + 1);
        for ticket in tickets {
            let stored = table.stored(ticket);
            let value = stored.as_ref().map(|stored| encode(&Entry::of(stored))).transpose();
            puts.push((entry_key(ticket), value.map_err(CommitError::Encode)?));
        }
        let log = encode(&Batch::of(meta, &effects.events, &effects.refused)).map_err(CommitError::Encode)?;
        let trim = self.surplus(effects.events.len(), table.policy().limits.events);
        let database = self.map.database();
        self.map
            .write(|txn| {
                for (key, value) in &puts {
                    match value {
                        Some(value) => database.put(txn, key, value)?,
                        None => drop(database.delete(txn, key)?),
                    }
                }
                for (last_event, _) in self.log.iter().take(trim) {
                    database.delete(txn, &log_key(*last_event))?;
                }
                database.put(txn, &log_key(meta.last_event), &log)
            })
            .map_err(CommitError::Map)?;
        for (_, events) in self.log.drain(..trim) {
            self.logged -= events;
        }
        self.log.push_back((meta.last_event, effects.events.len()));
        self.logged += effects.events.len();
        Ok(())
    }

    /// The sequence of the last event on disk: tells whether a commit that failed has happened all the same.
    pub(crate) fn last_event_on_disk(&self) -> Result<u64, OpenError> {
        let logs = self.map.read(|txn| {
            let database = self.map.database();
            let last = database.rev_prefix_iter(txn, &[LOG])?.next().transpose()?;
            Ok(last.and_then(|(key, _)| key.get(1..9)?.try_into().ok()).map_or(0, u64::from_be_bytes))
        });
        logs.map_err(|e| opening(&self.directory, e))
    }

    /// The map, for copies; gone with the store.
    pub(crate) fn map(&self) -> Weak<Map> {
        Arc::downgrade(&self.map)
    }

    /// The directory of the store.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// How many of the oldest commits can go from the log. Trims in runs: not every commit touches the log's far end.
    fn surplus(&self, new: usize, limit: usize) -> usize {
        let mut events = self.logged + new;
        if events <= limit + limit / 8 {
            return 0;
        }
        let mut commits = 0;
        for (_, count) in &self.log {
            if events - count < limit {
                break;
            }
            events -= count;
            commits += 1;
        }
        commits
    }

    fn upgrade(&mut self, newest: u32, steps: &[Upgrade]) -> Result<(), OpenError> {
        let database = self.map.database();
        let found = self
            .map
            .read(|txn| Ok(database.get(txn, SCHEMA_KEY)?.map(<[u8]>::to_vec)))
            .map_err(|e| opening(&self.directory, e))?;
        let found = match found.as_deref().map(<[u8; 4]>::try_from) {
            Some(Ok(bytes)) => u32::from_le_bytes(bytes),
            Some(Err(_)) => return Err(self.damaged("the schema is not a number".to_owned())),
            // A new file: there is nothing to turn into anything.
            None => newest,
        };
        if found > newest {
            return Err(OpenError::Newer { file: self.directory.data_file(), found, known: newest });
        }
        let Some(steps) = usize::try_from(found).ok().and_then(|f| steps.get(f.checked_sub(1)?..)) else {
            return Err(self.damaged(format!("there is no schema {found}")));
        };
        self.map
            .write(|txn| {
                for step in steps {
                    step(&self.map, txn)?;
                }
                database.put(txn, SCHEMA_KEY, &newest.to_le_bytes())
            })
            .map_err(|e| opening(&self.directory, e))
    }

    fn damaged(&self, found: String) -> OpenError {
        OpenError::Damaged { file: self.directory.data_file(), found }
    }
}

/// Reads every holder and waiter.
fn read_entries(map: &Map, txn: &RoTxn<'_>) -> Result<Vec<StoredEntry>, String> {
    let mut entries = Vec::new();
    for item in map.database().prefix_iter(txn, &[ENTRY]).map_err(|e| e.to_string())? {
        let (key, value) = item.map_err(|e| e.to_string())?;
        let place = || format!("entry {}", String::from_utf8_lossy(&key[1..]).replace('\0', " of request "));
        let entry = decode::<Entry<'_>>(value).and_then(Entry::into_stored);
        let entry = entry.map_err(|e| format!("{}: {e}", place()))?;
        if entry_key(&entry.request.ticket()) != key {
            return Err(format!("{}: it says it is another one", place()));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Reads the log, oldest commit first.
fn read_log(map: &Map, txn: &RoTxn<'_>) -> Result<Vec<Log>, String> {
    let mut logs: Vec<Log> = Vec::new();
    for item in map.database().prefix_iter(txn, &[LOG]).map_err(|e| e.to_string())? {
        let (key, value) = item.map_err(|e| e.to_string())?;
        let log = decode::<Batch<'_>>(value).and_then(Batch::into_log);
        let log = log.map_err(|e| format!("log record {key:02x?}: {e}"))?;
        if log_key(log.meta.last_event) != *key {
            return Err(format!("log record {key:02x?}: it says it is another one"));
        }
        logs.push(log);
    }
    Ok(logs)
}

/// An error of the map, by what an operator can do about it.
pub(crate) fn opening(directory: &Directory, error: heed::Error) -> OpenError {
    match error {
        heed::Error::Io(e) => OpenError::io("opening the store in", directory.path(), e),
        heed::Error::Mdb(
            e
            @ (MdbError::Corrupted | MdbError::PageNotFound | MdbError::Invalid | MdbError::VersionMismatch),
        ) => OpenError::Damaged { file: directory.data_file(), found: e.to_string() },
        other => OpenError::io("opening the store in", directory.path(), std::io::Error::other(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> Result<Store, OpenError> {
        Store::open(Directory::take(path)?, 1 << 20)
    }

    fn marked(store: &Store) -> Vec<u8> {
        store.map.read(|txn| Ok(store.map.database().get(txn, b"mmark")?.unwrap_or(b"").to_vec())).unwrap()
    }

    fn first_step(map: &Map, txn: &mut RwTxn<'_>) -> Result<(), heed::Error> {
        map.database().put(txn, b"mmark", b"one")
    }

    fn second_step(map: &Map, txn: &mut RwTxn<'_>) -> Result<(), heed::Error> {
        map.database().put(txn, b"mmark", b"two")
    }

    fn failing_step(map: &Map, txn: &mut RwTxn<'_>) -> Result<(), heed::Error> {
        map.database().put(txn, b"mmark", b"half")?;
        Err(heed::Error::Io(std::io::ErrorKind::StorageFull.into()))
    }

    #[test]
    fn an_older_schema_is_upgraded_step_by_step_and_a_newer_one_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = open(directory.path()).unwrap();
        store.upgrade(3, &[first_step, second_step]).unwrap();
        assert_eq!(marked(&store), b"two");
        drop(store);
        let refused = open(directory.path()).unwrap_err();
        assert!(matches!(refused, OpenError::Newer { found: 3, known: SCHEMA, .. }), "{refused}");
    }

    #[test]
    fn an_upgrade_that_fails_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = open(directory.path()).unwrap();
        assert!(matches!(store.upgrade(3, &[first_step, failing_step]), Err(OpenError::Full { .. })));
        assert_eq!(marked(&store), b"");
        drop(store);
        open(directory.path()).unwrap();
    }

    #[test]
    fn the_schema_has_a_step_for_every_older_number() {
        assert_eq!(UPGRADES.len(), SCHEMA as usize - 1);
    }
}

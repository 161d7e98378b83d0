//! Records in and out of the map. Owns making, committing, trimming the log and the schema; when to commit is the writer's.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, Weak};

use enhanced_locking_core::{Effects, LockTable, TablePolicy};
use enhanced_locking_foundation::{Ended, LockEvent, Ticket};
use heed::{MdbError, RwTxn};

use crate::directory::{Directory, sync_directory};
use crate::env::Map;
use crate::load::{Records, digest_of_all, read_seal};
use crate::log::{Batch, Ends, Part, Seal, digest};
use crate::record::{Entry, SCHEMA_KEY, checked, encode, entry_key, with_checksum};
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
    directory: Arc<Directory>,
    /// What the newest commit on disk left.
    seal: Seal,
    events: Tail,
    ends: Tail,
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
    /// Opens the store of a directory, making one if there is none and upgrading its schema if it is older.
    pub(crate) fn open(directory: Directory, map_size: usize) -> Result<Self, OpenError> {
        let directory = Arc::new(directory);
        let file = directory.data_file();
        if !directory.has_data()? {
            make(&directory)?;
        }
        let in_use = pages::verify(&file)?;
        let size = map_size.max(usize::try_from(in_use).unwrap_or(usize::MAX));
        let map = Map::open(directory.path(), size, Arc::clone(&directory));
        let map = Arc::new(map.map_err(|e| opening(&directory, e))?);
        let seal = Seal::default();
        let mut store = Self { map, directory, seal, events: Tail::default(), ends: Tail::default() };
        store.upgrade(SCHEMA, UPGRADES)?;
        Ok(store)
    }

    /// Reads everything into a table.
    pub(crate) fn load(&mut self, policy: TablePolicy) -> Result<Loaded, OpenError> {
        let read = self.map.read(|txn| Ok(Records::read(self.map.database(), txn)));
        let records = read.map_err(|e| opening(&self.directory, e))?.map_err(|found| self.damaged(found))?;
        self.seal = records.seal;
        self.events = records.events.iter().map(|(commit, events)| (*commit, events.len())).collect();
        self.ends = records.ends.iter().map(|(commit, ends)| (*commit, ends.len())).collect();
        let (table, events) = records.into_table(policy).map_err(|found| self.damaged(found))?;
        Ok(Loaded { table, events })
    }

    /// Makes what changed durable, in one transaction.
    pub(crate) fn commit(&mut self, table: &LockTable, effects: &Effects) -> Result<(), CommitError> {
        let limits = table.policy().limits;
        let commit = self.seal.number + 1;
        let mut tickets: Vec<&Ticket> = effects.dirty.iter().collect();
        tickets.sort_unstable();
        tickets.dedup();
        let mut puts: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::with_capacity(tickets.len() + 2);
        for ticket in tickets {
            let stored = table.stored(ticket);
            let value = stored.as_ref().map(|stored| encode(&Entry::of(stored))).transpose();
            puts.push((entry_key(ticket), value.map_err(CommitError::Encode)?));
        }
        let ends = ends_of(effects);
        if !effects.events.is_empty() {
            let batch = encode(&Batch::of(&effects.events)).map_err(CommitError::Encode)?;
            puts.push((Part::Events.key(commit).to_vec(), Some(batch)));
        }
        if !ends.is_empty() {
            let ends = encode(&Ends::of(&ends)).map_err(CommitError::Encode)?;
            puts.push((Part::Ends.key(commit).to_vec(), Some(ends)));
        }
        let old_events = self.events.surplus(effects.events.len(), limits.events);
        let old_ends = self.ends.surplus(ends.len(), limits.finished);
        let old = self.events.first(old_events).map(|commit| Part::Events.key(commit));
        puts.extend(old.map(|key| (key.to_vec(), None)));
        let old = self.ends.first(old_ends).map(|commit| Part::Ends.key(commit));
        puts.extend(old.map(|key| (key.to_vec(), None)));

        let meta = table.meta();
        let digest = self.write(&puts, |digest| Seal { number: commit, digest, meta })?;
        self.seal = Seal { number: commit, digest, meta };
        self.events.add(commit, effects.events.len(), old_events);
        self.ends.add(commit, ends.len(), old_ends);
        Ok(())
    }

    /// The number of the newest commit known to be on disk.
    pub(crate) fn newest_commit(&self) -> u64 {
        self.seal.number
    }

    /// The map, for copies; gone with the store.
    pub(crate) fn map(&self) -> Weak<Map> {
        Arc::downgrade(&self.map)
    }

    /// The directory of the store.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes or removes records and seals the result. Returns the new digest.
    fn write(
        &self,
        puts: &[(Vec<u8>, Option<Vec<u8>>)],
        seal: impl Fn(u64) -> Seal,
    ) -> Result<u64, CommitError> {
        let tree = self.map.database();
        let written = self.map.write(|txn| {
            let mut sum = self.seal.digest;
            for (key, value) in puts {
                if let Some(before) = tree.get(txn, key)? {
                    sum = sum.wrapping_sub(digest(key, before));
                }
                match value {
                    Some(value) => {
                        sum = sum.wrapping_add(digest(key, value));
                        tree.put(txn, key, value)?;
                    }
                    None => drop(tree.delete(txn, key)?),
                }
            }
            tree.put(txn, Seal::KEY, &seal(sum).encode())?;
            Ok(sum)
        });
        written.map_err(CommitError::Map)
    }

    fn upgrade(&mut self, newest: u32, steps: &[Upgrade]) -> Result<(), OpenError> {
        let tree = self.map.database();
        let read =
            self.map.read(|txn| Ok((tree.get(txn, SCHEMA_KEY)?.map(<[u8]>::to_vec), read_seal(tree, txn))));
        let (schema, seal) = read.map_err(|e| opening(&self.directory, e))?;
        let schema = schema.ok_or_else(|| self.damaged("it has no schema".to_owned()))?;
        let number = checked(&schema).map_err(|found| self.damaged(format!("schema: {found}")))?;
        let number = number.try_into().map(u32::from_le_bytes);
        let found = number.map_err(|_| self.damaged("the schema is not a number".to_owned()))?;
        if found > newest {
            return Err(OpenError::Newer { file: self.directory.data_file(), found, known: newest });
        }
        self.seal = seal.map_err(|found| self.damaged(found))?;
        let Some(steps) = usize::try_from(found).ok().and_then(|f| steps.get(f.checked_sub(1)?..)) else {
            return Err(self.damaged(format!("there is no schema {found}")));
        };
        if found == newest {
            return Ok(());
        }
        let upgraded = self.map.write(|txn| {
            for step in steps {
                step(&self.map, txn)?;
            }
            tree.put(txn, SCHEMA_KEY, &with_checksum(newest.to_le_bytes().to_vec()))?;
            let digest = digest_of_all(tree, txn)?;
            let seal = Seal { number: self.seal.number + 1, digest, meta: self.seal.meta };
            tree.put(txn, Seal::KEY, &seal.encode())?;
            Ok(seal)
        });
        self.seal = upgraded.map_err(|e| opening(&self.directory, e))?;
        Ok(())
    }

    fn damaged(&self, found: String) -> OpenError {
        OpenError::Damaged { file: self.directory.data_file(), found }
    }
}

/// The commits that are in the log with one part, oldest first, and how much each has.
#[derive(Debug, Default)]
struct Tail {
    commits: VecDeque<(u64, usize)>,
    total: usize,
}

impl Tail {
    /// How many of the oldest commits can go when `new` are added and `limit` are to be kept. Trims in runs: not
    /// every commit touches the log's far end.
    fn surplus(&self, new: usize, limit: usize) -> usize {
        let mut total = self.total + new;
        if total <= limit + limit / 8 {
            return 0;
        }
        let enough = self.commits.iter().take_while(|(_, count)| {
            total -= count;
            total >= limit
        });
        enough.count()
    }

    /// The numbers of the oldest commits.
    fn first(&self, count: usize) -> impl Iterator<Item = u64> {
        self.commits.iter().take(count).map(|(commit, _)| *commit)
    }

    /// Notes a commit, and that the oldest ones are gone.
    fn add(&mut self, commit: u64, new: usize, gone: usize) {
        self.total -= self.commits.drain(..gone).map(|(_, count)| count).sum::<usize>();
        if new > 0 {
            self.total += new;
            self.commits.push_back((commit, new));
        }
    }
}

impl FromIterator<(u64, usize)> for Tail {
    fn from_iter<I: IntoIterator<Item = (u64, usize)>>(commits: I) -> Self {
        let commits: VecDeque<_> = commits.into_iter().collect();
        let total = commits.iter().map(|(_, count)| count).sum();
        Self { commits, total }
    }
}

/// Makes an empty store beside where it belongs and moves it there: a data file is always a whole one.
fn make(directory: &Arc<Directory>) -> Result<(), OpenError> {
    let making = |e| OpenError::io("making a store in", directory.path(), e);
    let beside = directory.path().join("store.new");
    match std::fs::remove_dir_all(&beside) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(making(e)),
        _ => std::fs::create_dir(&beside).map_err(making)?,
    }
    let map = Map::open(&beside, 0, Arc::clone(directory)).map_err(|e| opening(directory, e))?;
    let tree = map.database();
    let written = map.write(|txn| {
        tree.put(txn, SCHEMA_KEY, &with_checksum(SCHEMA.to_le_bytes().to_vec()))?;
        tree.put(txn, Seal::KEY, &Seal { number: 1, ..Seal::default() }.encode())
    });
    written.map_err(|e| opening(directory, e))?;
    drop(map);
    std::fs::rename(crate::directory::data_file(&beside), directory.data_file()).map_err(making)?;
    sync_directory(directory.path()).map_err(making)?;
    std::fs::remove_dir_all(&beside).map_err(making)
}

/// The requests that a batch finished.
fn ends_of(effects: &Effects) -> Vec<(Ticket, Ended)> {
    let told = effects.events.iter().filter_map(LockTable::end_of);
    told.chain(effects.refused.iter().cloned()).collect()
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

    fn record(id: &str) -> (Vec<u8>, Vec<u8>) {
        let key = enhanced_locking_foundation::ResourceKey::new("key").unwrap();
        let owner = enhanced_locking_foundation::OwnerId::new(id).unwrap();
        let id = enhanced_locking_foundation::RequestId::new(id).unwrap();
        let mut table = LockTable::new(TablePolicy::default());
        let request = enhanced_locking_foundation::AcquireRequest::new(key, owner).id(id);
        let ticket = request.ticket();
        table.acquire(request, enhanced_locking_foundation::Timestamp::from_micros(1)).unwrap();
        let value = encode(&Entry::of(&table.stored(&ticket).unwrap())).unwrap();
        (entry_key(&ticket), value)
    }

    #[test]
    fn sound_records_that_are_not_those_of_the_newest_commit_are_reported() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path()).unwrap();
        let (key, value) = record("a");
        let (lost, _) = record("b");
        let seal = |digest| Seal { number: 2, digest, ..Seal::default() };
        store.write(&[(key.clone(), Some(value))], seal).map_err(drop).unwrap();
        drop(store);
        let mut store = open(directory.path()).unwrap();
        store.load(TablePolicy::default()).unwrap();
        // As if the page with another one, or a newer state of this one, had never reached the disk.
        for digest in [digest(&key, b"newer"), store.seal.digest.wrapping_add(digest(&lost, b"lost"))] {
            let tree = store.map.database();
            let seal = Seal { number: store.seal.number + 1, digest, ..store.seal };
            store.map.write(|txn| tree.put(txn, Seal::KEY, &seal.encode())).unwrap();
            drop(store);
            store = open(directory.path()).unwrap();
            let error = store.load(TablePolicy::default()).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("its records are not those of its newest commit"), "{text}");
        }
    }

    #[test]
    fn the_schema_has_a_step_for_every_older_number() {
        assert_eq!(UPGRADES.len(), SCHEMA as usize - 1);
    }
}

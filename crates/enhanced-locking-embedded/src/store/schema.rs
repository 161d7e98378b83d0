//! The schema of the data file. Owns its number, the steps from one to the next, and making an empty store.

use std::io::ErrorKind;
use std::sync::Arc;

use enhanced_locking_foundation::Limits;
use heed::RwTxn;

use super::{Store, opening};
use crate::OpenError;
use crate::directory::{Directory, sync_directory};
use crate::env::Map;
use crate::journal::Journal;
use crate::load::{digest_of_all, read_seal};
use crate::log::Seal;
use crate::record::{SCHEMA_KEY, checked, with_checksum};

/// The schema this version writes.
pub(super) const SCHEMA: u32 = 3;

/// Steps from one schema to the next: the first turns 1 into 2. Run in one transaction with the new schema's number.
pub(super) const UPGRADES: &[Upgrade] = &[
    // 2 has a journal beside the data file; its records are those of 1.
    |_, _| Ok(()),
    // 3 has documents as well; everything else is as in 2.
    |_, _| Ok(()),
];

/// One step of the schema.
pub(super) type Upgrade = fn(&Map, &mut RwTxn<'_>) -> Result<(), heed::Error>;

impl Store {
    /// Brings the records to the newest schema.
    pub(super) fn upgrade(&mut self, found: u32, newest: u32, steps: &[Upgrade]) -> Result<(), OpenError> {
        let Some(steps) = usize::try_from(found).ok().and_then(|f| steps.get(f.checked_sub(1)?..)) else {
            return Err(self.damaged(format!("there is no schema {found}")));
        };
        if found == newest {
            return Ok(());
        }
        // Records of the older schema are upgraded where they all are.
        let story = self.journal.recover(&self.seal)?;
        self.newest = story.newest.unwrap_or(self.newest);
        self.checkpoint(&Limits { events: usize::MAX, finished: usize::MAX, ..Limits::default() })?;
        let tree = self.map.database();
        // The new seal vouches for the records: not for any that the old one does not.
        let digest =
            self.map.read(|txn| digest_of_all(tree, txn)).map_err(|e| opening(&self.directory, e))?;
        if digest != self.seal.digest {
            return Err(self.damaged("its records are not those of its newest commit".to_owned()));
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
        self.newest = (self.seal.number, self.seal.meta);
        Ok(())
    }
}

/// Makes an empty store beside where it belongs and moves it there: a data file is always a whole one.
pub(super) fn make(directory: &Arc<Directory>) -> Result<(), OpenError> {
    let making = |e| OpenError::io("making a store in", directory.path(), e);
    let journal = directory.journal_file();
    // It may have what was answered and is nowhere else.
    if std::fs::symlink_metadata(&journal).is_ok_and(|journal| journal.len() > 0) {
        let found = "the data file it belongs to is missing".to_owned();
        return Err(OpenError::Damaged { file: journal, found });
    }
    Journal::create(&journal)?;
    let beside = directory.path().join("store.new");
    match std::fs::remove_dir_all(&beside) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(making(e)),
        _ => crate::directory::make(&beside)?,
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

/// The schema and the seal, which every schema has.
pub(super) fn read_front(map: &Map, directory: &Directory) -> Result<(u32, Seal), OpenError> {
    let tree = map.database();
    let read = map.read(|txn| Ok((tree.get(txn, SCHEMA_KEY)?.map(<[u8]>::to_vec), read_seal(tree, txn))));
    let (schema, seal) = read.map_err(|e| opening(directory, e))?;
    let damaged = |found| OpenError::Damaged { file: directory.data_file(), found };
    let schema = schema.ok_or_else(|| damaged("it has no schema".to_owned()))?;
    let number = checked(&schema).map_err(|found| damaged(format!("schema: {found}")))?;
    let schema = number.try_into().map(u32::from_le_bytes);
    let schema = schema.map_err(|_| damaged("the schema is not a number".to_owned()))?;
    if schema > SCHEMA {
        return Err(OpenError::Newer { file: directory.data_file(), found: schema, known: SCHEMA });
    }
    Ok((schema, seal.map_err(damaged)?))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn open(path: &Path) -> Result<Store, OpenError> {
        Store::open(Directory::take(path)?, 1 << 20, 1 << 20)
    }

    fn marked(store: &Store) -> Vec<u8> {
        store.map.read(|txn| Ok(store.map.database().get(txn, b"mmark")?.unwrap_or(b"").to_vec())).unwrap()
    }

    fn unused(_: &Map, _: &mut RwTxn<'_>) -> Result<(), heed::Error> {
        unreachable!("the store is beyond it")
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
        store.upgrade(2, 4, &[unused, first_step, second_step]).unwrap();
        assert_eq!(marked(&store), b"two");
        drop(store);
        let refused = open(directory.path()).unwrap_err();
        assert!(matches!(refused, OpenError::Newer { found: 4, known: SCHEMA, .. }), "{refused}");
    }

    #[test]
    fn an_upgrade_that_fails_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = open(directory.path()).unwrap();
        let steps: &[Upgrade] = &[unused, first_step, failing_step];
        assert!(matches!(store.upgrade(2, 4, steps), Err(OpenError::Full { .. })));
        assert_eq!(marked(&store), b"");
        drop(store);
        open(directory.path()).unwrap();
    }

    #[test]
    fn the_schema_has_a_step_for_every_older_number() {
        assert_eq!(UPGRADES.len(), SCHEMA as usize - 1);
    }
}

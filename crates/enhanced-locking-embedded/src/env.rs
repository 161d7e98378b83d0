//! The memory map under the store. Owns the only unsafe calls of the workspace and the rule that the map grows by itself.

use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use heed::types::Bytes;
use heed::{
    CommitOrAbort, CompactionOption, Database, Env, EnvOpenOptions, MdbError, RoTxn, RwTxn, WithoutTls,
};
use parking_lot::RwLock;

use crate::OpenError;
use crate::directory::{Directory, data_file, journal_file, make, private, sync_directory};

/// One LMDB environment with its unnamed database.
///
/// Everything is in the one tree, told apart by the first byte of the key: a commit then touches one root.
#[derive(Debug)]
pub(crate) struct Map {
    env: Env<WithoutTls>,
    database: Database<'static, Bytes, Bytes>,
    /// Held for reading by every transaction, for writing while the map is resized.
    transactions: RwLock<()>,
    /// Nobody else may have the directory while the file is mapped, be it only for a copy that outlives its store.
    _directory: Arc<Directory>,
    #[cfg(test)]
    pub(crate) faults: crate::faults::Faults,
}

impl Map {
    /// Opens or makes the data file in a place that belongs to a directory this process has taken.
    #[expect(unsafe_code, reason = "memory maps are unsafe by nature; the argument is at the call")]
    pub(crate) fn open(place: &Path, size: usize, directory: Arc<Directory>) -> Result<Self, heed::Error> {
        allocate_lock_file(place)?;
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(round_to_page(size)).max_readers(16);
        // SAFETY: the file must not be changed by others while it is mapped. The directory is locked by this
        // process (`Directory::take`), the file was checked before (`pages::verify`), and no flag is set that
        // would let the map be written through or left unsynced.
        let env = unsafe { options.open(place)? };
        let txn = env.write_txn()?;
        let opened = env.create_databases_and_commit(txn, |opener, txn| {
            opener.create_database::<Bytes, Bytes>(txn, None).map(CommitOrAbort::<_, ()>::Commit)
        })?;
        match opened {
            CommitOrAbort::Commit(database) => Ok(Self {
                env,
                database,
                transactions: RwLock::new(()),
                _directory: directory,
                #[cfg(test)]
                faults: crate::faults::Faults::default(),
            }),
            CommitOrAbort::Abort(()) => Err(MdbError::Invalid.into()),
        }
    }

    pub(crate) fn database(&self) -> Database<'static, Bytes, Bytes> {
        self.database
    }

    /// Runs a read transaction.
    pub(crate) fn read<R>(
        &self,
        f: impl FnOnce(&RoTxn<'_>) -> Result<R, heed::Error>,
    ) -> Result<R, heed::Error> {
        #[cfg(test)]
        self.faults.meet(crate::faults::Fault::Unreadable)?;
        let _running = self.transactions.read();
        let txn = self.env.read_txn()?;
        f(&txn)
    }

    /// Runs a write transaction and commits it: on return it is on disk. Grows the map and starts over if it is full.
    pub(crate) fn write<R>(
        &self,
        f: impl Fn(&mut RwTxn<'_>) -> Result<R, heed::Error>,
    ) -> Result<R, heed::Error> {
        #[cfg(test)]
        self.faults.meet(crate::faults::Fault::Unmovable)?;
        loop {
            let result = {
                let _running = self.transactions.read();
                let mut txn = self.env.write_txn()?;
                f(&mut txn).and_then(|result| txn.commit().map(|()| result))
            };
            match result {
                Err(heed::Error::Mdb(MdbError::MapFull)) => self.grow()?,
                // LMDB says this of a write that was cut short, which is what the last one before a full disk is.
                Err(heed::Error::Io(e)) if e.raw_os_error() == Some(EIO) => {
                    return Err(heed::Error::Io(self.try_room().err().unwrap_or(e)));
                }
                result => return result,
            }
        }
    }

    /// Tries whether the file can grow.
    fn try_room(&self) -> std::io::Result<()> {
        let file = self.env.try_clone_inner_file().map_err(std::io::Error::other)?;
        // The only writer asks, and nothing in use is this far out.
        let end = file.metadata()?.len();
        let tried = file.write_all_at(&[0; GRAIN], end);
        file.set_len(end)?;
        tried
    }

    /// Writes a consistent, compacted copy into another directory, while the store goes on.
    pub(crate) fn backup(&self, to: &Path) -> Result<(), OpenError> {
        make(to)?;
        let (file, journal) = (data_file(to), journal_file(to));
        // An empty journal is what a copy that was interrupted leaves.
        for (file, most) in [(&file, None), (&journal, Some(0))] {
            if std::fs::symlink_metadata(file).is_ok_and(|found| Some(found.len()) != most) {
                return Err(OpenError::Exists { file: file.clone() });
            }
        }
        // Under another name until it is whole and on disk: a copy that was interrupted is never taken for one.
        let part = to.join("data.mdb.part");
        let copied = self.copy(&part).and_then(|()| {
            // All there is is in the data file: the journal that goes with it is empty.
            private().truncate(true).open(&journal)?.sync_all()?;
            std::fs::rename(&part, &file)?;
            sync_directory(to)
        });
        copied.map_err(|e| {
            // Best effort: the reason why is what matters.
            let _ = std::fs::remove_file(&part);
            OpenError::io("copying the store to", file, e)
        })
    }

    fn copy(&self, part: &Path) -> std::io::Result<()> {
        let _running = self.transactions.read();
        let mut copied = private().truncate(true).open(part)?;
        self.env.copy_to_file(&mut copied, CompactionOption::Enabled).map_err(|e| match e {
            heed::Error::Io(e) => e,
            other => std::io::Error::other(other),
        })?;
        copied.sync_all()
    }

    #[expect(
        unsafe_code,
        reason = "a map can only be resized by an unsafe call; the argument is at the call"
    )]
    fn grow(&self) -> Result<(), heed::Error> {
        let _alone = self.transactions.write();
        let size = self.env.info().map_size.saturating_mul(2);
        tracing::info!(bytes = size, "the store's map is full and grows");
        // SAFETY: no transaction may be active. Every one holds `transactions` for reading, and it is held for
        // writing here.
        unsafe { self.env.resize(size) }
    }
}

/// Makes sure that LMDB's lock file has its room on disk. LMDB maps it with holes, and writing into a hole on a full
/// disk ends the process.
fn allocate_lock_file(place: &Path) -> std::io::Result<()> {
    const BYTES: u64 = 8 * 1024;
    let file = private().truncate(false).open(place.join("lock.mdb"))?;
    let metadata = file.metadata()?;
    if metadata.len() >= BYTES && metadata.blocks() * 512 >= BYTES {
        return Ok(());
    }
    file.write_all_at(&[0; BYTES as usize], 0)
}

/// Maps are whole pages; 64 KiB is a multiple of every page size in use.
const GRAIN: usize = 64 * 1024;
/// The same number on every Unix; the standard library has no name for it.
const EIO: i32 = 5;

fn round_to_page(size: usize) -> usize {
    size.max(GRAIN).next_multiple_of(GRAIN)
}

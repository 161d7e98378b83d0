//! The memory map under the store. Owns the only unsafe calls of the workspace and the rule that the map grows by itself.

use std::path::Path;

use heed::types::Bytes;
use heed::{
    CommitOrAbort, CompactionOption, Database, Env, EnvOpenOptions, MdbError, RoTxn, RwTxn, WithoutTls,
};
use parking_lot::{RwLock, RwLockReadGuard};

use crate::OpenError;
use crate::directory::data_file;

/// One LMDB environment with its unnamed database.
///
/// Everything is in the one tree, told apart by the first byte of the key: a commit then touches one root.
#[derive(Debug)]
pub(crate) struct Map {
    env: Env<WithoutTls>,
    database: Database<'static, Bytes, Bytes>,
    /// Held for reading by every transaction, for writing while the map is resized.
    transactions: RwLock<()>,
}

impl Map {
    /// Opens or makes the data file of a directory that this process has taken.
    #[expect(unsafe_code, reason = "memory maps are unsafe by nature; the argument is at the call")]
    pub(crate) fn open(directory: &Path, size: usize) -> Result<Self, heed::Error> {
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(round_to_page(size)).max_readers(16);
        // SAFETY: the file must not be changed by others while it is mapped. The directory is locked by this
        // process (`Directory::take`), the file was checked before (`pages::verify`), and no flag is set that
        // would let the map be written through or left unsynced.
        let env = unsafe { options.open(directory)? };
        let txn = env.write_txn()?;
        let opened = env.create_databases_and_commit(txn, |opener, txn| {
            opener.create_database::<Bytes, Bytes>(txn, None).map(CommitOrAbort::<_, ()>::Commit)
        })?;
        match opened {
            CommitOrAbort::Commit(database) => Ok(Self { env, database, transactions: RwLock::new(()) }),
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
        let _running: RwLockReadGuard<'_, ()> = self.transactions.read();
        let txn = self.env.read_txn()?;
        f(&txn)
    }

    /// Runs a write transaction and commits it: on return it is on disk. Grows the map and starts over if it is full.
    pub(crate) fn write(
        &self,
        f: impl Fn(&mut RwTxn<'_>) -> Result<(), heed::Error>,
    ) -> Result<(), heed::Error> {
        loop {
            let result = {
                let _running = self.transactions.read();
                let mut txn = self.env.write_txn()?;
                f(&mut txn).and_then(|()| txn.commit())
            };
            match result {
                Err(heed::Error::Mdb(MdbError::MapFull)) => self.grow()?,
                result => return result,
            }
        }
    }

    /// Writes a consistent, compacted copy into another directory, while the store goes on.
    pub(crate) fn backup(&self, to: &Path) -> Result<(), OpenError> {
        std::fs::create_dir_all(to).map_err(|e| OpenError::io("making the directory", to, e))?;
        let file = data_file(to);
        if file.exists() {
            return Err(OpenError::Exists { file });
        }
        let _running = self.transactions.read();
        self.env.copy_to_path(&file, CompactionOption::Enabled).map(drop).map_err(|e| match e {
            heed::Error::Io(e) => OpenError::io("copying the store to", file, e),
            other => OpenError::io("copying the store to", file, std::io::Error::other(other)),
        })
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

/// Maps are whole pages; 64 KiB is a multiple of every page size in use.
fn round_to_page(size: usize) -> usize {
    const GRAIN: usize = 64 * 1024;
    size.max(GRAIN).next_multiple_of(GRAIN)
}

//! The data directory. Owns its layout and the rule that one process at a time has it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::OpenError;

/// A data directory that this process alone may use, until it is dropped.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// Locked as long as it is open; the system lets go of it however the process ends.
    _lock: File,
}

impl Directory {
    /// Makes the directory if it is missing and takes it.
    pub(crate) fn take(path: &Path) -> Result<Self, OpenError> {
        make(path)?;
        let lock_path = path.join("process.lock");
        let open = private().truncate(false).open(&lock_path);
        let mut lock = open.map_err(|e| OpenError::io("opening the lock file in", path, e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // Only for the message; whoever holds it is named as well as can be.
                let _ = lock.read_to_string(&mut pid);
                let pid = pid.trim();
                let holder =
                    if pid.is_empty() { "another process".to_owned() } else { format!("process {pid}") };
                return Err(OpenError::InUse { directory: path.to_owned(), holder });
            }
            Err(TryLockError::Error(e)) => return Err(OpenError::io("locking", lock_path, e)),
        }
        // Only for the message another process gives: a full disk is no reason not to open.
        let _ = lock
            .set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()));
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is a store in it.
    pub(crate) fn has_data(&self) -> Result<bool, OpenError> {
        let file = self.data_file();
        // A link that leads nowhere is there: what it should lead to is missing, which must not look like a new store.
        match std::fs::symlink_metadata(&file) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(OpenError::io("looking at", file, e)),
        }
    }

    /// The file with the data.
    pub(crate) fn data_file(&self) -> PathBuf {
        data_file(&self.path)
    }

    /// The file with the commits that are not in the data file yet.
    pub(crate) fn journal_file(&self) -> PathBuf {
        journal_file(&self.path)
    }
}

/// Makes a directory and those above it, for this user alone: owners, users and labels are nobody else's business.
/// One that is there stays as it is.
pub(crate) fn make(path: &Path) -> Result<(), OpenError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|e| match std::fs::metadata(path) {
        Ok(found) if !found.is_dir() => OpenError::NotADirectory { path: path.to_owned() },
        _ => OpenError::io("making the directory", path, e),
    })
}

/// Opens a file for reading and writing; if it is missing, it is made for this user alone.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    options
}

/// The data file of a directory.
pub(crate) fn data_file(directory: &Path) -> PathBuf {
    directory.join("data.mdb")
}

/// The journal of a directory.
pub(crate) fn journal_file(directory: &Path) -> PathBuf {
    directory.join("journal")
}

/// Makes what was moved into a directory stay there.
pub(crate) fn sync_directory(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

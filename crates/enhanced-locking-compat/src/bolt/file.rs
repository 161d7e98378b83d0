//! A bolt file, open for reading. Owns the file, the lock that shows whether Atlantis runs, and finding buckets.

use std::fs::{File, TryLockError};
use std::io::Read;
use std::path::Path;

use super::bucket;
use super::error::{BoltError, Damage};
use super::meta;
use super::page::Pages;
use super::records::Records;
use super::walk::{Bucket, Entries};
use crate::record::{CommandLock, ProjectLock, PullStatus, Record};

/// The `atlantis.db` of an Atlantis that does not run.
///
/// The file is in memory from the beginning, so that reading sees one state of it. As long as this lives, the file is
/// locked against writers: an Atlantis that starts meanwhile waits a second and gives up.
///
/// ```no_run
/// use enhanced_locking_compat::bolt::BoltFile;
/// let file = BoltFile::open("atlantis.db")?;
/// let (locks, damaged): (Vec<_>, Vec<_>) = file.locks()?.partition(Result::is_ok);
/// println!("{} locks, {} damaged", locks.len(), damaged.len());
/// # Ok::<(), enhanced_locking_compat::bolt::BoltError>(())
/// ```
pub struct BoltFile {
    bytes: Vec<u8>,
    chosen: meta::Chosen,
    /// Held, not used: the lock ends with it.
    _locked: Option<File>,
}

impl BoltFile {
    /// The largest file that is read, in bytes: 2 GiB, which is more locks than there are projects anywhere.
    pub const BYTES_MAX: u64 = 2 << 30;

    /// Opens a file for reading, and refuses it as long as somebody has it open for writing. Never waits.
    ///
    /// # Errors
    /// [`BoltError`] if Atlantis still runs, or if nothing can be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, BoltError> {
        let path = path.as_ref();
        let open = |source| BoltError::Open { path: path.to_owned(), source };
        // Asked before it is opened, because opening a pipe waits for somebody to write to it.
        let metadata = std::fs::metadata(path).map_err(open)?;
        if !metadata.is_file() {
            return Err(BoltError::NotAFile { path: path.to_owned() });
        }
        if metadata.len() > Self::BYTES_MAX {
            return Err(BoltError::TooLong { max: Self::BYTES_MAX });
        }
        let file = File::open(path).map_err(open)?;
        // Atlantis locks the file with flock as long as it runs, which is what the standard library uses as well.
        file.try_lock_shared().map_err(|error| match error {
            TryLockError::WouldBlock => BoltError::InUse { path: path.to_owned() },
            TryLockError::Error(source) => BoltError::Lock { path: path.to_owned(), source },
        })?;
        let mut bytes = Vec::new();
        // It may have grown since.
        let read = (&file).take(Self::BYTES_MAX + 1).read_to_end(&mut bytes);
        read.map_err(|source| BoltError::Read { path: path.to_owned(), source })?;
        Ok(Self { _locked: Some(file), ..Self::from_bytes(bytes)? })
    }

    /// Reads a file that is in memory.
    ///
    /// # Errors
    /// [`BoltError`] if nothing can be read.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, BoltError> {
        if bytes.is_empty() {
            return Err(BoltError::Empty);
        }
        if u64::try_from(bytes.len()).is_ok_and(|len| len > Self::BYTES_MAX) {
            return Err(BoltError::TooLong { max: Self::BYTES_MAX });
        }
        Ok(Self { chosen: meta::choose(&bytes)?, bytes, _locked: None })
    }

    /// Whether the last write of Atlantis may be missing: one of the two pages that describe the file is damaged, and
    /// nobody can tell whether it was the newer one. Atlantis would go on from here without a word.
    #[must_use]
    pub fn may_be_behind(&self) -> bool {
        self.chosen.alone
    }

    /// The names of the buckets.
    pub fn buckets(&self) -> impl Iterator<Item = Result<&[u8], Damage>> {
        self.roots().map(|root| root.map(|(name, _)| name))
    }

    /// All entries of a bucket.
    ///
    /// # Errors
    /// [`BoltError::NoBucket`] if it is not there. If it may be on a damaged part, there are no entries, and the damage
    /// is among them.
    pub fn entries(&self, bucket: &str) -> Result<Entries<'_>, BoltError> {
        self.walk(bucket, true)
    }

    /// The locks on projects.
    ///
    /// # Errors
    /// As [`entries`](Self::entries): then the file is not Atlantis', or its name is damaged.
    pub fn locks(&self) -> Result<Records<'_, ProjectLock>, BoltError> {
        self.records(bucket::LOCKS)
    }

    /// The locks on commands.
    ///
    /// # Errors
    /// As [`locks`](Self::locks).
    pub fn command_locks(&self) -> Result<Records<'_, CommandLock>, BoltError> {
        self.records(bucket::COMMANDS)
    }

    /// The statuses of pull requests.
    ///
    /// # Errors
    /// As [`locks`](Self::locks).
    pub fn pull_statuses(&self) -> Result<Records<'_, PullStatus>, BoltError> {
        self.records(bucket::PULLS)
    }

    fn records<T: Record>(&self, bucket: &'static str) -> Result<Records<'_, T>, BoltError> {
        Ok(Records::new(bucket, self.walk(bucket, false)?))
    }

    fn pages(&self) -> Pages<'_> {
        let meta = &self.chosen.meta;
        Pages { bytes: &self.bytes, page_bytes: meta.page_bytes, count: meta.pages, root: meta.root }
    }

    /// The names of the buckets, and where they are.
    fn roots(&self) -> impl Iterator<Item = Result<(&[u8], Bucket<'_>), Damage>> {
        let pages = self.pages();
        let all = Entries::new(pages, Some(Bucket::Root(pages.root)), Vec::new(), false);
        all.map(|entry| {
            let entry = entry?;
            Ok((entry.key, Bucket::of(&entry)?))
        })
    }

    fn walk(&self, name: &str, enters: bool) -> Result<Entries<'_>, BoltError> {
        let mut damages = Vec::new();
        for root in self.roots() {
            match root {
                Ok((found, bucket)) if found == name.as_bytes() => {
                    return Ok(Entries::new(self.pages(), Some(bucket), Vec::new(), enters));
                }
                Ok(_) => {}
                Err(damage) => damages.push(damage),
            }
        }
        if damages.is_empty() {
            return Err(BoltError::NoBucket { name: name.to_owned() });
        }
        // It may have been there, and is not called missing.
        Ok(Entries::new(self.pages(), None, damages, enters))
    }
}

impl std::fmt::Debug for BoltFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (bytes, meta) = (self.bytes.len(), &self.chosen.meta);
        f.debug_struct("BoltFile").field("bytes", &bytes).field("meta", meta).finish_non_exhaustive()
    }
}

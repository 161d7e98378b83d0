//! The journal: a file to which every commit is appended and synced before it is answered. Owns that write; the form is `frame`'s, when to start over is the store's.
//!
//! One write of a whole frame and one sync make a commit durable. The file keeps its size and is written over from
//! its beginning after a checkpoint: writing where blocks are allocated already is what makes a sync cheap.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::OpenError;
use crate::directory::{private, sync_directory};
use crate::frame::{self, Body, Story};
use crate::log::Seal;

/// By how much the file grows at least.
const GROWTH: u64 = 256 * 1024;
/// By how much it grows at most: twice as large each time, until then.
const MAX_GROWTH: u64 = 4 * 1024 * 1024;

/// The longest body, in bytes: lengths in a frame have 32 bits.
const MAX_BODY: usize = 1 << 30;

/// Where a journal is written to.
pub(crate) trait Medium {
    /// Writes all of it, or fails.
    fn write(&self, bytes: &[u8], at: u64) -> std::io::Result<()>;

    /// Returns once all that was written is on disk.
    fn sync(&self) -> std::io::Result<()>;

    /// Everything that was written, on disk or not; at most so many bytes.
    fn read(&self, most: u64) -> std::io::Result<Vec<u8>>;

    /// Cuts off what is beyond a size.
    fn truncate(&self, size: u64) -> std::io::Result<()>;
}

/// A journal, as its only writer sees it.
#[derive(Debug)]
pub(crate) struct Journal<M = File> {
    medium: M,
    path: PathBuf,
    /// Where the next frame goes.
    end: u64,
    /// The size of the file.
    size: u64,
    /// The frame being written; kept for its allocation.
    frame: Vec<u8>,
    #[cfg(test)]
    pub(crate) faults: crate::faults::Faults,
}

impl Journal {
    /// Makes an empty one, in place of any that is there.
    pub(crate) fn create(path: &Path) -> Result<Self, OpenError> {
        let file = private().truncate(true).open(path);
        let file = file.map_err(|e| OpenError::io("making", path, e))?;
        let synced = file.sync_all().and_then(|()| path.parent().map_or(Ok(()), sync_directory));
        synced.map_err(|e| OpenError::io("making", path, e))?;
        Ok(Self::new(file, path, 0))
    }

    /// Opens one, if it is there.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, OpenError> {
        let reading = |e| OpenError::io("opening", path, e);
        // Not by opening it: that would wait for the other end of a pipe.
        let size = match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            Ok(_) => {
                return Err(OpenError::Damaged { file: path.to_owned(), found: "it is no file".to_owned() });
            }
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(reading(e)),
        };
        let file = File::options().read(true).write(true).open(path).map_err(reading)?;
        Ok(Some(Self::new(file, path, size)))
    }
}

impl<M: Medium> Journal<M> {
    fn new(medium: M, path: &Path, size: u64) -> Self {
        Self {
            medium,
            path: path.to_owned(),
            end: 0,
            size,
            frame: Vec::new(),
            #[cfg(test)]
            faults: crate::faults::Faults::default(),
        }
    }

    /// Reads what it says after the data file with this seal, makes that certain, and goes on behind it.
    ///
    /// The newest frame may be in the system's memory only, written by a process that was killed before it was on disk:
    /// whoever reads it here will answer by it. The remains of a torn one are removed: another one with its number must
    /// not be mixed with them.
    ///
    /// # Errors
    /// [`OpenError::Damaged`], or what the system said.
    pub(crate) fn recover(&mut self, seal: &Seal) -> Result<Story, OpenError> {
        let bytes = self.read(u64::MAX)?;
        let story = self.understand(bytes.clone(), seal)?;
        // Written again and not only synced: after a sync that failed, the system may take the old write for done.
        let newest = bytes.get(story.last..story.end).unwrap_or_default();
        let rewritten = if newest.is_empty() { Ok(()) } else { self.medium.write(newest, story.last as u64) };
        let secured = rewritten
            .and_then(|()| self.wipe(story.end as u64, story.torn as u64))
            .and_then(|()| if newest.is_empty() { Ok(()) } else { self.medium.sync() });
        secured.map_err(|e| OpenError::io("writing to", &self.path, e))?;
        self.end = story.end as u64;
        Ok(story)
    }

    /// Reads what was appended since the data file with this seal, of which the newest must be this commit.
    ///
    /// # Errors
    /// [`OpenError::Damaged`], or what the system said.
    pub(crate) fn replay(&self, seal: &Seal, newest: u64) -> Result<Story, OpenError> {
        let story = self.understand(self.read(self.end)?, seal)?;
        match story.newest {
            Some((number, _)) if number == newest => Ok(story),
            found => Err(OpenError::Damaged {
                file: self.path.clone(),
                found: format!(
                    "it ends with commit {:?}, and {newest} was answered",
                    found.map(|(number, _)| number)
                ),
            }),
        }
    }

    /// Gets the frame of a commit ready, and the room for it. Nothing that is read changes.
    ///
    /// # Errors
    /// What the system said.
    pub(crate) fn prepare(&mut self, number: u64, base: u64, body: &Body) -> std::io::Result<()> {
        if body.len() > MAX_BODY {
            let text = format!("{} bytes are too many for one commit; do less at once", body.len());
            return Err(std::io::Error::other(text));
        }
        frame::encode(number, base, body, &mut self.frame);
        self.grow(self.end + self.frame.len() as u64)
    }

    /// Appends the frame that is ready. On return it is on disk.
    ///
    /// # Errors
    /// What the system said. What is on disk then is unknown, until [`retract`](Self::retract) has worked.
    pub(crate) fn append(&mut self) -> std::io::Result<()> {
        #[cfg(test)]
        self.faults.meet(crate::faults::Fault::Refused)?;
        let end = self.end + self.frame.len() as u64;
        self.medium.write(&self.frame, self.end)?;
        self.medium.sync()?;
        #[cfg(test)]
        self.faults.meet(crate::faults::Fault::Happened)?;
        self.end = end;
        Ok(())
    }

    /// Makes sure that a frame whose append failed is not on disk.
    ///
    /// # Errors
    /// What the system said. The frame may be there, or come to be there.
    pub(crate) fn retract(&mut self) -> std::io::Result<()> {
        #[cfg(test)]
        self.faults.meet(crate::faults::Fault::Irrevocable)?;
        let end = (self.end + self.frame.len() as u64).min(self.size);
        self.wipe(self.end, end)
    }

    /// Starts over. Only once all it says is in the data file. Keeps about so many bytes of the file.
    pub(crate) fn restart(&mut self, keep: u64) {
        self.end = 0;
        self.frame.clear();
        self.frame.shrink_to(usize::try_from(GROWTH).unwrap_or_default());
        let keep = keep.max(GROWTH).next_multiple_of(GROWTH);
        if self.size > keep * 2 {
            match self.medium.truncate(keep) {
                Ok(()) => self.size = keep,
                Err(error) => tracing::warn!(%error, "the journal is longer than it need be, and stays so"),
            }
        }
    }

    /// How much it says, in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.end
    }

    fn read(&self, most: u64) -> Result<Vec<u8>, OpenError> {
        self.medium.read(most).map_err(|e| OpenError::io("reading", &self.path, e))
    }

    fn understand(&self, bytes: Vec<u8>, seal: &Seal) -> Result<Story, OpenError> {
        Story::read(bytes, seal).map_err(|found| OpenError::Damaged { file: self.path.clone(), found })
    }

    fn wipe(&self, from: u64, to: u64) -> std::io::Result<()> {
        if from >= to {
            return Ok(());
        }
        let zeros = vec![0; usize::try_from(to - from).map_err(std::io::Error::other)?];
        self.medium.write(&zeros, from)?;
        self.medium.sync()
    }

    /// Writes zeros up to a size ahead, once: later syncs need not wait for the file system's own records. By much at
    /// a time, because the next sync does wait for them.
    fn grow(&mut self, needed: u64) -> std::io::Result<()> {
        if self.size >= needed {
            return Ok(());
        }
        let least = needed.next_multiple_of(GROWTH);
        let size = least.max(self.size + self.size.min(MAX_GROWTH));
        // A disk that is almost full may have room for what is needed.
        self.extend(size).or_else(|_| self.extend(least))
    }

    fn extend(&mut self, size: u64) -> std::io::Result<()> {
        let zeros = vec![0; usize::try_from(size - self.size).map_err(std::io::Error::other)?];
        self.medium.write(&zeros, self.size)?;
        self.size = size;
        Ok(())
    }
}

impl Medium for File {
    fn write(&self, bytes: &[u8], at: u64) -> std::io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn sync(&self) -> std::io::Result<()> {
        self.sync_data()
    }

    fn read(&self, most: u64) -> std::io::Result<Vec<u8>> {
        let length = self.metadata()?.len().min(most);
        let mut bytes = vec![0; usize::try_from(length).map_err(std::io::Error::other)?];
        self.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    fn truncate(&self, size: u64) -> std::io::Result<()> {
        self.set_len(size)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use enhanced_locking_core::TableMeta;
    use proptest::prelude::*;

    use super::*;
    use crate::frame::BLOCK;

    /// A disk with a cache: what was not synced is lost with the power, block by block, or not.
    #[derive(Debug, Default)]
    struct Disk {
        synced: RefCell<Vec<u8>>,
        cached: RefCell<Vec<u8>>,
        /// How many more writes and syncs work.
        works: RefCell<usize>,
    }

    impl Disk {
        fn step(&self) -> std::io::Result<()> {
            let mut works = self.works.borrow_mut();
            *works = works.checked_sub(1).ok_or(std::io::ErrorKind::StorageFull)?;
            Ok(())
        }

        /// What is left when the power fails: of the blocks that were not synced, those that arrived.
        fn lose_power(&self, arrived: &[bool]) -> Self {
            let (cached, mut left) = (self.cached.borrow(), self.synced.borrow().clone());
            left.resize(cached.len(), 0);
            for (index, block) in cached.chunks(BLOCK).enumerate() {
                if arrived[index % arrived.len()] {
                    left[index * BLOCK..][..block.len()].copy_from_slice(block);
                }
            }
            Self { synced: left.clone().into(), cached: left.into(), works: usize::MAX.into() }
        }
    }

    impl Medium for Disk {
        fn write(&self, bytes: &[u8], at: u64) -> std::io::Result<()> {
            let at = usize::try_from(at).unwrap();
            let mut cached = self.cached.borrow_mut();
            let length = cached.len().max(at + bytes.len());
            cached.resize(length, 0);
            let stepped = self.step();
            // A write that fails may have done its first half. Systems stop at the border of a page.
            let done = if stepped.is_ok() { bytes.len() } else { bytes.len() / 2 / BLOCK * BLOCK };
            cached[at..at + done].copy_from_slice(&bytes[..done]);
            stepped
        }

        fn sync(&self) -> std::io::Result<()> {
            self.step()?;
            self.synced.borrow_mut().clone_from(&self.cached.borrow());
            Ok(())
        }

        fn read(&self, most: u64) -> std::io::Result<Vec<u8>> {
            let cached = self.cached.borrow();
            Ok(cached[..cached.len().min(usize::try_from(most).unwrap_or(usize::MAX))].to_vec())
        }

        fn truncate(&self, size: u64) -> std::io::Result<()> {
            self.step()?;
            self.cached.borrow_mut().truncate(usize::try_from(size).unwrap());
            Ok(())
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// A commit of so many bytes.
        Commit(usize),
        /// A commit during which only so many writes and syncs work, and then all do again.
        Fail(usize, usize),
        Checkpoint,
        /// The process is killed in the middle of a commit of so many bytes; what it wrote stays in the cache.
        Kill(usize, usize),
        LosePower(Vec<bool>),
        /// It fails in the middle of a commit of so many bytes.
        LosePowerIn(usize, usize, Vec<bool>),
    }

    fn step() -> impl Strategy<Value = Step> {
        let arrived = || prop::collection::vec(any::<bool>(), 1..9);
        prop_oneof![
            6 => (0usize..2_000).prop_map(Step::Commit),
            2 => (0usize..2_000, 0usize..4).prop_map(|(bytes, works)| Step::Fail(bytes, works)),
            1 => Just(Step::Checkpoint),
            2 => (0usize..2_000, 0usize..4).prop_map(|(bytes, works)| Step::Kill(bytes, works)),
            1 => arrived().prop_map(Step::LosePower),
            2 => (0usize..2_000, 0usize..4, arrived()).prop_map(|(b, w, a)| Step::LosePowerIn(b, w, a)),
        ]
    }

    /// Tells, if it fails, whether it was in writing the frame.
    fn commit(journal: &mut Journal<Disk>, number: u64, seal: &Seal, bytes: usize) -> Result<(), bool> {
        let mut body = Body::default();
        body.begin(&TableMeta::default());
        let value = (number, vec![7u8; bytes]);
        body.put(|key| key.extend(b"last"), |to| to.extend(postcard::to_allocvec(&value).unwrap()));
        journal.prepare(number, seal.digest, &body).map_err(|_| false)?;
        journal.append().map_err(|_| true)
    }

    proptest! {
        #[test]
        fn what_was_answered_survives_every_loss_of_power_and_what_failed_does_not(
            steps in prop::collection::vec(step(), 1..40),
        ) {
            let path = Path::new("journal");
            let medium = Disk { works: usize::MAX.into(), ..Disk::default() };
            let mut journal = Journal::new(medium, path, 0);
            let mut seal = Seal::default();
            let mut newest = 0;
            for step in steps {
                // Whether a commit that was not answered may be there all the same.
                let mut open = false;
                let number = newest + 1;
                let lost = match step {
                    Step::Commit(bytes) => {
                        commit(&mut journal, number, &seal, bytes).unwrap();
                        newest = number;
                        None
                    }
                    Step::Fail(bytes, works) => {
                        journal.medium.works.replace(works);
                        let failed = commit(&mut journal, number, &seal, bytes).err();
                        journal.medium.works.replace(usize::MAX);
                        match failed {
                            None => newest = number,
                            Some(in_append) => {
                                if in_append {
                                    journal.retract().unwrap();
                                }
                            }
                        }
                        None
                    }
                    Step::Checkpoint => {
                        if newest > seal.number {
                            journal.replay(&seal, newest).unwrap();
                        }
                        seal = Seal { number: newest, digest: seal.digest + 1, ..seal };
                        journal.restart(0);
                        None
                    }
                    Step::Kill(bytes, works) => {
                        journal.medium.works.replace(works);
                        match commit(&mut journal, number, &seal, bytes) {
                            Ok(()) => newest = number,
                            Err(_) => open = true,
                        }
                        journal.medium.works.replace(usize::MAX);
                        let size = journal.medium.cached.borrow().len() as u64;
                        journal = Journal::new(journal.medium, path, size);
                        None
                    }
                    Step::LosePower(arrived) => Some(arrived),
                    Step::LosePowerIn(bytes, works, arrived) => {
                        journal.medium.works.replace(works);
                        match commit(&mut journal, number, &seal, bytes) {
                            Ok(()) => newest = number,
                            Err(_) => open = true,
                        }
                        Some(arrived)
                    }
                };
                if let Some(arrived) = lost {
                    let medium = journal.medium.lose_power(&arrived);
                    let size = medium.cached.borrow().len() as u64;
                    journal = Journal::new(medium, path, size);
                }
                let story = journal.recover(&seal).unwrap();
                let found = story.newest.map_or(seal.number, |(number, _)| number);
                prop_assert!(found == newest || (open && found == number), "{found} instead of {newest}");
                newest = found;
            }
        }
    }
}

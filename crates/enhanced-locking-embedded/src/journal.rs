//! The journal: a file to which every commit is appended and synced before it is answered. Owns that write; the form is `frame`'s, when to start over is the store's.
//!
//! One write of a whole frame and one sync make a commit durable. The file keeps its size and is written over from
//! its beginning after a checkpoint: writing where blocks are allocated already is what makes a sync cheap.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::OpenError;
use crate::frame::{self, Body, Story};
use crate::log::Seal;

/// By how much the file grows.
const GROWTH: u64 = 256 * 1024;

/// Where a journal is written to.
pub(crate) trait Medium {
    /// Writes all of it, or fails.
    fn write(&self, bytes: &[u8], at: u64) -> std::io::Result<()>;

    /// Returns once all that was written is on disk.
    fn sync(&self) -> std::io::Result<()>;

    /// Everything that was written, on disk or not.
    fn read(&self) -> std::io::Result<Vec<u8>>;
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
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(true).open(path);
        let file = file.map_err(|e| OpenError::io("making", path, e))?;
        file.sync_all().map_err(|e| OpenError::io("making", path, e))?;
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

    /// Reads what it says after the data file with this seal, and takes its end from it.
    ///
    /// # Errors
    /// [`OpenError::Damaged`], or what the system said.
    pub(crate) fn read(&mut self, seal: &Seal) -> Result<Story, OpenError> {
        let bytes = self.medium.read().map_err(|e| OpenError::io("reading", &self.path, e))?;
        let story = Story::read(&bytes, seal)
            .map_err(|found| OpenError::Damaged { file: self.path.clone(), found })?;
        self.end = story.end as u64;
        Ok(story)
    }

    /// Removes the remains of a torn frame: another one with its number may not be mixed with them.
    pub(crate) fn mend(&mut self, story: &Story) -> Result<(), OpenError> {
        let torn = (story.end as u64, story.torn as u64);
        self.wipe(torn.0, torn.1).map_err(|e| OpenError::io("writing to", &self.path, e))
    }

    /// Appends the frame of a commit. On return it is on disk.
    ///
    /// # Errors
    /// What the system said. What is on disk then is unknown, until [`retract`](Self::retract) has worked.
    pub(crate) fn append(&mut self, number: u64, base: u64, body: &Body) -> std::io::Result<()> {
        #[cfg(test)]
        self.faults.meet(crate::faults::Fault::Refused)?;
        frame::encode(number, base, body, &mut self.frame);
        let end = self.end + self.frame.len() as u64;
        self.grow(end)?;
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

    /// Starts over. Only once all it says is in the data file.
    pub(crate) fn restart(&mut self) {
        self.end = 0;
    }

    /// How much it says, in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.end
    }

    fn wipe(&self, from: u64, to: u64) -> std::io::Result<()> {
        if from >= to {
            return Ok(());
        }
        let zeros = vec![0; usize::try_from(to - from).map_err(std::io::Error::other)?];
        self.medium.write(&zeros, from)?;
        self.medium.sync()
    }

    /// Writes zeros up to a size ahead, once: later syncs need not wait for the file system's own records.
    fn grow(&mut self, needed: u64) -> std::io::Result<()> {
        while self.size < needed {
            let size = (self.size + 1).next_multiple_of(GROWTH);
            let zeros = vec![0; usize::try_from(size - self.size).map_err(std::io::Error::other)?];
            self.medium.write(&zeros, self.size)?;
            self.size = size;
        }
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

    fn read(&self) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.metadata()?.len()).map_err(std::io::Error::other)?];
        self.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
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

        fn read(&self) -> std::io::Result<Vec<u8>> {
            Ok(self.cached.borrow().clone())
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// A commit of so many bytes.
        Commit(usize),
        /// A commit during which only so many writes and syncs work, and then all do again.
        Fail(usize, usize),
        Checkpoint,
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
            1 => arrived().prop_map(Step::LosePower),
            2 => (0usize..2_000, 0usize..4, arrived()).prop_map(|(b, w, a)| Step::LosePowerIn(b, w, a)),
        ]
    }

    fn body(bytes: usize, number: u64) -> Body {
        let mut body = Body::default();
        body.begin(&TableMeta::default());
        body.put(|key| key.extend(b"last"), &(number, vec![7u8; bytes])).unwrap();
        body
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
                        journal.append(number, seal.digest, &body(bytes, number)).unwrap();
                        newest = number;
                        None
                    }
                    Step::Fail(bytes, works) => {
                        journal.medium.works.replace(works);
                        let appended = journal.append(number, seal.digest, &body(bytes, number));
                        journal.medium.works.replace(usize::MAX);
                        match appended {
                            Ok(()) => newest = number,
                            Err(_) => journal.retract().unwrap(),
                        }
                        None
                    }
                    Step::Checkpoint => {
                        seal = Seal { number: newest, digest: seal.digest + 1, ..seal };
                        journal.restart();
                        None
                    }
                    Step::LosePower(arrived) => Some(arrived),
                    Step::LosePowerIn(bytes, works, arrived) => {
                        journal.medium.works.replace(works);
                        let appended = journal.append(number, seal.digest, &body(bytes, number));
                        match appended {
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
                let story = journal.read(&seal).unwrap();
                let found = story.newest.map_or(seal.number, |(number, _)| number);
                prop_assert!(found == newest || (open && found == number), "{found} instead of {newest}");
                newest = found;
                journal.mend(&story).unwrap();
            }
        }
    }
}

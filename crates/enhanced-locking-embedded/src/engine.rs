//! The engine of the embedded store: how changes reach the writer and how reads see only what is on disk. Owns neither files nor rules.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, unbounded};
use enhanced_locking_core::backend::Engine;
use enhanced_locking_core::{Feed, LockTable};
use enhanced_locking_foundation::{BackendError, BackendInfo, Durability, SteadyClock, Timestamp};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, oneshot, watch};

use crate::directory::{Directory, data_file};
use crate::env::Map;
use crate::shared::{Onward, Progress, Shared, lost};
use crate::slot::ask;
use crate::store::Store;
use crate::writer::{Message, Writer};
use crate::{EmbeddedConfig, OpenError};

/// The most changes under way: callers beyond wait their turn.
const MAX_IN_FLIGHT: usize = 8_192;

/// A table behind a writer thread.
#[derive(Debug)]
pub struct EmbeddedEngine {
    shared: Arc<Shared>,
    jobs: Sender<Message>,
    /// The map belongs to the writer, so that closing lets go of it; copies borrow it.
    map: Weak<Map>,
    writer: Mutex<Option<JoinHandle<()>>>,
    directory: PathBuf,
}

impl EmbeddedEngine {
    pub(crate) fn open(config: EmbeddedConfig) -> Result<Self, OpenError> {
        let EmbeddedConfig { directory, policy, map_size, journal_size, clock } = config;
        let mut store = Store::open(Directory::take(&directory)?, map_size, journal_size)?;
        let mut loaded = store.load(policy)?;
        let meta = loaded.table.meta();
        let clock = Onward::new(clock.unwrap_or_else(|| Arc::new(SteadyClock::new())), meta.time);
        loaded.table.resume(clock.now());
        let feed = Feed::new(policy.limits.events, meta.last_event);
        feed.reset(loaded.events, meta.last_event);
        let shared = Arc::new(Shared {
            table: RwLock::new(loaded.table),
            progress: watch::Sender::new(Progress::default()),
            room: Semaphore::new(MAX_IN_FLIGHT),
            feed,
            clock,
        });
        // Bounded by the permits. Not by the channel: a bounded one keeps what is sent while the writer stops, and its
        // senders would wait for ever; this one drops it, which answers them.
        let (sender, receiver) = unbounded();
        let map = store.map();
        let mut writer = Writer::new(store, Arc::clone(&shared), receiver, journal_size);
        writer.settle_opening()?;
        let writer = writer.spawn().map_err(|e| OpenError::io("starting the writer of", &directory, e))?;
        Ok(Self { shared, jobs: sender, map, writer: Mutex::new(Some(writer)), directory })
    }

    /// Writes a consistent, compacted copy of the store into another directory, while it goes on. Opening that
    /// directory is restoring it.
    ///
    /// # Errors
    /// [`OpenError`] if the copy cannot be written, or there is a store already.
    pub async fn backup(&self, to: &Path) -> Result<(), OpenError> {
        let closed =
            || OpenError::io("copying", &self.directory, std::io::Error::other("the store is closed"));
        let (done, moved) = oneshot::channel();
        self.jobs.send(Message::Checkpoint(done)).map_err(|_| closed())?;
        moved.await.map_err(|_| closed())??;
        let map = self.map.upgrade().ok_or_else(closed)?;
        let to = to.to_owned();
        let file = data_file(&to);
        let copy = tokio::task::spawn_blocking(move || map.backup(&to));
        copy.await.unwrap_or_else(|e| Err(OpenError::io("copying to", file, std::io::Error::other(e))))
    }
}

#[cfg(test)]
impl EmbeddedEngine {
    /// The map, to plant faults in.
    pub(crate) fn map(&self) -> Option<Arc<Map>> {
        self.map.upgrade()
    }
}

impl Drop for EmbeddedEngine {
    fn drop(&mut self) {
        // Whoever opens the directory next must find it free: wait for the writer, at most for one commit and one checkpoint.
        let (done, _) = oneshot::channel();
        let _ = self.jobs.send(Message::Stop(done));
        if let Some(writer) = self.writer.lock().take() {
            let _ = writer.join();
        }
    }
}

impl Engine for EmbeddedEngine {
    fn info(&self) -> BackendInfo {
        BackendInfo {
            name: "embedded",
            location: self.directory.display().to_string(),
            durability: Durability::Durable,
        }
    }

    async fn submit<R: Send + 'static>(
        &self,
        change: impl FnOnce(&mut LockTable, Timestamp) -> R + Send + 'static,
    ) -> Result<R, BackendError> {
        // The place goes with the change, and the writer gives it back: a caller that goes away leaves both behind.
        self.shared.room.acquire().await.map_err(|_| self.shared.gone())?.forget();
        let (job, answer) = ask(change);
        self.jobs.send(Message::Change(job)).map_err(|_| self.shared.gone())?;
        answer.await.unwrap_or_else(|| Err(self.shared.unanswered()))
    }

    async fn read<R: Send>(
        &self,
        question: impl Fn(&LockTable, Timestamp) -> R + Send,
    ) -> Result<R, BackendError> {
        loop {
            let (seen, answer) = {
                let table = self.shared.table.read();
                (*self.shared.progress.borrow(), question(&table, self.shared.clock.now()))
            };
            if let Some(end) = seen.end {
                return Err(end.error());
            }
            if seen.settled == seen.applied {
                return Ok(answer);
            }
            // The answer may tell of a batch that is not on disk yet: it counts once that one is settled.
            let mut progress = self.shared.progress.subscribe();
            let settled = progress
                .wait_for(|progress| progress.settled >= seen.applied || progress.end.is_some())
                .await;
            let settled = *settled.map_err(|_| lost())?;
            if settled.settled >= seen.applied && settled.failed < seen.applied {
                return Ok(answer);
            }
        }
    }

    fn feed(&self) -> &Feed {
        &self.shared.feed
    }

    async fn close(&self) -> Result<(), BackendError> {
        self.shared.room.close();
        let (done, stopped) = oneshot::channel();
        // A writer that is gone already has let go of the files.
        if self.jobs.send(Message::Stop(done)).is_ok() {
            let _ = stopped.await;
        }
        Ok(())
    }
}

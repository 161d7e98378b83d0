//! The writer thread: the only one that changes the table. Owns batching and the rule that answers come after the commit.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::Receiver;
use enhanced_locking_core::{Effects, Feed, LockTable};
use enhanced_locking_foundation::{BackendError, BackendErrorKind, Clock, Timestamp};
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::OpenError;
use crate::store::{CommitError, Store};

/// The most changes that share one commit: bounds the time the first of them waits for the others.
const MAX_BATCH: usize = 4_096;

/// A change on its way through the writer.
pub(crate) trait Job: Send {
    /// Applies it to the table and keeps the result.
    fn apply(&mut self, table: &mut LockTable, now: Timestamp);

    /// Lets the caller have the result, or the reason why it does not count.
    fn answer(self: Box<Self>, failed: Option<BackendError>);
}

/// What callers send to the writer.
pub(crate) enum Message {
    /// A change.
    Change(Box<dyn Job>),
    /// Answer what was sent before, let go of the files, and say so.
    Stop(tokio::sync::oneshot::Sender<()>),
}

/// What readers and the writer share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) table: RwLock<LockTable>,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) feed: Feed,
    pub(crate) clock: Arc<dyn Clock>,
}

/// How far the writer has come. Batches are numbered; at most one is applied and not settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The newest batch applied to the table.
    pub(crate) applied: u64,
    /// The newest batch that is on disk, or was taken back.
    pub(crate) settled: u64,
    /// The newest batch that was taken back: what was read of it does not count.
    pub(crate) failed: u64,
}

pub(crate) struct Writer {
    store: Store,
    shared: Arc<Shared>,
    jobs: Receiver<Message>,
    /// Effects of a table that was read again after a failed commit; they go with the next batch.
    pending: Effects,
}

impl Writer {
    pub(crate) fn new(store: Store, shared: Arc<Shared>, jobs: Receiver<Message>) -> Self {
        Self { store, shared, jobs, pending: Effects::default() }
    }

    /// Runs until it is told to stop, or nobody can send to it any more.
    pub(crate) fn spawn(self) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("locks-writer".to_owned()).spawn(move || self.run())
    }

    /// Makes what opening has changed durable, before anybody is served.
    pub(crate) fn settle_opening(&mut self) -> Result<(), OpenError> {
        let mut table = self.shared.table.write();
        let effects = table.take_effects();
        if effects.is_empty() {
            return Ok(());
        }
        self.store.commit(&table, &effects).map_err(|e| self.explain(e))?;
        self.shared.feed.publish(effects.events);
        Ok(())
    }

    fn run(mut self) {
        let mut batch = Vec::new();
        while let Ok(message) = self.jobs.recv() {
            let mut stop = None;
            let mut next = Some(message);
            while let Some(message) = next {
                match message {
                    Message::Change(job) => batch.push(job),
                    Message::Stop(done) => stop = Some(done),
                }
                next =
                    if batch.len() < MAX_BATCH && stop.is_none() { self.jobs.try_recv().ok() } else { None };
            }
            self.process(&mut batch);
            if let Some(done) = stop {
                drop(self);
                // Nobody waiting to hear it is no harm.
                let _ = done.send(());
                return;
            }
        }
    }

    fn process(&mut self, batch: &mut Vec<Box<dyn Job>>) {
        let effects = {
            let mut table = self.shared.table.write();
            let now = self.shared.clock.now();
            for job in batch.iter_mut() {
                job.apply(&mut table, now);
            }
            let effects = table.take_effects();
            if !effects.is_empty() {
                // Under the table's lock: a reader that sees the change knows that it is not settled.
                self.shared.progress.send_modify(|progress| progress.applied += 1);
            }
            effects
        };
        if effects.is_empty() {
            batch.drain(..).for_each(|job| job.answer(None));
            return;
        }
        let effects = join(std::mem::take(&mut self.pending), effects);
        let committed = self.store.commit(&self.shared.table.read(), &effects);
        match committed {
            Ok(()) => {
                self.shared.feed.publish(effects.events);
                self.shared.progress.send_modify(|progress| progress.settled = progress.applied);
                batch.drain(..).for_each(|job| job.answer(None));
            }
            Err(error) => {
                let error = self.explain(error);
                tracing::error!(%error, "a commit failed; its callers are told and the table is read again");
                let kind = self.take_back(&effects, error.kind());
                let message = error.to_string();
                for job in batch.drain(..) {
                    job.answer(Some(BackendError::new(kind, message.clone())));
                }
            }
        }
    }

    /// Reads the table again after a failed commit, and says what that commit has come to.
    fn take_back(&mut self, effects: &Effects, kind: BackendErrorKind) -> BackendErrorKind {
        let newest = effects.events.last().map_or(0, |event| event.seq);
        let mut table = self.shared.table.write();
        let policy = *table.policy();
        let on_disk = self.store.last_event_on_disk();
        let kind = match (on_disk, self.store.load(policy)) {
            (Ok(on_disk), Ok(loaded)) => {
                *table = loaded.table;
                table.resume(self.shared.clock.now());
                self.pending = table.take_effects();
                if on_disk >= newest {
                    // The disk has it although the system said no: the callers must look for themselves.
                    self.shared.feed.reset(loaded.events, on_disk);
                    BackendErrorKind::Indeterminate
                } else {
                    kind
                }
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!(%error, "the table cannot be read again; restart the service once this is mended");
                BackendErrorKind::Indeterminate
            }
        };
        self.shared.progress.send_modify(|progress| {
            progress.failed = progress.applied;
            progress.settled = progress.applied;
        });
        kind
    }

    fn explain(&self, error: CommitError) -> OpenError {
        match error {
            CommitError::Encode(e) => {
                OpenError::io("writing a record to", self.store.path(), std::io::Error::other(e))
            }
            CommitError::Map(heed::Error::Io(e)) => OpenError::io("committing to", self.store.path(), e),
            CommitError::Map(e) => {
                OpenError::io("committing to", self.store.path(), std::io::Error::other(e))
            }
        }
    }
}

fn join(mut first: Effects, mut second: Effects) -> Effects {
    if first.is_empty() {
        return second;
    }
    first.events.append(&mut second.events);
    first.dirty.append(&mut second.dirty);
    first.refused.append(&mut second.refused);
    first
}

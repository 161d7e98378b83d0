//! The writer thread: the only one that changes the table. Owns batching and the rule that answers come after the commit.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::Receiver;
use enhanced_locking_core::Effects;
use enhanced_locking_foundation::{BackendError, BackendErrorKind};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::OpenError;
use crate::shared::{End, Shared, lost};
use crate::slot::Job;
use crate::store::{CommitError, Store};

/// The most changes that share one commit: bounds the time the first of them waits for the others.
const MAX_BATCH: usize = 4_096;
/// The longest a batch waits for changes that are likely to come.
const MAX_PATIENCE: Duration = Duration::from_millis(1);

/// How long a disk that had no room for a checkpoint is taken to have none.
const TRY_AGAIN: Duration = Duration::from_millis(200);
/// Below this size in bytes a journal is never too long.
const MIN_JOURNAL: u64 = 64 * 1024;

/// What callers send to the writer.
pub(crate) enum Message {
    /// A change.
    Change(Job),
    /// Move everything into the data file, and say whether that worked.
    Checkpoint(oneshot::Sender<Result<(), OpenError>>),
    /// Answer what was sent before, let go of the files, and say so.
    Stop(oneshot::Sender<()>),
}

/// The writer and all that is only its own.
pub(crate) struct Writer {
    store: Store,
    shared: Arc<Shared>,
    jobs: Receiver<Message>,
    /// Effects of a table that was read again after a failed commit; they go with the next batch.
    pending: Effects,
    /// How many changes the last commit had, and how long it took: what the next one may wait for.
    last: (usize, Duration),
    /// When the last checkpoint failed for want of room although it had to be, and what the system said.
    refused: Option<(Instant, String)>,
    /// How much the journal has when the next checkpoint is due, in bytes.
    checkpoint_at: u64,
    /// [`EmbeddedConfig::journal_size`](crate::EmbeddedConfig::journal_size).
    journal_size: u64,
}

impl Writer {
    pub(crate) fn new(store: Store, shared: Arc<Shared>, jobs: Receiver<Message>, journal_size: u64) -> Self {
        Self {
            store,
            shared,
            jobs,
            pending: Effects::default(),
            last: (0, Duration::ZERO),
            refused: None,
            checkpoint_at: journal_size,
            journal_size,
        }
    }

    /// Runs until it is told to stop, nobody can send to it any more, or the table cannot be believed any more.
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
        let limits = table.policy().limits;
        drop(table);
        // One that is killed again and again before anybody asks for anything would let it grow otherwise.
        if self.store.journal_len() >= self.journal_size {
            self.store.checkpoint(&limits)?;
        }
        Ok(())
    }

    fn commit(&mut self, effects: &Effects) -> Result<(), CommitError> {
        // It does not grow without end: a disk that has no room for a checkpoint has none for more commits.
        if self.store.journal_len() >= self.journal_size.saturating_mul(2).max(MIN_JOURNAL) {
            // Trying costs much, and a disk that was full a moment ago still is.
            if let Some((when, text)) = &self.refused
                && when.elapsed() < TRY_AGAIN
            {
                let error = std::io::Error::new(std::io::ErrorKind::StorageFull, text.clone());
                return Err(CommitError::Journal(error));
            }
            let moved = self.checkpoint();
            let full = moved.as_ref().err().filter(|error| error.kind() == BackendErrorKind::Full);
            self.refused = full.map(|error| {
                let source = std::error::Error::source(error).map_or_else(String::new, ToString::to_string);
                (Instant::now(), source)
            });
            moved.map_err(CommitError::Checkpoint)?;
        }
        self.store.commit(&self.shared.table.read(), effects)
    }

    fn run(mut self) {
        let mut batch = Vec::new();
        // What a panic leaves behind is not used: nobody is served from it, and the files are as of the last commit.
        let served = catch_unwind(AssertUnwindSafe(|| self.serve(&mut batch)));
        let (end, done) = served.unwrap_or((End::Defect, None));
        self.shared.end(end);
        batch.into_iter().for_each(|job| job.answer(Some(lost())));
        let mut told = Vec::from_iter(done);
        for message in self.jobs.try_iter() {
            match message {
                Message::Change(job) => job.answer(Some(end.error())),
                // Dropping the sender says it.
                Message::Checkpoint(_) => {}
                Message::Stop(done) => told.push(done),
            }
        }
        drop(self);
        for done in told {
            // Nobody waiting to hear it is no harm.
            let _ = done.send(());
        }
    }

    /// Takes what is there: while one batch is committed, the next one gathers.
    fn serve(&mut self, batch: &mut Vec<Job>) -> (End, Option<oneshot::Sender<()>>) {
        let end = loop {
            let Ok(message) = self.jobs.recv() else { break (End::Closed, None) };
            let (mut stop, mut asked) = (None, Vec::new());
            let mut next = Some(message);
            self.gather();
            while let Some(message) = next {
                match message {
                    Message::Change(job) => batch.push(job),
                    Message::Checkpoint(done) => asked.push(done),
                    Message::Stop(done) => stop = Some(done),
                }
                let more = batch.len() < MAX_BATCH && stop.is_none();
                next = if more { self.jobs.try_recv().ok() } else { None };
            }
            let places = batch.len();
            if let Err(end) = self.process(batch) {
                return (end, stop);
            }
            self.shared.room.add_permits(places);
            if self.store.journal_len() >= self.checkpoint_at {
                self.checkpoint_in_passing();
            }
            for done in asked {
                // Nobody waiting to hear it is no harm.
                let _ = done.send(self.checkpoint());
            }
            if self.store.is_uncertain() {
                tracing::error!("a checkpoint failed, and what is on disk is not certain any more");
                return (End::Unreadable, stop);
            }
            if stop.is_some() {
                break (End::Closed, stop);
            }
        };
        // So that the data file has everything, for those who copy it, and opening is quick.
        self.checkpoint_in_passing();
        end
    }

    fn checkpoint(&mut self) -> Result<(), OpenError> {
        let limits = self.shared.table.read().policy().limits;
        let moved = self.store.checkpoint(&limits);
        // After a failure not with every batch again.
        let wait = if moved.is_ok() { self.journal_size } else { self.journal_size / 8 };
        self.checkpoint_at = self.store.journal_len() + wait;
        moved
    }

    /// A checkpoint nobody waits for. If it fails, all is still in the journal.
    fn checkpoint_in_passing(&mut self) {
        if let Err(error) = self.checkpoint() {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the journal could not be moved into the data file; it grows meanwhile");
        }
    }

    /// Lets a batch gather that is about to come. Callers who were answered together tend to ask again together; a
    /// commit that leaves with the first of them makes all others wait for the next. Costs at most an eighth of a
    /// commit, and nothing while callers come one by one.
    fn gather(&self) {
        let (wanted, took) = self.last;
        let patience = (took / 8).min(MAX_PATIENCE);
        let start = Instant::now();
        while self.jobs.len() + 1 < wanted && start.elapsed() < patience {
            std::thread::yield_now();
        }
    }

    fn process(&mut self, batch: &mut Vec<Job>) -> Result<(), End> {
        let effects = {
            let mut table = self.shared.table.write();
            // Under the table's lock and before anything changes: a reader that sees a change, or what a panic left
            // of one, knows that it is not settled.
            self.shared.progress.send_if_modified(|progress| {
                progress.applied += 1;
                false
            });
            let now = self.shared.clock.now();
            for job in batch.iter() {
                job.apply(&mut table, now);
            }
            let effects = table.take_effects();
            if effects.is_empty() {
                self.shared.progress.send_if_modified(|progress| {
                    progress.settled = progress.applied;
                    false
                });
            }
            effects
        };
        if effects.is_empty() {
            batch.drain(..).for_each(|job| job.answer(None));
            return Ok(());
        }
        let effects = join(std::mem::take(&mut self.pending), effects);
        let start = Instant::now();
        let committed = self.commit(&effects);
        self.last = (batch.len(), start.elapsed());
        let Err(error) = committed else {
            self.shared.feed.publish(effects.events);
            self.shared.progress.send_modify(|progress| progress.settled = progress.applied);
            batch.drain(..).for_each(|job| job.answer(None));
            return Ok(());
        };
        let error = self.explain(error);
        tracing::error!(error = &error as &dyn std::error::Error, "a commit failed: the table is read again");
        let kind = self.take_back(error.kind())?;
        let message = error.to_string();
        let source = error.into_source().map(Arc::new);
        for job in batch.drain(..) {
            let failed = BackendError::new(kind, message.clone());
            job.answer(Some(match &source {
                Some(source) => failed.with_source(Arc::clone(source)),
                None => failed,
            }));
        }
        Ok(())
    }

    /// Reads the table again after a failed commit, and says what that commit has come to.
    fn take_back(&mut self, kind: BackendErrorKind) -> Result<BackendErrorKind, End> {
        let before = self.store.newest_commit();
        let mut table = self.shared.table.write();
        let policy = *table.policy();
        let loaded = self.store.load(policy).map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "the table cannot be read again");
            End::Unreadable
        })?;
        *table = loaded.table;
        let last_event = table.meta().last_event;
        table.resume(self.shared.clock.now());
        self.pending = table.take_effects();
        let happened = self.store.newest_commit() > before;
        if self.store.newest_commit() < before {
            tracing::error!("the journal has lost commits that were answered");
            return Err(End::Unreadable);
        }
        if self.store.is_uncertain() {
            // Only what the data file says as well is certain.
            let moved = happened.then(|| self.store.checkpoint(&policy.limits));
            if !matches!(moved, Some(Ok(()))) {
                tracing::error!(reason = ?moved, "it is not certain what is on disk");
                return Err(End::Unreadable);
            }
            self.store.be_certain();
        }
        if happened {
            // The disk has it although the system said no: the callers must look for themselves.
            self.shared.feed.reset(loaded.events, last_event);
        }
        self.shared.progress.send_modify(|progress| {
            progress.failed = progress.applied;
            progress.settled = progress.applied;
        });
        Ok(if happened { BackendErrorKind::Indeterminate } else { kind })
    }

    fn explain(&self, error: CommitError) -> OpenError {
        match error {
            CommitError::Journal(e) => OpenError::io("committing to", self.store.path(), e),
            CommitError::Checkpoint(e) => e,
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
    first.documents.append(&mut second.documents);
    first
}

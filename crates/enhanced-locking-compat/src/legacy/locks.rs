//! Locks on projects. Owns the operations of Atlantis' locker; what a lost answer means is settled in `settle`.

use std::sync::Arc;

use enhanced_locking_foundation::{
    AcquireOutcome, AcquireRequest, BackendError, BackendErrorKind, Cause, DocumentName, DocumentStore,
    DocumentUpdate, Grant, LockBackend, LockQuery, LockRecord, PullRequest, RequestId, ResourceKey, Selector,
};
use futures_util::future::join;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::alias::{alias_key, is_old, label, may_be_old, place, text_of};
use super::error::LegacyError;
use super::held::HeldLock;
use super::request::{is_of, name_of, on_another_host, request_for, synthesise};
use crate::key::LockKey;
use crate::record::{ProjectLock, Stored};

/// Where the values of locks are kept, by the id of the request that holds the lock.
pub(super) const LOCK_DOCUMENTS: &str = "atlantis/lock/";

/// What all keys begin with that Atlantis can name: projects without a host.
const PROJECTS: &str = "project::";

/// Documents that are read at the same time.
const READS: usize = 32;

/// Atlantis' operations over a store of locks and documents. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LegacyLocks {
    pub(super) locks: Arc<dyn LockBackend>,
    pub(super) documents: Arc<dyn DocumentStore>,
}

/// What became of asking for a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TryLock {
    /// It was free, and is held now.
    Acquired(HeldLock),
    /// The same pull request held it already; the value stays the first one.
    Mine(HeldLock),
    /// Somebody else holds it.
    HeldBy(HeldLock),
}

impl TryLock {
    /// The lock that is held, by whomever.
    #[must_use]
    pub fn held(&self) -> &HeldLock {
        match self {
            Self::Acquired(held) | Self::Mine(held) | Self::HeldBy(held) => held,
        }
    }
}

/// What became of a request and its document.
pub(super) enum Taken {
    /// Held now.
    New(LockRecord),
    /// Held by somebody, perhaps the same owner.
    Old(LockRecord),
}

impl LegacyLocks {
    /// The most locks one answer lists.
    pub const LIST_MAX: usize = 100_000;

    /// Over a store of locks and a store of documents, which are the same in practice.
    #[must_use]
    pub fn new(locks: Arc<dyn LockBackend>, documents: Arc<dyn DocumentStore>) -> Self {
        Self { locks, documents }
    }

    /// The store of locks.
    #[must_use]
    pub fn backend(&self) -> &Arc<dyn LockBackend> {
        &self.locks
    }

    /// Takes the lock a value stands for, or tells who holds it. The first value stays.
    ///
    /// # Errors
    /// [`LegacyError`] if the value names nobody, the key can be none, or the store fails.
    pub async fn try_lock(&self, lock: &Stored<ProjectLock>) -> Result<TryLock, LegacyError> {
        self.try_lock_at(&LockKey::of(lock.value()).text(), lock).await
    }

    /// The same under a key that Atlantis gives, perhaps one of three parts.
    ///
    /// # Errors
    /// As [`Self::try_lock`].
    pub async fn try_lock_at(&self, text: &str, lock: &Stored<ProjectLock>) -> Result<TryLock, LegacyError> {
        let (key, label) = place(text, lock.value())?;
        let request = request_for(key, label, lock.value())?;
        let owner = request.owner.clone();
        Ok(match self.take(request, lock.raw()).await? {
            Taken::New(record) => {
                TryLock::Acquired(HeldLock { text: text.to_owned(), record, value: lock.clone() })
            }
            Taken::Old(record) => {
                let mine = *record.owner() == owner && !on_another_host(&record, lock.value());
                if mine {
                    // A process that was killed in between has left the lock without its value.
                    let update = DocumentUpdate::write(lock.raw().to_vec()).if_was(None);
                    self.documents.put_document(&lock_document(&record.request.id)?, update).await?;
                }
                let value = self.value(&record).await?;
                let held = HeldLock { text: text.to_owned(), record, value };
                if mine { TryLock::Mine(held) } else { TryLock::HeldBy(held) }
            }
        })
    }

    /// The lock under a key.
    ///
    /// # Errors
    /// [`LegacyError`] if it can be no key, or the store fails.
    pub async fn get_lock(&self, text: &str) -> Result<Option<HeldLock>, LegacyError> {
        let Some(record) = self.holder(text).await? else { return Ok(None) };
        let value = self.value(&record).await?;
        Ok(Some(HeldLock { text: text.to_owned(), record, value }))
    }

    /// Whether a key is locked, without its value.
    ///
    /// # Errors
    /// As [`Self::get_lock`].
    pub async fn is_locked(&self, text: &str) -> Result<bool, LegacyError> {
        Ok(self.holder(text).await?.is_some())
    }

    /// Lets go of the lock under a key; `None` if there was none.
    ///
    /// Only the holder that was read loses it: who takes the lock in between keeps it.
    ///
    /// # Errors
    /// As [`Self::get_lock`].
    pub async fn unlock(&self, text: &str) -> Result<Option<HeldLock>, LegacyError> {
        let Some(held) = self.get_lock(text).await? else { return Ok(None) };
        Ok(self.unlock_grant(&held.record.grant()).await?.then_some(held))
    }

    /// Lets go of a lock if this pull request holds it; `None` if not.
    ///
    /// # Errors
    /// As [`Self::get_lock`].
    pub async fn unlock_if_owned_by_pull(
        &self,
        text: &str,
        number: i64,
    ) -> Result<Option<HeldLock>, LegacyError> {
        match self.get_lock(text).await? {
            Some(held) if held.pull_number() == number => {
                Ok(self.unlock_grant(&held.record.grant()).await?.then_some(held))
            }
            _ => Ok(None),
        }
    }

    /// Lets go of one grant; whether it was held until now.
    ///
    /// # Errors
    /// [`LegacyError::Store`].
    pub async fn unlock_grant(&self, grant: &Grant) -> Result<bool, LegacyError> {
        let released = self.let_go(grant).await?;
        if released {
            self.forget(&lock_document(&grant.id)?).await;
        }
        Ok(released)
    }

    /// Lets go of all locks of one pull request of exactly one repository, in one call of the store, and gives up its
    /// places in lines.
    ///
    /// # Errors
    /// [`LegacyError::Value`] if it can be no repository, [`LegacyError::Store`].
    pub async fn unlock_by_pull(&self, repo: &str, number: i64) -> Result<Vec<HeldLock>, LegacyError> {
        let selector = Selector::Pull(PullRequest::new(repo, number)?);
        let cause = Cause::new("atlantis", "unlocked by its pull request")?;
        let cleared = match self.locks.clear(&selector, cause.clone()).await {
            Err(error) if error.is_indeterminate() => self.locks.clear(&selector, cause).await?,
            cleared => cleared?,
        };
        let mut unlocked = Vec::with_capacity(cleared.released.len());
        for record in cleared.released {
            // They are released: nothing that happens now may hide it.
            let value = match self.value(&record).await {
                Ok(value) => value,
                Err(_) => synthesise(&record)?,
            };
            self.forget(&lock_document(&record.request.id)?).await;
            unlocked.push(HeldLock { text: name_of(&record), record, value });
        }
        Ok(unlocked)
    }

    /// All locks that Atlantis can name, in the order of our keys.
    ///
    /// # Errors
    /// [`LegacyError::TooMany`] beyond [`Self::LIST_MAX`], [`LegacyError::Store`].
    pub async fn list(&self) -> Result<Vec<HeldLock>, LegacyError> {
        let read = |(text, record)| async move {
            let value = self.value(&record).await?;
            Ok::<_, LegacyError>(HeldLock { text, record, value })
        };
        stream::iter(self.records().await?).map(read).buffered(READS).try_collect().await
    }

    /// The keys of all locks that Atlantis can name, each once.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn texts(&self) -> Result<Vec<String>, LegacyError> {
        Ok(self.records().await?.into_iter().map(|(text, _)| text).collect())
    }

    async fn records(&self) -> Result<Vec<(String, LockRecord)>, LegacyError> {
        let mut query = LockQuery { prefix: Some(PROJECTS.to_owned()), ..LockQuery::default() };
        let mut found: Vec<(String, LockRecord)> = Vec::new();
        loop {
            let page = self.locks.locks(&query).await?;
            for record in page.items {
                let Some(text) = text_of(&record) else { continue };
                // Shared holders follow each other; Atlantis knows one.
                let again = found.last().is_some_and(|(_, last)| last.request.key == record.request.key);
                if !again {
                    found.push((text, record));
                }
            }
            if found.len() > Self::LIST_MAX {
                return Err(LegacyError::TooMany { what: "locks", limit: Self::LIST_MAX });
            }
            query.cursor = page.next;
            if query.cursor.is_none() {
                return Ok(found);
            }
        }
    }

    /// Who holds what a text stands for.
    async fn holder(&self, text: &str) -> Result<Option<LockRecord>, LegacyError> {
        let found = self.holder_of(&alias_key(text)?).await?;
        if found.is_some() || !may_be_old(text) {
            return Ok(found);
        }
        // Taken under this text of three parts, the lock is where its value said.
        let unnamed = alias_key(&format!("{text}/"))?;
        let taken_here = |record: &LockRecord| label(record) == Some(text);
        if let Some(record) = self.holder_of(&unnamed).await?.filter(taken_here) {
            return Ok(Some(record));
        }
        if !is_old(text) {
            return Ok(None);
        }
        let query = LockQuery { prefix: Some(unnamed.as_str().to_owned()), ..LockQuery::default() };
        Ok(self.locks.locks(&query).await?.items.into_iter().find(taken_here))
    }

    pub(super) async fn holder_of(&self, key: &ResourceKey) -> Result<Option<LockRecord>, LegacyError> {
        let view = self.locks.resource(key, 0).await?;
        Ok(view.and_then(|view| view.holders.into_iter().next()))
    }

    /// The value of a lock: as it was stored, or as Atlantis would have stored it.
    pub(super) async fn value(&self, record: &LockRecord) -> Result<Stored<ProjectLock>, LegacyError> {
        let raw = self.documents.document(&lock_document(&record.request.id)?).await?;
        let stored = raw.and_then(|raw| Stored::<ProjectLock>::read(raw).ok());
        match stored.filter(|stored| is_of(stored.value(), record)) {
            Some(stored) => Ok(stored),
            None => synthesise(record),
        }
    }

    /// Takes a lock and keeps a document for it. Both have succeeded when this succeeds.
    pub(super) async fn take(&self, request: AcquireRequest, raw: &[u8]) -> Result<Taken, LegacyError> {
        let document = lock_document(&request.id)?;
        let update = DocumentUpdate::write(raw.to_vec());
        let (acquired, written) = join(self.acquire(&request), self.put(&document, update)).await;
        let record = match acquired {
            Ok(AcquireOutcome::Held(record)) => Some(record),
            Ok(AcquireOutcome::Busy(holders)) => holders.into_iter().next(),
            Ok(AcquireOutcome::Queued(_)) => {
                let error =
                    BackendError::new(BackendErrorKind::Internal, "a request that may not wait waits");
                return Err(error.into());
            }
            Err(error) => {
                // What may have been taken keeps its value.
                if !error.is_indeterminate() {
                    self.forget(&document).await;
                }
                return Err(error.into());
            }
        };
        match record {
            Some(record) if record.request.id == request.id => match written {
                Ok(_) => Ok(Taken::New(record)),
                Err(error) => {
                    // If this fails as well, the lock is held without its value, which its owner may not know.
                    self.let_go(&record.grant()).await.map_err(unknown)?;
                    self.forget(&document).await;
                    Err(error)
                }
            },
            record => {
                self.forget(&document).await;
                record.map(Taken::Old).ok_or(LegacyError::Contended { attempts: 1 })
            }
        }
    }
}

/// A failure behind which something was changed already.
fn unknown(error: BackendError) -> LegacyError {
    let message = "the lock was taken, its value could not be stored, and it could not be released again";
    BackendError::new(BackendErrorKind::Indeterminate, message).with_source(error).into()
}

/// The document of a lock's value.
pub(super) fn lock_document(id: &RequestId) -> Result<DocumentName, LegacyError> {
    Ok(DocumentName::new(format!("{LOCK_DOCUMENTS}{id}"))?)
}

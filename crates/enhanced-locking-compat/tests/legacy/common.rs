//! Documents in a map, locks in memory, and values as Atlantis writes them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use enhanced_locking_compat::legacy::{HeldLock, LegacyLocks, TryLock};
use enhanced_locking_compat::record::{CloneUrl, ProjectLock, Pull, Stored};
use enhanced_locking_core::TablePolicy;
use enhanced_locking_core::memory::MemoryBackend;
use enhanced_locking_foundation::{
    BackendError, BackendErrorKind, DocumentName, DocumentOutcome, DocumentStore, DocumentUpdate, Page,
    SteadyClock,
};
use parking_lot::Mutex;

/// What goes wrong with changes of documents, from the next one on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The change does not happen.
    Refuse,
    /// The change happens, and its answer is lost.
    LoseAnswer,
}

/// Documents in a map.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    pub(crate) map: Mutex<BTreeMap<String, Vec<u8>>>,
    /// How many more changes go wrong, and how.
    pub(crate) faults: Mutex<Option<(usize, Fault)>>,
}

impl Documents {
    pub(crate) fn names(&self) -> Vec<String> {
        self.map.lock().keys().cloned().collect()
    }

    fn fault(&self) -> Option<Fault> {
        let mut faults = self.faults.lock();
        let (left, fault) = (*faults)?;
        *faults = (left > 1).then_some((left - 1, fault));
        Some(fault)
    }
}

#[async_trait]
impl DocumentStore for Documents {
    async fn document(&self, name: &DocumentName) -> Result<Option<Vec<u8>>, BackendError> {
        Ok(self.map.lock().get(name.as_str()).cloned())
    }

    async fn put_document(
        &self,
        name: &DocumentName,
        update: DocumentUpdate,
    ) -> Result<DocumentOutcome, BackendError> {
        let fault = self.fault();
        if fault == Some(Fault::Refuse) {
            return Err(BackendError::new(BackendErrorKind::Full, "no room"));
        }
        // Others get their turn between reading and writing.
        tokio::task::yield_now().await;
        let outcome = {
            let mut map = self.map.lock();
            let found = map.get(name.as_str()).cloned();
            if update.expected.is_met(found.as_deref()) {
                match update.value {
                    Some(value) => map.insert(name.as_str().to_owned(), value),
                    None => map.remove(name.as_str()),
                };
                DocumentOutcome::Done { existed: found.is_some() }
            } else {
                DocumentOutcome::Differs(found)
            }
        };
        match fault {
            Some(_) => Err(BackendError::new(BackendErrorKind::Indeterminate, "the answer was lost")),
            None => Ok(outcome),
        }
    }

    async fn documents(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<DocumentName>, BackendError> {
        let limit = if limit == 0 { Page::<DocumentName>::MAX_ITEMS } else { limit };
        let from = cursor.map_or(Bound::Included(prefix), Bound::Excluded);
        let map = self.map.lock();
        let mut names = map.range::<str, _>((from, Bound::Unbounded)).map(|(name, _)| name);
        let items: Vec<_> = names.by_ref().take_while(|name| name.starts_with(prefix)).take(limit).collect();
        let next = (items.len() == limit).then(|| items.last().unwrap().to_string());
        Ok(Page { items: items.into_iter().map(|name| DocumentName::new(name).unwrap()).collect(), next })
    }
}

/// Locks and documents in memory.
pub(crate) struct Store {
    pub(crate) backend: Arc<MemoryBackend>,
    pub(crate) documents: Arc<Documents>,
    pub(crate) legacy: LegacyLocks,
}

impl Store {
    pub(crate) fn new() -> Self {
        let backend = MemoryBackend::new(TablePolicy::default(), Arc::new(SteadyClock::new()));
        let documents = Arc::new(Documents::default());
        let legacy = LegacyLocks::new(Arc::clone(&backend) as _, Arc::clone(&documents) as _);
        Self { backend, documents, legacy }
    }

    /// Takes a lock that must be free.
    pub(crate) async fn lock(&self, lock: &Stored<ProjectLock>) -> HeldLock {
        match self.legacy.try_lock(lock).await.unwrap() {
            TryLock::Acquired(held) => held,
            other => unreachable!("{other:?}"),
        }
    }

    pub(crate) async fn count(&self) -> usize {
        self.legacy.list().await.unwrap().len()
    }
}

/// A value, with whatever a test changes about it.
pub(crate) fn value(change: impl FnOnce(&mut ProjectLock)) -> Stored<ProjectLock> {
    let mut lock = ProjectLock::default();
    lock.project.repo = "owner/repo".to_owned();
    lock.project.path = "parent/child".to_owned();
    lock.workspace = "default".to_owned();
    lock.pull = pull(1);
    lock.user.username = "lkysow".to_owned();
    change(&mut lock);
    Stored::<ProjectLock>::write(lock).unwrap()
}

/// A lock of a pull request.
pub(crate) fn of_pull(number: i64) -> Stored<ProjectLock> {
    value(|lock| lock.pull.number = number)
}

pub(crate) fn pull(number: i64) -> Pull {
    let mut pull = Pull { number, ..Pull::default() };
    pull.head_commit = "sha".to_owned();
    pull.base_branch = "main".to_owned();
    pull.url = format!("https://github.com/owner/repo/pull/{number}");
    pull.author = "lkysow".to_owned();
    pull.base_repo.full_name = "owner/repo".to_owned();
    pull.base_repo.owner = "owner".to_owned();
    pull.base_repo.name = "repo".to_owned();
    pull.base_repo.clone_url = CloneUrl::new("https://bot:s3cret@github.com/owner/repo.git");
    pull.base_repo.vcs_host.hostname = "github.com".to_owned();
    pull
}

/// The key of [`value`] as it is.
pub(crate) const TEXT: &str = "owner/repo/parent/child/default/";

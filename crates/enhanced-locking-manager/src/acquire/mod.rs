//! From asking to holding. Owns waiting, trying again and giving up; keeping what was got is `lease`'s work.

mod asking;
mod line;
mod pending;
mod rejoin;
mod set;

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_foundation::{AcquireRequest, BackendError, Ended, QueuePlace, RequestId};

pub(crate) use asking::attach;
pub(crate) use pending::Pending;
pub use set::{AcquireSet, LockSet};

use crate::inner::Inner;
use crate::{LockError, LockGuard};

/// What a program that waits can be shown.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// It stands in line. Told when it joins and whenever its place or the holders change.
    Waiting(&'a QueuePlace),
    /// The store cannot be reached; the place, if there is one, is kept there.
    Retrying {
        /// What the store's answer was.
        error: &'a BackendError,
        /// When it is asked again.
        again_in: Duration,
    },
    /// Its place in the line was lost, because nobody spoke up for it in time: it joins again at the end, as a new
    /// request. The time it may wait goes on counting.
    Rejoining {
        /// How the request before came to its end.
        ended: &'a Ended,
        /// The id it has from now on.
        id: &'a RequestId,
    },
}

pub(crate) type Watcher<'w> = Box<dyn FnMut(Progress<'_>) + Send + 'w>;

/// A lock being asked for: await it. Made by [`LockManager::acquire`](crate::LockManager::acquire).
///
/// Dropping the future before it is done takes the request out of the line, in the background; if it was granted
/// meanwhile, the lock is released.
#[must_use = "nothing is asked for until this is awaited"]
pub struct Acquire<'w> {
    inner: Arc<Inner>,
    request: AcquireRequest,
    resumed: bool,
    watcher: Option<Watcher<'w>>,
}

impl<'w> Acquire<'w> {
    pub(crate) fn new(inner: Arc<Inner>, request: AcquireRequest) -> Self {
        Self { inner, request, resumed: false, watcher: None }
    }

    /// Says that this id was asked for before, perhaps by a process that is gone: takes up its place or its lock.
    ///
    /// Needed for safety: a lock granted long ago must be renewed before anybody relies on it.
    pub fn resumed(mut self) -> Self {
        self.resumed = true;
        self
    }

    /// Tells how the waiting goes. Called from the waiting task, so it must not block.
    pub fn watch<'n>(self, watcher: impl FnMut(Progress<'_>) + Send + 'n) -> Acquire<'n>
    where
        'w: 'n,
    {
        Acquire {
            inner: self.inner,
            request: self.request,
            resumed: self.resumed,
            watcher: Some(Box::new(watcher)),
        }
    }
}

impl<'w> IntoFuture for Acquire<'w> {
    type Output = Result<LockGuard, LockError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'w>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let mut watcher = self.watcher;
            rejoin::acquire(&self.inner, self.request, self.resumed, watcher.as_mut()).await
        })
    }
}

impl std::fmt::Debug for Acquire<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acquire").field("request", &self.request).field("resumed", &self.resumed).finish()
    }
}

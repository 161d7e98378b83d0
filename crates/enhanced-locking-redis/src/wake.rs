//! Who waits for what in this process. Owns the wake-ups; they are hints, and whoever is woken looks for itself.

use std::collections::HashMap;
use std::sync::Arc;

use enhanced_locking_foundation::RequestId;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The waiting callers of one store.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    waiting: Mutex<HashMap<RequestId, Waiting>>,
    news: Notify,
}

#[derive(Debug)]
struct Waiting {
    callers: usize,
    wake: Arc<Notify>,
}

impl Wakes {
    /// Registers interest in a request until the registration is dropped.
    pub(crate) fn register(&self, id: &RequestId) -> Registration<'_> {
        let mut waiting = self.waiting.lock();
        let entry = waiting
            .entry(id.clone())
            .or_insert_with(|| Waiting { callers: 0, wake: Arc::new(Notify::new()) });
        entry.callers += 1;
        Registration { wakes: self, id: id.clone(), wake: Arc::clone(&entry.wake) }
    }

    /// Wakes those who wait for a request.
    pub(crate) fn wake(&self, id: &RequestId) {
        if let Some(waiting) = self.waiting.lock().get(id) {
            waiting.wake.notify_waiters();
        }
    }

    /// Wakes everybody: messages may have been lost, or the store was closed.
    pub(crate) fn wake_all(&self) {
        for waiting in self.waiting.lock().values() {
            waiting.wake.notify_waiters();
        }
        self.news.notify_waiters();
    }

    /// Wakes those who read events along.
    pub(crate) fn tell_news(&self) {
        self.news.notify_waiters();
    }

    /// What is notified when there are events.
    pub(crate) fn news(&self) -> &Notify {
        &self.news
    }
}

/// Interest in one request. Made by [`Wakes::register`].
#[derive(Debug)]
pub(crate) struct Registration<'a> {
    wakes: &'a Wakes,
    id: RequestId,
    wake: Arc<Notify>,
}

impl Registration<'_> {
    /// What is notified when something happens to the request.
    pub(crate) fn wake(&self) -> &Notify {
        &self.wake
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        let mut waiting = self.wakes.waiting.lock();
        if let Some(entry) = waiting.get_mut(&self.id) {
            entry.callers -= 1;
            if entry.callers == 0 {
                waiting.remove(&self.id);
            }
        }
    }
}

//! What happened, for those who want to hear: the kept events and the waiting callers to wake. Owns both; makes no events.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use enhanced_locking_foundation::{EventCursor, EventKind, EventPage, LockEvent, RequestId};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The newest events of one store and its in-process wake-ups.
///
/// A wake-up is only a hint: the woken caller asks the table. Events must be published in the order of their
/// sequences, and only once they are as durable as the store promises.
#[derive(Debug)]
pub struct Feed {
    events: Mutex<Kept>,
    news: Notify,
    waiting: Mutex<HashMap<RequestId, Waiting>>,
}

#[derive(Debug)]
struct Kept {
    newest: VecDeque<LockEvent>,
    /// Sequence of the newest event; events up to here were published.
    last: u64,
    limit: usize,
}

#[derive(Debug)]
struct Waiting {
    callers: usize,
    wake: Arc<Notify>,
}

impl Feed {
    /// A feed that keeps at most `limit` events, after a store whose newest event was `last`.
    #[must_use]
    pub fn new(limit: usize, last: u64) -> Self {
        let kept = Kept { newest: VecDeque::new(), last, limit };
        Self { events: Mutex::new(kept), news: Notify::new(), waiting: Mutex::default() }
    }

    /// Takes new events in, wakes those they concern, and those who read along.
    pub fn publish(&self, events: impl IntoIterator<Item = LockEvent>) {
        let mut events = events.into_iter().peekable();
        if events.peek().is_none() {
            return;
        }
        {
            let mut kept = self.events.lock();
            let waiting = self.waiting.lock();
            for event in events {
                if !waiting.is_empty()
                    && concerns_waiter(&event.kind)
                    && let Some(request) = &event.request
                    && let Some(waiting) = waiting.get(&request.id)
                {
                    waiting.wake.notify_waiters();
                }
                kept.last = event.seq;
                if kept.newest.len() >= kept.limit {
                    kept.newest.pop_front();
                }
                if kept.limit > 0 {
                    kept.newest.push_back(event);
                }
            }
        }
        self.news.notify_waiters();
    }

    /// Events after a cursor, at most `limit`.
    #[must_use]
    pub fn page(&self, after: &EventCursor, limit: usize) -> EventPage {
        let kept = self.events.lock();
        let seen = after.seen(0);
        let oldest = kept.newest.front().map_or(kept.last + 1, |event| event.seq);
        // A cursor from a future that never was: the store was replaced by an older one.
        let missed = seen + 1 < oldest || seen > kept.last;
        let skip = if missed { 0 } else { usize::try_from(seen + 1 - oldest).unwrap_or(usize::MAX) };
        let events: Vec<LockEvent> = kept.newest.iter().skip(skip).take(limit).cloned().collect();
        let mut next = if missed { EventCursor::start() } else { after.clone() };
        next.advance(0, events.last().map_or(if missed { oldest - 1 } else { seen }, |event| event.seq));
        EventPage { events, next, missed }
    }

    /// The cursor after the newest event.
    #[must_use]
    pub fn end(&self) -> EventCursor {
        let mut cursor = EventCursor::start();
        cursor.advance(0, self.events.lock().last);
        cursor
    }

    /// Waits until there is an event after the cursor.
    pub async fn wait_for_news(&self, after: &EventCursor) {
        loop {
            let news = self.news.notified();
            let mut news = std::pin::pin!(news);
            // Listen first, look then: what comes in between is heard.
            news.as_mut().enable();
            if self.events.lock().last != after.seen(0) {
                return;
            }
            news.await;
        }
    }

    /// Forgets the kept events and starts over after `last`: what was kept is on disk no more.
    pub fn reset(&self, events: Vec<LockEvent>, last: u64) {
        {
            let mut kept = self.events.lock();
            kept.newest = events.into();
            kept.last = last;
        }
        self.wake_all();
    }

    /// Wakes every waiting caller, to look for itself.
    pub fn wake_all(&self) {
        for waiting in self.waiting.lock().values() {
            waiting.wake.notify_waiters();
        }
        self.news.notify_waiters();
    }

    /// Registers interest in a request until the registration is dropped.
    #[must_use]
    pub fn register(&self, id: &RequestId) -> Registration<'_> {
        let mut waiting = self.waiting.lock();
        let entry = waiting
            .entry(id.clone())
            .or_insert_with(|| Waiting { callers: 0, wake: Arc::new(Notify::new()) });
        entry.callers += 1;
        Registration { feed: self, id: id.clone(), wake: Arc::clone(&entry.wake) }
    }
}

/// Interest in one request. Made by [`Feed::register`].
#[derive(Debug)]
pub struct Registration<'a> {
    feed: &'a Feed,
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
        let mut waiting = self.feed.waiting.lock();
        if let Some(entry) = waiting.get_mut(&self.id) {
            entry.callers -= 1;
            if entry.callers == 0 {
                waiting.remove(&self.id);
            }
        }
    }
}

/// Whether somebody who waits for the request's turn must look.
fn concerns_waiter(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Granted { .. } | EventKind::Ended { .. } | EventKind::Transferred { .. })
}

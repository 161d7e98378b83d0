//! What happened, for those who want to hear: the kept events and the waiting callers to wake. Owns both; makes no events.

use std::collections::HashMap;
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
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug)]
struct State {
    kept: Kept,
    /// Callers that wait for news; whoever publishes wakes nobody while there are none.
    readers: usize,
    /// Requests whose turn is waited for.
    waiting: HashMap<RequestId, Waiting>,
}

/// The newest events: a ring in which each takes the place of the oldest.
#[derive(Debug)]
struct Kept {
    ring: Vec<LockEvent>,
    /// Place of the oldest, once the ring is full.
    oldest: usize,
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
        let kept = Kept { ring: Vec::new(), oldest: 0, last, limit };
        Self { state: Mutex::new(State { kept, readers: 0, waiting: HashMap::new() }), news: Notify::new() }
    }

    /// Takes new events in, wakes those they concern, and those who read along.
    pub fn publish(&self, events: impl IntoIterator<Item = LockEvent, IntoIter: ExactSizeIterator>) {
        let events = events.into_iter();
        if events.len() == 0 {
            return;
        }
        let read = {
            let mut state = self.state.lock();
            let State { kept, readers, waiting } = &mut *state;
            for event in events {
                if !waiting.is_empty()
                    && concerns_waiter(&event.kind)
                    && let Some(request) = &event.request
                    && let Some(waiting) = waiting.get(&request.id)
                {
                    waiting.wake.notify_waiters();
                }
                kept.push(event);
            }
            *readers > 0
        };
        if read {
            self.news.notify_waiters();
        }
    }

    /// Events after a cursor, at most `limit`.
    #[must_use]
    pub fn page(&self, after: &EventCursor, limit: usize) -> EventPage {
        let kept = &self.state.lock().kept;
        let seen = after.seen(0);
        let oldest = kept.oldest().map_or(kept.last + 1, |event| event.seq);
        // A cursor from a future that never was: the store was replaced by an older one.
        let missed = seen + 1 < oldest || seen > kept.last;
        let skip = if missed { 0 } else { usize::try_from(seen + 1 - oldest).unwrap_or(usize::MAX) };
        let events: Vec<LockEvent> = kept.iter_from(skip).take(limit).cloned().collect();
        let mut next = if missed { EventCursor::start() } else { after.clone() };
        next.advance(0, events.last().map_or(if missed { oldest - 1 } else { seen }, |event| event.seq));
        EventPage { events, next, missed }
    }

    /// The cursor after the newest event.
    #[must_use]
    pub fn end(&self) -> EventCursor {
        let mut cursor = EventCursor::start();
        cursor.advance(0, self.state.lock().kept.last);
        cursor
    }

    /// Waits until there is an event after the cursor.
    pub async fn wait_for_news(&self, after: &EventCursor) {
        let _reading = Reading::new(self);
        loop {
            let news = self.news.notified();
            let mut news = std::pin::pin!(news);
            // Listen first, look then: what comes in between is heard.
            news.as_mut().enable();
            if self.state.lock().kept.last != after.seen(0) {
                return;
            }
            news.await;
        }
    }

    /// Forgets the kept events and starts over after `last`: what was kept is on disk no more.
    pub fn reset(&self, events: Vec<LockEvent>, last: u64) {
        {
            let kept = &mut self.state.lock().kept;
            (kept.ring, kept.oldest, kept.last) = (events, 0, last);
        }
        self.wake_all();
    }

    /// Wakes every waiting caller, to look for itself.
    pub fn wake_all(&self) {
        for waiting in self.state.lock().waiting.values() {
            waiting.wake.notify_waiters();
        }
        self.news.notify_waiters();
    }

    /// Registers interest in a request until the registration is dropped.
    #[must_use]
    pub fn register(&self, id: &RequestId) -> Registration<'_> {
        let mut state = self.state.lock();
        let entry = state
            .waiting
            .entry(id.clone())
            .or_insert_with(|| Waiting { callers: 0, wake: Arc::new(Notify::new()) });
        entry.callers += 1;
        Registration { feed: self, id: id.clone(), wake: Arc::clone(&entry.wake) }
    }
}

impl Kept {
    fn push(&mut self, event: LockEvent) {
        self.last = event.seq;
        if self.ring.len() < self.limit {
            self.ring.push(event);
        } else if let Some(place) = self.ring.get_mut(self.oldest) {
            *place = event;
            self.oldest = (self.oldest + 1) % self.ring.len();
        }
    }

    fn oldest(&self) -> Option<&LockEvent> {
        self.ring.get(self.oldest)
    }

    /// The kept events, oldest first, without the first `skip`.
    fn iter_from(&self, skip: usize) -> impl Iterator<Item = &LockEvent> {
        let (newer, older) = self.ring.split_at(self.oldest);
        let older_left = older.get(skip..).unwrap_or_default();
        let newer_left = newer.get(skip.saturating_sub(older.len())..).unwrap_or_default();
        older_left.iter().chain(newer_left)
    }
}

/// A caller that waits for news, as long as it does.
struct Reading<'a>(&'a Feed);

impl<'a> Reading<'a> {
    fn new(feed: &'a Feed) -> Self {
        feed.state.lock().readers += 1;
        Self(feed)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.state.lock().readers -= 1;
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
        let mut state = self.feed.state.lock();
        if let Some(entry) = state.waiting.get_mut(&self.id) {
            entry.callers -= 1;
            if entry.callers == 0 {
                state.waiting.remove(&self.id);
            }
        }
    }
}

/// Whether somebody who waits for the request's turn must look.
fn concerns_waiter(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Granted { .. } | EventKind::Ended { .. } | EventKind::Transferred { .. })
}

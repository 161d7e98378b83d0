//! The task that reads the event feed and tells the sinks. Owns the cursor and the order; sinks own what they do with events.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_foundation::{BackendError, EventCursor, EventPage};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::EventSink;
use crate::inner::Inner;
use crate::supervisor::text;

/// What the pump remembers when its task is started again.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    sinks: RwLock<Vec<Arc<dyn EventSink>>>,
    cursor: Mutex<Option<EventCursor>>,
}

impl Feed {
    pub(crate) fn add(&self, sink: Arc<dyn EventSink>) {
        self.sinks.write().push(sink);
    }

    fn tell(&self, page: &EventPage) {
        let sinks = self.sinks.read().clone();
        if page.missed {
            sinks.iter().for_each(|sink| guarded(sink, |sink| sink.gap()));
        }
        for event in &page.events {
            sinks.iter().for_each(|sink| guarded(sink, |sink| sink.event(event)));
        }
    }
}

/// A sink that panics does not hear this event; the others do, and it hears the next one.
fn guarded(sink: &Arc<dyn EventSink>, call: impl FnOnce(&dyn EventSink)) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| call(&**sink))) {
        tracing::error!(?sink, reason = text(&*panic), "event sink panicked");
    }
}

const PAGE: usize = 1_000;
const POLL: Duration = Duration::from_secs(20);

/// Reads the feed from its end as found at the first start, until told to stop.
pub(crate) async fn pump(
    inner: Arc<Inner>,
    feed: Arc<Feed>,
    stop: CancellationToken,
    ready: watch::Sender<bool>,
) {
    let mut failures = 0;
    loop {
        let step = tokio::select! {
            () = stop.cancelled() => return,
            step = step(&inner, &feed, &ready) => step,
        };
        match step {
            Ok(()) => failures = 0,
            Err(error) => {
                tracing::warn!(%error, "event feed cannot be read; it goes on where it was");
                failures += 1;
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(inner.config.retry.delay(failures - 1)) => {}
                }
            }
        }
    }
}

async fn step(inner: &Inner, feed: &Feed, ready: &watch::Sender<bool>) -> Result<(), BackendError> {
    let known = feed.cursor.lock().clone();
    let cursor = match known {
        Some(cursor) => cursor,
        None => {
            let end =
                inner.bounded("events_end", inner.config.call_timeout, inner.backend.events_end()).await?;
            *feed.cursor.lock() = Some(end.clone());
            end
        }
    };
    ready.send_replace(true);
    let limit = inner.config.call_timeout;
    // No news within the time is no trouble; nor is a wait that hangs, as long as the next call is answered.
    if let Ok(answer) = tokio::time::timeout(POLL + limit, inner.backend.await_events(&cursor, POLL)).await {
        answer?;
    }
    let page = inner.bounded("events", limit, inner.backend.events(&cursor, PAGE)).await?;
    for event in &page.events {
        inner.registry.hear(event);
    }
    feed.tell(&page);
    *feed.cursor.lock() = Some(page.next);
    Ok(())
}

//! The event feed: one stream per bucket, read together. Owns the order among streams, and waiting for news.

use std::time::Duration;

use enhanced_locking_foundation::{BackendError, EventCursor, EventPage};
use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::RedisBackend;
use crate::wire::{self, Operation};

impl RedisBackend {
    /// Events after a cursor. Streams are put together in the order of time; within a stream there are no gaps.
    pub(super) async fn page_of_events(
        &self,
        after: &EventCursor,
        limit: usize,
    ) -> Result<EventPage, BackendError> {
        let parts = try_join_all((0..self.dispatch.buckets()).map(|bucket| async move {
            let stream = stream(bucket);
            let operation = Operation::events(after.seen(stream), limit);
            let reply = self.dispatch.call(bucket, operation).await?;
            Ok::<_, BackendError>((stream, wire::events(&reply, stream)?))
        }))
        .await?;
        let (mut missed, mut events, mut from) = (false, Vec::new(), Vec::new());
        for (stream, part) in parts {
            let seen = after.seen(stream);
            // A cursor from a future that never was: the store was replaced by an older one.
            let gone = seen + 1 < part.oldest || seen > part.last;
            missed |= gone;
            from.push((stream, if gone { part.oldest - 1 } else { seen }));
            events.extend(part.events);
        }
        if from.len() > 1 {
            events.sort_by_key(|event| (event.at, event.stream, event.seq));
        }
        events.truncate(limit);
        let mut next = EventCursor::start();
        for (stream, seq) in &from {
            if from.len() == 1 || *seq > 0 {
                next.advance(*stream, *seq);
            }
        }
        for event in &events {
            next.advance(event.stream, event.seq);
        }
        Ok(EventPage { events, next, missed })
    }

    /// The cursor after the newest events.
    pub(super) async fn end_of_events(&self) -> Result<EventCursor, BackendError> {
        let mut end = EventCursor::start();
        let replies = self.ask_all(&Operation::events(0, 0)).await?;
        let only = replies.len() == 1;
        for (bucket, reply) in replies.iter().enumerate() {
            let last = wire::number(reply)?;
            if only || last > 0 {
                end.advance(stream(bucket), last);
            }
        }
        Ok(end)
    }

    /// Waits until there may be events after a cursor.
    ///
    /// Scripts tell about events only while somebody says that it listens: nobody pays for what nobody hears.
    pub(super) async fn wait_for_events(
        &self,
        after: &EventCursor,
        timeout: Duration,
    ) -> Result<(), BackendError> {
        let until = Instant::now().checked_add(timeout);
        let period = self.config.poll_period;
        for (bucket, heard) in self.hears_events.iter().enumerate() {
            let channel = self.layout.channel(bucket, "");
            if let Err(failure) = heard.get_or_try_init(|| self.dispatch.driver().hear(&channel)).await {
                tracing::warn!(error = %failure.error(false), "events are not heard; the feed is polled");
            }
        }
        loop {
            let news = self.wakes.news().notified();
            let mut news = std::pin::pin!(news);
            news.as_mut().enable();
            let replies = self.ask_all(&Operation::listen(period * 3)).await?;
            for (bucket, reply) in replies.iter().enumerate() {
                if wire::number(reply)? != after.seen(stream(bucket)) {
                    return Ok(());
                }
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(());
            }
            let pause = left.map_or(period, |left| left.min(period));
            let _ = tokio::time::timeout(pause, news).await;
        }
    }
}

/// The stream of a bucket; there are at most 65 535 of them.
fn stream(bucket: usize) -> u32 {
    u32::try_from(bucket).unwrap_or(u32::MAX)
}

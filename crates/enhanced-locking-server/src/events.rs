//! The event feed: pages, and the stream a browser or `curl` can follow. Owns resuming without a gap on the wire; the feed is the backend's.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use enhanced_locking_client::api::{CursorReply, EventPageView, EventView, Problem};
use enhanced_locking_foundation::{EventCursor, Page};
use futures_util::Stream;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;

use crate::app::App;
use crate::body::{Answer, Params};
use crate::limits::Slot;
use crate::problem::Refusal;

/// Events read from the store in one go.
const CHUNK: usize = 256;

/// How often a silent stream shows that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

fn cursor(text: &str) -> Result<EventCursor, Refusal> {
    text.parse()
        .map_err(|error: enhanced_locking_foundation::ValueError| Refusal::field("after", error.to_string()))
}

/// The parameters of `GET /events/page`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageParams {
    after: Option<String>,
    limit: Option<usize>,
    wait_ms: Option<u64>,
}

/// `GET /events/page`.
pub(crate) async fn page(
    State(app): State<App>,
    slot: Slot,
    Params(params): Params<PageParams>,
) -> Result<Answer<EventPageView>, Refusal> {
    let after = cursor(params.after.as_deref().unwrap_or_default())?;
    let limit = match params.limit.unwrap_or(0) {
        0 => Page::<()>::MAX_ITEMS,
        limit => limit.min(Page::<()>::MAX_ITEMS),
    };
    let wait = Duration::from_millis(params.wait_ms.unwrap_or(0)).min(app.config.longest_wait);
    let _waiting = if wait.is_zero() { None } else { Some(slot.wait(&app)?) };
    let mut page = app.backend.events(&after, limit).await?;
    if page.events.is_empty() && !page.missed && !wait.is_zero() {
        tokio::select! {
            news = app.backend.await_events(&after, wait) => news?,
            () = app.stopping.cancelled() => {}
        }
        page = app.backend.events(&after, limit).await?;
    }
    Ok(Answer(EventPageView::new(&after, &page)))
}

/// `GET /events/end`.
pub(crate) async fn end(State(app): State<App>) -> Result<Answer<CursorReply>, Refusal> {
    let end = app.backend.events_end().await?;
    Ok(Answer(CursorReply { cursor: end.to_string() }))
}

/// The parameters of `GET /events`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StreamParams {
    after: Option<String>,
}

/// `GET /events`: from `Last-Event-ID`, or `after`, or from now on.
pub(crate) async fn stream(
    State(app): State<App>,
    slot: Slot,
    headers: HeaderMap,
    Params(params): Params<StreamParams>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let last = match headers.get("last-event-id") {
        Some(id) => Some(id.to_str().map_err(|_| Refusal::field("Last-Event-ID", "is not text"))?.to_owned()),
        None => params.after,
    };
    let from = match last {
        Some(text) => cursor(&text)?,
        None => app.backend.events_end().await?,
    };
    let permit = slot.wait(&app)?;
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("alive");
    let reader = Reader::new(app, from, permit);
    Ok(Sse::new(futures_util::stream::unfold(reader, Reader::next)).keep_alive(keep_alive))
}

/// One open stream: where it is, and what it still has to send.
struct Reader {
    app: App,
    cursor: EventCursor,
    ready: VecDeque<Event>,
    over: bool,
    _permit: OwnedSemaphorePermit,
}

impl Reader {
    fn new(app: App, mut cursor: EventCursor, permit: OwnedSemaphorePermit) -> Self {
        if cursor.to_string().is_empty() {
            // An empty id would not be sent back by a client that resumes.
            cursor.advance(0, 0);
        }
        // The place where the stream begins, so that a client that loses it before the first event misses nothing.
        let start = Event::default()
            .event("start")
            .id(cursor.to_string())
            .data(serde_json::json!({ "cursor": cursor.to_string() }).to_string());
        Self { app, cursor, ready: VecDeque::from([start]), over: false, _permit: permit }
    }

    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some((Ok(event), self));
            }
            if self.over {
                return None;
            }
            self.read().await;
        }
    }

    /// Reads what there is; if there is nothing, waits a while or until the service stops.
    async fn read(&mut self) {
        let page = match self.app.backend.events(&self.cursor, CHUNK).await {
            Ok(page) => page,
            Err(error) => return self.fail(&Problem::from(&error)),
        };
        if page.missed {
            let mut gap = Event::default().event("gap").data(r#"{"missed":true}"#);
            if page.events.is_empty() {
                gap = gap.id(page.next.to_string());
            }
            self.ready.push_back(gap);
        } else if page.events.is_empty() {
            let stopping = self.app.stopping.clone();
            tokio::select! {
                news = self.app.backend.await_events(&self.cursor, KEEP_ALIVE) => {
                    if let Err(error) = news {
                        self.fail(&Problem::from(&error));
                    }
                }
                () = stopping.cancelled() => self.over = true,
            }
            return;
        }
        if page.missed {
            // What was seen of other streams stays seen; in those with a gap the page says where to go on.
            self.cursor = page.next.clone();
        }
        let mut cursor = if page.missed { before(&page.events, &page.next) } else { self.cursor.clone() };
        for event in &page.events {
            cursor.advance(event.stream, event.seq);
            let view = EventView::new(event, &cursor);
            let data = serde_json::to_string(&view).unwrap_or_default();
            self.ready.push_back(Event::default().id(view.id).data(data));
        }
        self.cursor = page.next;
    }

    fn fail(&mut self, problem: &Problem) {
        let data = serde_json::to_string(problem).unwrap_or_default();
        self.ready.push_back(Event::default().event("problem").data(data));
        self.over = true;
    }
}

/// A cursor that has seen nothing of the streams whose events follow, and everything of the others.
fn before(events: &[enhanced_locking_foundation::LockEvent], next: &EventCursor) -> EventCursor {
    let mut cursor = EventCursor::start();
    for part in next.to_string().split(',') {
        let Some((Ok(stream), Ok(seq))) = part.split_once(':').map(|(s, n)| (s.parse(), n.parse())) else {
            continue;
        };
        if !events.iter().any(|event| event.stream == stream) {
            cursor.advance(stream, seq);
        }
    }
    cursor
}

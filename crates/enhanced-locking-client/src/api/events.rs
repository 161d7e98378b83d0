//! Events in an answer: flat JSON, one object per change. Owns their view and the way back; sending them is the service's work.

use std::sync::Arc;

use enhanced_locking_foundation::{
    Cause, EndReason, EventCursor, EventKind, EventPage, FencingToken, LockEvent, OwnerId, Priority,
    RequestId, Timestamp,
};
use serde::{Deserialize, Serialize};

use super::{Details, ViewError};

/// One change of state.
///
/// ```
/// use enhanced_locking_client::api::EventView;
/// use enhanced_locking_foundation::{EventKind, LockEvent};
///
/// let view: EventView = serde_json::from_str(
///     r#"{"id": "0:1", "stream": 0, "seq": 1, "at": "2026-01-31T12:00:00Z", "kind": "resumed", "extended": 3}"#,
/// )?;
/// assert_eq!(LockEvent::try_from(view)?.kind, EventKind::Resumed { extended: 3 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventView {
    /// The cursor behind this event: pass it back as `after` or `Last-Event-ID` to go on from here.
    pub id: String,
    /// Which of the store's streams.
    pub stream: u32,
    /// Its number in the stream.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened: `queued`, `acquired`, `granted`, `claimed`, `renewed`, `reprioritised`, `transferred`,
    /// `resumed`, or the reason a request ended.
    pub kind: String,
    /// The request it happened to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// What that request asked for.
    #[serde(flatten)]
    pub details: Option<Details>,
    /// The token in question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<FencingToken>,
    /// Queued: the place it got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<usize>,
    /// Granted: how long it had waited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_ms: Option<u64>,
    /// Granted: the same in microseconds, exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_us: Option<u64>,
    /// Reprioritised and transferred: the priority or the owner it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Ended: who caused it, if it was not the owner or the clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Resumed: how many holders and waiters were given time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended: Option<usize>,
}

impl EventView {
    /// The view of an event; `cursor` is the place behind it.
    #[must_use]
    pub fn new(event: &LockEvent, cursor: &EventCursor) -> Self {
        let mut view = Self {
            id: cursor.to_string(),
            stream: event.stream,
            seq: event.seq,
            at: event.at,
            kind: event.kind.as_str().to_owned(),
            request_id: event.request.as_ref().map(|request| request.id.clone()),
            details: event.request.as_ref().map(|request| Details::from(&**request)),
            token: event.token,
            position: None,
            waited_ms: None,
            waited_us: None,
            from: None,
            cause: None,
            extended: None,
        };
        match &event.kind {
            EventKind::Queued { position } => view.position = Some(*position),
            EventKind::Granted { waited_us } => {
                view.waited_us = Some(*waited_us);
                view.waited_ms = Some(waited_us.div_ceil(1000));
            }
            EventKind::Reprioritised { from } => view.from = Some(from.as_str().to_owned()),
            EventKind::Transferred { from } => view.from = Some(from.as_str().to_owned()),
            EventKind::Ended { cause, .. } if *cause != Cause::none() => view.cause = Some(cause.clone()),
            EventKind::Resumed { extended } => view.extended = Some(*extended),
            _ => {}
        }
        view
    }
}

impl TryFrom<EventView> for LockEvent {
    type Error = ViewError;

    fn try_from(view: EventView) -> Result<Self, ViewError> {
        let missing = |what| ViewError::Missing { what };
        let kind = match view.kind.as_str() {
            "queued" => EventKind::Queued { position: view.position.ok_or(missing("position"))? },
            "acquired" => EventKind::Acquired,
            "granted" => EventKind::Granted { waited_us: view.waited_us.ok_or(missing("waited_us"))? },
            "claimed" => EventKind::Claimed,
            "renewed" => EventKind::Renewed,
            "reprioritised" => {
                let from = view.from.ok_or(missing("from"))?;
                let known = Priority::ALL.into_iter().find(|priority| priority.as_str() == from);
                EventKind::Reprioritised {
                    from: known.ok_or(ViewError::Unknown { what: "priority", given: from })?,
                }
            }
            // As an end, this name means that the lock went to another request: then nobody is named.
            "transferred" if view.from.is_some() => {
                EventKind::Transferred { from: OwnerId::new(view.from.ok_or(missing("from"))?)? }
            }
            "resumed" => EventKind::Resumed { extended: view.extended.ok_or(missing("extended"))? },
            ended => EventKind::Ended {
                reason: end_reason(ended)
                    .ok_or_else(|| ViewError::Unknown { what: "event", given: ended.to_owned() })?,
                cause: view.cause.unwrap_or_default(),
            },
        };
        let request = match (view.request_id, view.details) {
            (Some(id), Some(details)) => Some(Arc::new(details.into_request(id))),
            (Some(_), None) => return Err(missing("key")),
            (None, _) => None,
        };
        Ok(Self { stream: view.stream, seq: view.seq, at: view.at, kind, request, token: view.token })
    }
}

/// The reason with this name.
fn end_reason(name: &str) -> Option<EndReason> {
    use serde::de::IntoDeserializer;
    let name: serde::de::value::StrDeserializer<'_, serde::de::value::Error> = name.into_deserializer();
    EndReason::deserialize(name).ok()
}

/// One page of `GET /events/page`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventPageView {
    /// The events, oldest first.
    pub events: Vec<EventView>,
    /// Where to go on: pass it back as `after`.
    pub next: String,
    /// Whether events after the given cursor are no longer kept: look at the state anew.
    pub missed: bool,
}

impl EventPageView {
    /// The view of the page that was read after a cursor.
    #[must_use]
    pub fn new(after: &EventCursor, page: &EventPage) -> Self {
        let mut cursor = after.clone();
        let view = |event: &LockEvent| {
            cursor.advance(event.stream, event.seq);
            EventView::new(event, &cursor)
        };
        Self {
            events: page.events.iter().map(view).collect(),
            next: page.next.to_string(),
            missed: page.missed,
        }
    }
}

impl TryFrom<EventPageView> for EventPage {
    type Error = ViewError;

    fn try_from(view: EventPageView) -> Result<Self, ViewError> {
        Ok(Self {
            events: view.events.into_iter().map(LockEvent::try_from).collect::<Result<_, _>>()?,
            next: view.next.parse()?,
            missed: view.missed,
        })
    }
}

/// The answer to `GET /events/end`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorReply {
    /// The cursor.
    pub cursor: String,
}

#[cfg(test)]
mod tests {
    use super::super::views::samples;
    use super::*;

    #[test]
    fn every_kind_of_event_survives_the_journey() {
        let cause = Cause::new("ann", "stuck").unwrap();
        let ended = |reason| EventKind::Ended { reason, cause: Cause::none() };
        let kinds = vec![
            EventKind::Queued { position: 3 },
            EventKind::Acquired,
            EventKind::Granted { waited_us: 1501 },
            EventKind::Claimed,
            EventKind::Renewed,
            EventKind::Reprioritised { from: Priority::Low },
            EventKind::Transferred { from: OwnerId::new("old").unwrap() },
            ended(EndReason::Transferred),
            ended(EndReason::TimedOut),
            ended(EndReason::OwnerGone),
            EventKind::Ended { reason: EndReason::ForceReleased, cause },
            EventKind::Resumed { extended: 2 },
        ];
        let events: Vec<LockEvent> = (1u64..)
            .zip(kinds)
            .map(|(seq, kind)| LockEvent {
                stream: 0,
                seq,
                at: Timestamp::from_micros(seq),
                request: (!matches!(kind, EventKind::Resumed { .. }))
                    .then(|| Arc::new(samples::request("r"))),
                token: Some(FencingToken::from_u64(seq)),
                kind,
            })
            .collect();
        let page = EventPage { events, next: "0:12".parse().unwrap(), missed: true };
        let view = EventPageView::new(&EventCursor::start(), &page);
        assert_eq!(view.events[4].id, "0:5");
        let json = serde_json::to_string(&view).unwrap();
        let back: EventPageView = serde_json::from_str(&json).unwrap();
        assert_eq!(EventPage::try_from(back).unwrap(), page);
    }

    #[test]
    fn an_event_of_tomorrow_is_named_in_the_error() {
        let json = r#"{"id":"0:1","stream":0,"seq":1,"at":"2026-01-31T12:00:00Z","kind":"teleported"}"#;
        let error = LockEvent::try_from(serde_json::from_str::<EventView>(json).unwrap()).unwrap_err();
        assert!(error.to_string().contains("teleported"), "{error}");
    }
}

//! The demonstration as a story, read from the service's own events. Owns the sentences, the figures at the end, and the check that tokens only rise.

use std::collections::BTreeMap;
use std::time::Duration;

use enhanced_locking_foundation::{
    BackendError, EndReason, EventCursor, EventKind, FencingToken, LockBackend, LockEvent, RequestId,
    ResourceKey,
};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::actors::KEYS;
use crate::duration::human;
use crate::failure::Failure;
use crate::output::{Paint, Style, print, print_json, print_json_line};
use crate::session::Session;

const PAGE: usize = 500;
const POLL: Duration = Duration::from_millis(200);

/// The telling of the story, under way.
#[derive(Debug)]
pub(super) struct Story {
    finish: oneshot::Sender<()>,
    telling: JoinHandle<Result<Summary, Failure>>,
}

impl Story {
    /// Tells what happens from here on.
    pub(super) fn follow(session: Session, from: EventCursor) -> Self {
        let (finish, finished) = oneshot::channel();
        Self { finish, telling: tokio::spawn(tell(session, from, finished)) }
    }

    /// Tells the rest of what has happened, and adds it all up.
    pub(super) async fn finish(self) -> Result<Summary, Failure> {
        let _ = self.finish.send(());
        self.telling.await.map_err(|error| Failure::new(format!("the story broke off: {error}")))?
    }
}

async fn tell(
    session: Session,
    mut cursor: EventCursor,
    mut finished: oneshot::Receiver<()>,
) -> Result<Summary, Failure> {
    let mut summary = Summary::default();
    loop {
        // Looked at before reading: what has happened until then is read below.
        let last = finished.try_recv() != Err(oneshot::error::TryRecvError::Empty);
        loop {
            let page = session.backend.events(&cursor, PAGE).await?;
            for event in &page.events {
                let ours = event.request.as_ref().is_some_and(|request| KEYS.contains(&request.key.as_str()));
                if !ours {
                    continue;
                }
                summary.note(event);
                if session.json() {
                    let view = enhanced_locking_client::api::EventView::new(event, &page.next);
                    print_json_line(&view)?;
                } else if let Some(line) = sentence(event, session.out) {
                    print(&line)?;
                }
            }
            cursor = page.next;
            if page.events.len() < PAGE {
                break;
            }
        }
        if last {
            return Ok(summary);
        }
        let waited: Result<(), BackendError> = session.backend.await_events(&cursor, POLL).await;
        waited?;
    }
}

/// One event as a sentence; `None` for what is of no interest.
fn sentence(event: &LockEvent, style: Style) -> Option<String> {
    let request = event.request.as_ref()?;
    let key = request.key.as_str().trim_start_matches("demo/");
    let pull = request.pull.as_ref().map(|pull| format!("#{}", pull.number)).unwrap_or_default();
    let who = format!("{pull:5} {:22}", request.user.as_deref().unwrap_or_default());
    let hurry = if request.priority.index() > 2 { ", in a hurry" } else { "" };
    let (paint, what) = match &event.kind {
        EventKind::Queued { position } => {
            (Paint::Warn, format!("waits for {key} at place {position}{hurry}"))
        }
        EventKind::Acquired => (Paint::Good, format!("takes {key}")),
        EventKind::Granted { waited_us } => {
            (Paint::Good, format!("is handed {key} after {}", human(Duration::from_micros(*waited_us))))
        }
        EventKind::Ended { reason, cause } => match reason {
            EndReason::Released => (Paint::Dim, format!("releases {key}")),
            EndReason::Expired => {
                (Paint::Bad, format!("loses {key}: it gave no sign of life, its lease ran out"))
            }
            EndReason::ForceReleased => {
                (Paint::Bad, format!("loses {key}: taken away by {} ({})", cause.actor, cause.reason))
            }
            EndReason::TimedOut | EndReason::Cancelled => (Paint::Dim, format!("leaves the line for {key}")),
            other => (Paint::Bad, format!("is out of {key}: {other}")),
        },
        _ => return None,
    };
    Some(format!("{} {}\n", style.paint(Paint::Bold, who), style.paint(paint, what)))
}

/// What happened, in figures.
#[derive(Debug, Default)]
pub(super) struct Summary {
    granted: u64,
    waited: u64,
    longest_wait: Duration,
    expired: u64,
    forced: u64,
    highest: BTreeMap<ResourceKey, FencingToken>,
    holders: BTreeMap<ResourceKey, RequestId>,
    broken: Vec<String>,
}

impl Summary {
    fn note(&mut self, event: &LockEvent) {
        let Some(request) = &event.request else { return };
        match &event.kind {
            EventKind::Acquired => {}
            EventKind::Granted { waited_us } => {
                self.waited += 1;
                self.longest_wait = self.longest_wait.max(Duration::from_micros(*waited_us));
            }
            EventKind::Ended { reason, .. } => {
                match reason {
                    EndReason::Expired => self.expired += 1,
                    EndReason::ForceReleased => self.forced += 1,
                    _ => {}
                }
                if self.holders.get(&request.key) == Some(&request.id) {
                    self.holders.remove(&request.key);
                }
                return;
            }
            _ => return,
        }
        self.granted += 1;
        if let Some(other) = self.holders.insert(request.key.clone(), request.id.clone()) {
            self.broken.push(format!("{}: {} got it while {other} held it", request.key, request.id));
        }
        let Some(token) = event.token else { return };
        let highest = self.highest.entry(request.key.clone()).or_insert(FencingToken::NONE);
        if token <= *highest {
            self.broken.push(format!("{}: token {token} came after {highest}", request.key));
        }
        *highest = token.max(*highest);
    }

    /// Prints the figures.
    ///
    /// # Errors
    /// A [`Failure`] if two held one lock or a token did not rise: what must never happen.
    pub(super) fn print(&self, session: &Session) -> Result<(), Failure> {
        if session.json() {
            print_json(&json!({
                "granted": self.granted,
                "waited": self.waited,
                "longest_wait_ms": u64::try_from(self.longest_wait.as_millis()).unwrap_or(u64::MAX),
                "expired": self.expired,
                "forced": self.forced,
                "correct": self.broken.is_empty(),
            }))?;
        } else {
            print(&format!(
                "\n{} locks were granted, {} of them after waiting, {} at the longest; {} ran out, {} was taken away.\n",
                self.granted,
                self.waited,
                human(self.longest_wait),
                self.expired,
                self.forced
            ))?;
        }
        if self.broken.is_empty() {
            if !session.json() {
                print("Never did two hold one lock, and every token was higher than the one before.\n")?;
            }
            return Ok(());
        }
        Err(Failure::new(format!("the locks were not right:\n{}", self.broken.join("\n"))))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use enhanced_locking_foundation::{AcquireRequest, OwnerId, Timestamp};

    use super::*;

    fn granted(token: u64) -> LockEvent {
        let request = AcquireRequest::new(ResourceKey::new(KEYS[0]).unwrap(), OwnerId::new("o").unwrap());
        LockEvent {
            stream: 0,
            seq: token,
            at: Timestamp::ZERO,
            kind: EventKind::Granted { waited_us: 1_500_000 },
            request: Some(Arc::new(request.user("ann"))),
            token: Some(FencingToken::from_u64(token)),
        }
    }

    fn released(event: &LockEvent) -> LockEvent {
        let kind = EventKind::Ended {
            reason: EndReason::Released,
            cause: enhanced_locking_foundation::Cause::none(),
        };
        LockEvent { kind, ..event.clone() }
    }

    #[test]
    fn a_token_that_does_not_rise_is_noticed() {
        let mut summary = Summary::default();
        for token in [7, 8, 8] {
            let event = granted(token);
            summary.note(&event);
            summary.note(&released(&event));
        }
        assert_eq!(summary.broken.len(), 1);
        assert_eq!((summary.granted, summary.longest_wait), (3, Duration::from_millis(1500)));
    }

    #[test]
    fn two_holders_at_once_are_noticed() {
        let mut summary = Summary::default();
        summary.note(&granted(1));
        summary.note(&granted(2));
        assert_eq!(summary.broken.len(), 1);
    }

    #[test]
    fn the_story_leaves_out_what_is_of_no_interest() {
        let line = sentence(&granted(1), Style::default()).unwrap();
        assert!(line.contains("ann") && line.contains("is handed prod/network after 1s"), "{line}");
        assert_eq!(sentence(&LockEvent { kind: EventKind::Claimed, ..granted(1) }, Style::default()), None);
    }
}

//! `enhanced-locks watch`: what happens, as it happens. Owns the filter and resuming after the service was away.

use std::time::Duration;

use clap::Args;
use enhanced_locking_client::api::EventView;
use enhanced_locking_foundation::{BackendError, EventCursor, EventKind, LockBackend, LockEvent};

use crate::duration::human;
use crate::failure::Failure;
use crate::output::{Paint, Style, print, print_json_line};
use crate::session::Session;

/// Events read at once.
const PAGE: usize = 500;
/// How long one call waits for events.
const POLL: Duration = Duration::from_secs(30);
/// The pause before the service is asked again after it failed.
const RETRY: Duration = Duration::from_secs(1);

/// Follow what happens, live
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Goes on where it was when the service was restarted in between. With --output json every line is one event, whose \
`id` can be given to --after.")]
pub(crate) struct WatchArgs {
    /// Only these keys
    #[arg(long = "key", short = 'k', value_name = "KEY")]
    pub keys: Vec<String>,
    /// Only keys that start with this
    #[arg(long, value_name = "PREFIX")]
    pub prefix: Option<String>,
    /// Renewals and claims, too
    #[arg(long)]
    pub all: bool,
    /// Begin after this event, or with `start` at the oldest that is kept [default: what happens from now on]
    #[arg(long, value_name = "ID")]
    pub after: Option<String>,
    /// Stop after so many events
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
}

/// Runs the command, until it is stopped or has shown `--count` events.
///
/// # Errors
/// A [`Failure`] if the service cannot be reached at first, or gives up on us.
pub(crate) async fn run(args: WatchArgs, session: &Session) -> Result<(), Failure> {
    let mut cursor = match args.after.as_deref() {
        None => session.backend.events_end().await?,
        Some("start") => EventCursor::start(),
        Some(id) => id.parse()?,
    };
    let mut shown = 0;
    let mut away = false;
    while args.count.is_none_or(|count| shown < count) {
        let page = match next(session, &cursor).await {
            Ok(page) => page,
            Err(error) if error.is_transient() => {
                if !std::mem::replace(&mut away, true) {
                    session.warn(&format!("{}; waiting for it to come back", error.message()));
                }
                tokio::time::sleep(RETRY).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if std::mem::replace(&mut away, false) {
            session.warn("the service is back");
        }
        if page.missed {
            session.warn("some events are no longer kept by the service and were missed");
        }
        for event in &page.events {
            cursor.advance(event.stream, event.seq);
            if !args.wants(event) || args.count.is_some_and(|count| shown >= count) {
                continue;
            }
            shown += 1;
            if session.json() {
                print_json_line(&EventView::new(event, &cursor))?;
            } else {
                print(&sentence(event, session.out))?;
            }
        }
        cursor = page.next;
    }
    Ok(())
}

async fn next(
    session: &Session,
    cursor: &EventCursor,
) -> Result<enhanced_locking_foundation::EventPage, BackendError> {
    let page = session.backend.events(cursor, PAGE).await?;
    if !page.events.is_empty() || page.missed {
        return Ok(page);
    }
    session.backend.await_events(cursor, POLL).await?;
    session.backend.events(cursor, PAGE).await
}

impl WatchArgs {
    fn wants(&self, event: &LockEvent) -> bool {
        if matches!(event.kind, EventKind::Renewed | EventKind::Claimed) && !self.all {
            return false;
        }
        if self.keys.is_empty() && self.prefix.is_none() {
            return true;
        }
        event.request.as_ref().is_some_and(|request| {
            let key = request.key.as_str();
            self.keys.iter().any(|wanted| wanted == key)
                || self.prefix.as_ref().is_some_and(|prefix| key.starts_with(prefix.as_str()))
        })
    }
}

/// One event in one line.
fn sentence(event: &LockEvent, style: Style) -> String {
    let at = event.at.to_string();
    // Whole seconds are enough for people; the exact time is in the JSON.
    let time = at.split_once('T').map_or(at.as_str(), |(_, time)| time.get(..8).unwrap_or(time));
    let (paint, extra) = match &event.kind {
        EventKind::Queued { position } => (Paint::Warn, format!(" at place {position}")),
        EventKind::Acquired => (Paint::Good, String::new()),
        EventKind::Granted { waited_us } => {
            (Paint::Good, format!(" after {}", human(Duration::from_micros(*waited_us))))
        }
        EventKind::Reprioritised { from } => (Paint::Warn, format!(" from {from}")),
        EventKind::Transferred { from } => (Paint::Warn, format!(" from {from}")),
        EventKind::Ended { cause, .. } => {
            let by = if cause.actor.is_empty() { String::new() } else { format!(" by {}", cause.actor) };
            let why = if cause.reason.is_empty() { String::new() } else { format!(": {}", cause.reason) };
            (Paint::Dim, format!("{by}{why}"))
        }
        EventKind::Resumed { extended } => {
            (Paint::Warn, format!(" with {extended} leases and waits extended"))
        }
        _ => (Paint::Dim, String::new()),
    };
    let kind = style.paint(paint, format!("{:14}", event.kind.as_str()));
    let who = event.request.as_ref().map(|request| {
        let token = event.token.map(|token| format!(" (token {token})")).unwrap_or_default();
        format!("{}  {}{token}", style.paint(Paint::Bold, &request.key), request.owner)
    });
    format!(
        "{}  {kind}  {}{extra}\n",
        style.paint(Paint::Dim, time),
        who.unwrap_or_else(|| "the store".to_owned())
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use enhanced_locking_foundation::{
        AcquireRequest, Cause, EndReason, FencingToken, OwnerId, ResourceKey, Timestamp,
    };

    use super::*;

    fn event(key: &str, kind: EventKind) -> LockEvent {
        let request = AcquireRequest::new(ResourceKey::new(key).unwrap(), OwnerId::new("me").unwrap());
        LockEvent {
            stream: 0,
            seq: 1,
            at: Timestamp::from_micros(1_764_000_000_123_456),
            kind,
            request: Some(Arc::new(request)),
            token: Some(FencingToken::from_u64(7)),
        }
    }

    fn args(keys: &[&str], prefix: Option<&str>, all: bool) -> WatchArgs {
        WatchArgs {
            keys: keys.iter().map(ToString::to_string).collect(),
            prefix: prefix.map(Into::into),
            all,
            after: None,
            count: None,
        }
    }

    #[test]
    fn renewals_are_shown_only_on_demand() {
        let renewed = event("a", EventKind::Renewed);
        assert!(!args(&[], None, false).wants(&renewed));
        assert!(args(&[], None, true).wants(&renewed));
        assert!(!args(&["b"], None, true).wants(&renewed));
    }

    #[test]
    fn keys_and_prefixes_filter() {
        let acquired = event("prod/net", EventKind::Acquired);
        assert!(args(&["prod/net"], None, false).wants(&acquired));
        assert!(args(&[], Some("prod/"), false).wants(&acquired));
        assert!(!args(&["prod"], Some("dev/"), false).wants(&acquired));
    }

    #[test]
    fn an_event_is_one_line_that_says_who_and_why() {
        let cause = Cause::new("ops", "stuck").unwrap();
        let ended = event("k", EventKind::Ended { reason: EndReason::ForceReleased, cause });
        assert_eq!(
            sentence(&ended, Style::default()),
            "16:00:00  force_released  k  me (token 7) by ops: stuck\n"
        );
    }
}

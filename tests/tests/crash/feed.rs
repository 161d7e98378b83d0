//! Reads the event feed through every crash. Owns the check that it has no gap, that its tokens rise, and that nothing
//! in it is ever told differently afterwards.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use enhanced_locking_foundation::{EventCursor, EventKind, FencingToken, LockBackend, LockEvent};

use crate::calls::Calls;

/// Follows the feed from its beginning until told to stop, then to its end.
pub(crate) async fn follow(calls: &Calls, stop: &AtomicBool) -> Vec<LockEvent> {
    let mut all: Vec<LockEvent> = Vec::new();
    let mut cursor = EventCursor::start();
    loop {
        let stopping = stop.load(Ordering::SeqCst);
        if !stopping {
            let wait = Duration::from_millis(100);
            let _ = calls.once(async || calls.service.await_events(&cursor, wait).await).await;
        }
        let (page, _) = calls.resolved(async || calls.service.events(&cursor, 1_000).await).await;
        let Ok(page) = page else { return all };
        if page.missed {
            calls.ledger.defect("the feed has forgotten events that were not read");
        }
        let end = page.events.is_empty();
        all.extend(page.events);
        cursor = page.next;
        if stopping && end {
            return all;
        }
    }
}

/// Checks what was read against the tokens that clients were told, and against what the service tells now.
pub(crate) async fn check(calls: &Calls, all: &[LockEvent], told: &[FencingToken]) {
    for (at, event) in all.iter().enumerate() {
        if event.seq != at as u64 + 1 {
            calls.ledger.defect(format!("event {} of the feed has the number {}", at + 1, event.seq));
            return;
        }
    }
    let grants = all.iter().filter(|event| {
        matches!(event.kind, EventKind::Acquired | EventKind::Granted { .. } | EventKind::Transferred { .. })
    });
    let tokens: Vec<FencingToken> = grants.filter_map(|event| event.token).collect();
    for pair in tokens.windows(2).filter(|pair| pair[0] >= pair[1]) {
        calls.ledger.defect(format!("in the feed, token {} comes after {}", pair[1], pair[0]));
    }
    let tokens: BTreeSet<FencingToken> = tokens.into_iter().collect();
    for token in told.iter().filter(|token| !tokens.contains(token)) {
        calls.ledger.defect(format!("token {token} was told to a client, but the feed knows nothing of it"));
    }
    // What the service remembers must be what it said at the time.
    let again = follow_from_oldest(calls).await;
    let first = again.first().map_or(0, |event| event.seq);
    let then: Vec<&LockEvent> = all.iter().filter(|event| event.seq >= first && first > 0).collect();
    if let Some((now, then)) = again.iter().zip(&then).find(|(now, then)| now != *then) {
        calls.ledger.defect(format!("event {} was {then:?} and is now {now:?}", now.seq));
    }
    if again.len() < then.len() {
        calls.ledger.defect(format!("the feed has lost {} events at its end", then.len() - again.len()));
    }
}

async fn follow_from_oldest(calls: &Calls) -> Vec<LockEvent> {
    let (mut all, mut cursor) = (Vec::new(), EventCursor::start());
    loop {
        let (page, _) = calls.resolved(async || calls.service.events(&cursor, 1_000).await).await;
        match page {
            Ok(page) if !page.events.is_empty() => {
                all.extend(page.events);
                cursor = page.next;
            }
            _ => return all,
        }
    }
}

//! Sentences about locks and places in line. Owns their wording, the same in every command.

use enhanced_locking_foundation::{LockRecord, QueuePlace, Timestamp};

use super::{Paint, Style};
use crate::duration::human;

/// How long a lock has been held.
pub(crate) fn age(record: &LockRecord, now: Timestamp) -> String {
    human(now.since(record.acquired_at))
}

/// When a lock ends unless it is renewed.
pub(crate) fn expiry(record: &LockRecord, now: Timestamp) -> String {
    match (record.claim_by, record.expires_at) {
        (Some(at), _) if at > now => format!("unclaimed, {} left", human(at.since(now))),
        (Some(_), _) => "unclaimed".to_owned(),
        (None, None) => "never".to_owned(),
        (None, Some(at)) if at > now => format!("in {}", human(at.since(now))),
        (None, Some(_)) => "now".to_owned(),
    }
}

/// Who holds something and since when: `ann (acme/infra#42) for 3m 5s`.
pub(crate) fn holder_line(record: &LockRecord, now: Timestamp) -> String {
    let request = &record.request;
    let user = request.user.as_deref().filter(|user| !request.owner.as_str().contains(user));
    let user = user.map(|user| format!(" ({user})")).unwrap_or_default();
    format!("{}{user} for {}", request.owner, age(record, now))
}

/// Where a request stands and who is in its way, in one line.
pub(crate) fn place_line(place: &QueuePlace, now: Timestamp) -> String {
    let holders = match &*place.holders {
        [] => "about to be handed on".to_owned(),
        [one] => format!("held by {}", holder_line(one, now)),
        [one, rest @ ..] => format!("held by {} and {} more", holder_line(one, now), rest.len()),
    };
    format!("place {} of {}; {holders}", place.position, place.depth)
}

/// Everything about a lock, one property per line.
pub(crate) fn lock_details(record: &LockRecord, now: Timestamp, style: Style) -> String {
    let request = &record.request;
    let mut lines = vec![
        ("key", request.key.to_string()),
        ("owner", request.owner.to_string()),
        ("id", request.id.to_string()),
        ("token", record.token.to_string()),
        ("mode", request.mode.to_string()),
        ("held", format!("for {}, since {}", age(record, now), record.acquired_at)),
        ("expires", expiry(record, now)),
    ];
    if let Some(user) = &request.user {
        lines.insert(2, ("user", user.clone()));
    }
    if let Some(pull) = &request.pull {
        lines.insert(2, ("pull", pull.to_string()));
    }
    lines.extend(request.metadata.entries().iter().map(|(name, value)| (name.as_str(), value.clone())));
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    lines
        .into_iter()
        .map(|(name, value)| format!("{}  {value}\n", style.paint(Paint::Dim, format!("{name:width$}"))))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use enhanced_locking_foundation::{AcquireRequest, FencingToken, OwnerId, ResourceKey};

    use super::*;

    fn record(user: &str) -> LockRecord {
        let request = AcquireRequest::new(ResourceKey::new("k").unwrap(), OwnerId::new("ann@host").unwrap());
        LockRecord {
            request: Arc::new(request.user(user)),
            token: FencingToken::from_u64(7),
            acquired_at: Timestamp::ZERO,
            expires_at: Some(Timestamp::ZERO.plus(Duration::from_secs(90))),
            claim_by: None,
        }
    }

    #[test]
    fn the_user_is_named_only_if_the_owner_does_not_say_it_already() {
        let now = Timestamp::ZERO.plus(Duration::from_secs(60));
        assert_eq!(holder_line(&record("ann"), now), "ann@host for 1m");
        assert_eq!(holder_line(&record("bob"), now), "ann@host (bob) for 1m");
        assert_eq!(expiry(&record("ann"), now), "in 30s");
    }

    #[test]
    fn a_place_names_those_in_the_way() {
        let holder = record("ann");
        let mut place = QueuePlace {
            request: holder.request.clone(),
            position: 2,
            depth: 3,
            enqueued_at: Timestamp::ZERO,
            gives_up_at: None,
            holders: vec![holder.clone(), holder],
            generation: 1,
        };
        assert_eq!(place_line(&place, Timestamp::ZERO), "place 2 of 3; held by ann@host for 0s and 1 more");
        place.holders.clear();
        assert_eq!(place_line(&place, Timestamp::ZERO), "place 2 of 3; about to be handed on");
    }

    #[test]
    fn details_line_up() {
        let text = lock_details(&record("ann"), Timestamp::ZERO, Style::default());
        assert!(text.contains("\nowner    ann@host\n"), "{text}");
        assert!(text.contains("\nexpires  in 1m 30s\n"), "{text}");
    }
}

//! The rules H-1 to H-4, checked directly: cheap, and each names the calls that break it.
//!
//! All of them are sound: they complain only about what no correct lock can have done. The search in `linear` is
//! the complete check.

use std::collections::BTreeMap;
use std::time::Duration;

use enhanced_locking_foundation::{FencingToken, Grant, LockMode, RequestId, ResourceKey, Timestamp};

use super::{Call, Defect, Op, Outcome};

/// One grant as its client knows it.
#[derive(Clone, Debug)]
pub(super) struct GrantSeen {
    id: RequestId,
    token: FencingToken,
    mode: LockMode,
    /// When the first call that can have brought it was sent: one whose outcome is not known, or one answered with it.
    asked: Duration,
    /// When the client first knew of it.
    from: Duration,
    /// Until when it was certainly held, if nobody ended it; `None` for ever.
    lease_until: Option<Duration>,
    /// When the first call that may have ended it was sent.
    ended: Option<Duration>,
    granted_at: Option<Timestamp>,
    /// Server time of its end as last told; the inner `None` for never.
    expires_at: Option<Option<Timestamp>>,
}

impl GrantSeen {
    /// Until when it was certainly held.
    fn until(&self) -> Duration {
        self.ended.unwrap_or(Duration::MAX).min(self.lease_until.unwrap_or(Duration::MAX))
    }

    fn words(&self) -> String {
        format!("{} with token {} ({})", self.id, self.token, self.mode)
    }
}

/// The grants of one key, by token.
pub(super) fn grants(ops: &[&Op]) -> Vec<GrantSeen> {
    let mut seen: BTreeMap<(FencingToken, RequestId), GrantSeen> = BTreeMap::new();
    for op in ops {
        let (Call::Acquire { mode, lease, .. }, Outcome::Ok(Some(granted)), Some(returned)) =
            (op.call, op.outcome, op.returned)
        else {
            continue;
        };
        let grant = seen.entry((granted.token, op.id.clone())).or_insert_with(|| GrantSeen {
            id: op.id.clone(),
            token: granted.token,
            mode,
            asked: asked(ops, op),
            from: returned,
            lease_until: lease.map(|lease| asked(ops, op) + lease),
            ended: None,
            granted_at: granted.server.map(|(at, _)| at),
            expires_at: granted.server.map(|(_, expires)| expires),
        });
        grant.from = grant.from.min(returned);
    }
    for op in ops {
        for grant in seen.values_mut() {
            note(grant, op);
        }
    }
    seen.into_values().collect()
}

/// When the request of an answered acquire was first sent. A retry is told what an earlier try, whose reply was lost,
/// had brought, and does not begin the lease anew.
pub(super) fn asked(ops: &[&Op], answered: &Op) -> Duration {
    let first = ops.iter().find(|op| op.id == answered.id && matches!(op.call, Call::Acquire { .. }));
    first.map_or(answered.invoked, |first| first.invoked.min(answered.invoked))
}

fn note(grant: &mut GrantSeen, op: &Op) {
    let ends = match op.call {
        Call::Renew { token, lease } if op.id == grant.id && token == grant.token => {
            if let Outcome::Ok(granted) = op.outcome {
                grant.lease_until = grant.lease_until.map(|until| until.max(op.invoked + lease));
                if let Some((_, expires)) = granted.and_then(|granted| granted.server) {
                    grant.expires_at = Some(expires);
                }
            }
            false
        }
        Call::Release { token } => op.id == grant.id && token == grant.token,
        Call::Cancel => op.id == grant.id,
        // A force that was over before the lock was asked for cannot have ended it.
        Call::Force => op.returned.is_none_or(|returned| returned >= grant.asked),
        _ => false,
    };
    if ends && op.outcome != Outcome::Failed {
        grant.ended = Some(grant.ended.unwrap_or(Duration::MAX).min(op.invoked));
    }
}

/// Checks the calls of one key.
pub(super) fn check(
    key: &ResourceKey,
    ops: &[&Op],
    grants: &[GrantSeen],
    held_at_end: Option<&[Grant]>,
) -> Vec<Defect> {
    let mut defects = Vec::new();
    let mut found = |rule, what| defects.push(Defect { rule, key: key.clone(), what });
    exclusion_by_clients(grants, &mut found);
    exclusion_by_server(grants, &mut found);
    tokens(grants, &mut found);
    idempotency(ops, grants, &mut found);
    lost(key, ops, grants, held_at_end, &mut found);
    defects
}

fn exclusion_by_clients(grants: &[GrantSeen], found: &mut impl FnMut(&'static str, String)) {
    let mut by_start: Vec<_> = grants.iter().filter(|grant| grant.from < grant.until()).collect();
    by_start.sort_by_key(|grant| grant.from);
    // The holders so far that hold the longest, by mode: if any is in the way, one of them is.
    let mut longest: BTreeMap<LockMode, &GrantSeen> = BTreeMap::new();
    for grant in by_start {
        for other in longest.values() {
            if !other.mode.is_compatible_with(grant.mode) && grant.from < other.until() {
                found("H-1", format!("{} began while {} was held", grant.words(), other.words()));
            }
        }
        longest
            .entry(grant.mode)
            .and_modify(|other| {
                if other.until() < grant.until() {
                    *other = grant;
                }
            })
            .or_insert(grant);
    }
}

fn exclusion_by_server(grants: &[GrantSeen], found: &mut impl FnMut(&'static str, String)) {
    // Grants come by token.
    for pair in grants.windows(2) {
        let (Some(first), Some(second)) = (pair[0].granted_at, pair[1].granted_at) else { continue };
        if second < first {
            found("H-1", format!("{} was granted before {}", pair[1].words(), pair[0].words()));
        }
        if pair[0].ended.is_some() || pair[0].mode.is_compatible_with(pair[1].mode) {
            continue;
        }
        if pair[0].expires_at.is_some_and(|expires| expires.is_none_or(|expires| second < expires)) {
            found("H-1", format!("{} was granted before the end of {}", pair[1].words(), pair[0].words()));
        }
    }
}

fn tokens(grants: &[GrantSeen], found: &mut impl FnMut(&'static str, String)) {
    for pair in grants.windows(2) {
        if pair[0].token == pair[1].token {
            found("H-2", format!("{} and {}", pair[0].words(), pair[1].words()));
        }
    }
    // Going down from the highest token: nobody with a lower one may have asked after a higher one was known.
    let mut earliest: Option<&GrantSeen> = None;
    for grant in grants.iter().rev() {
        if let Some(higher) = earliest
            && grant.token < higher.token
            && higher.from < grant.asked
        {
            found("H-2", format!("{} came after {}", grant.words(), higher.words()));
        }
        if earliest.is_none_or(|higher| grant.from < higher.from) {
            earliest = Some(grant);
        }
    }
}

fn idempotency(ops: &[&Op], grants: &[GrantSeen], found: &mut impl FnMut(&'static str, String)) {
    let mut by_id: BTreeMap<&RequestId, &GrantSeen> = BTreeMap::new();
    for grant in grants {
        if let Some(first) = by_id.insert(&grant.id, grant) {
            found("H-3", format!("{} and {} are one request", first.words(), grant.words()));
        }
    }
    let mut ends: BTreeMap<&RequestId, Duration> = BTreeMap::new();
    for op in ops {
        if let (Call::Release { .. } | Call::Cancel, Outcome::Ok(_), Some(returned)) =
            (op.call, op.outcome, op.returned)
        {
            let end = ends.entry(&op.id).or_insert(returned);
            *end = returned.min(*end);
        }
    }
    for op in ops {
        if let (Call::Acquire { .. }, Outcome::Ok(_), Some(end)) = (op.call, op.outcome, ends.get(&op.id))
            && *end < op.invoked
        {
            found("H-3", format!("granted after its end: {op}"));
        }
    }
}

fn lost(
    key: &ResourceKey,
    ops: &[&Op],
    grants: &[GrantSeen],
    held_at_end: Option<&[Grant]>,
    found: &mut impl FnMut(&'static str, String),
) {
    for op in ops {
        let (Call::Renew { token, .. } | Call::Release { token }) = op.call else { continue };
        let (Outcome::Failed, Some(returned)) = (op.outcome, op.returned) else { continue };
        let grant = grants.iter().find(|grant| grant.id == op.id && grant.token == token);
        if let Some(grant) = grant
            && grant.from <= op.invoked
            && returned < grant.until()
        {
            found("H-4", format!("{} was lost: {op}", grant.words()));
        }
    }
    let Some(held) = held_at_end else { return };
    for grant in grants.iter().filter(|grant| grant.ended.is_none() && grant.lease_until.is_none()) {
        if !held.iter().any(|one| one.key == *key && one.id == grant.id && one.token == grant.token) {
            found("H-4", format!("{} is not there at the end", grant.words()));
        }
    }
}

//! The checks behind the names. Owns one function per invariant; the list and its documentation are in `mod`.

use std::collections::{BTreeMap, BTreeSet};

use enhanced_locking_foundation::{
    EndReason, EventKind, FencingToken, LockEvent, LockMode, QueueView, ResourceKey,
};

use super::{Finding, Fold};
use crate::conformance::FixturePolicy;
use crate::strategy::{Step, Trace, TraceStep};

/// LK-1.
pub(super) fn exclusion(trace: &Trace, _: &FixturePolicy) -> Result<(), Finding> {
    each(trace, |step| {
        for view in &step.views {
            let live: Vec<_> = view.holders.iter().filter(|record| !record.is_over(step.at)).collect();
            let alone = live.iter().any(|record| record.request.mode == LockMode::Exclusive);
            if alone && live.len() > 1 {
                let names: Vec<_> =
                    live.iter().map(|r| format!("{} {}", r.owner(), r.request.mode)).collect();
                return Err(format!("{} is held by {}", view.key, names.join(" and ")));
            }
        }
        Ok(())
    })
}

/// LK-2.
pub(super) fn tokens(trace: &Trace, _: &FixturePolicy) -> Result<(), Finding> {
    let mut last: BTreeMap<ResourceKey, FencingToken> = BTreeMap::new();
    each(trace, |step| {
        for event in &step.events {
            let Some(request) = &event.request else { continue };
            if !is_grant(event) {
                continue;
            }
            let Some(token) = event.token else { return Err(format!("{} without a token", words(event))) };
            if let Some(last) = last.insert(request.key.clone(), token)
                && token <= last
            {
                return Err(format!("{} has {token}, which is not above {last}", words(event)));
            }
        }
        for record in step.views.iter().flat_map(|view| &view.holders) {
            if last.get(&record.request.key).is_none_or(|last| record.token > *last) {
                return Err(format!("{} holds with {}, which no event told", record.owner(), record.token));
            }
        }
        Ok(())
    })
}

/// LK-3. Every change settles its line, so the stored head of a line is always blocked by a stored holder. The one
/// exception is a sweep that has used up its budget: a hand-off stops at a waiter whose own time has run out as well,
/// and its end, which hands on, is the next sweep's.
pub(super) fn wake_ups(trace: &Trace, policy: &FixturePolicy) -> Result<(), Finding> {
    let mut owed: BTreeSet<ResourceKey> = BTreeSet::new();
    each(trace, |step| {
        if let Step::Sweep { budget } = step.step {
            let ended = step.events.iter().filter(|event| matches!(event.kind, EventKind::Ended { .. }));
            let keys: Vec<_> = ended.filter_map(|event| Some(event.request.as_ref()?.key.clone())).collect();
            if keys.len() < budget {
                owed.clear();
            } else {
                owed.extend(keys);
            }
        }
        if step.stats.held >= policy.limits.locks_total {
            return Ok(());
        }
        for view in &step.views {
            let Some(first) = view.waiters.first() else { continue };
            let mode = first.request.mode;
            let blocked = view.holders.iter().any(|record| !record.request.mode.is_compatible_with(mode));
            if !blocked && !owed.contains(&view.key) {
                return Err(format!("{} waits for {} with nobody in its way", first.request.owner, view.key));
            }
        }
        Ok(())
    })
}

/// LK-4.
pub(super) fn order(trace: &Trace, policy: &FixturePolicy) -> Result<(), Finding> {
    let mut fold = Fold::new(policy.credits);
    each(trace, |step| {
        for event in &step.events {
            if let (EventKind::Acquired | EventKind::Granted { .. }, Some(request)) =
                (&event.kind, &event.request)
            {
                let key = fold.key(&request.key);
                let own = key.line.iter().find(|waiting| waiting.request.id == request.id);
                let mine =
                    own.map_or((fold.rank(event.at, request.priority), event.seq), |w| (w.rank, w.joined));
                if let Some(first) = key.line.first()
                    && (first.rank, first.joined) < mine
                {
                    return Err(format!("{} passed {}", words(event), first.request.owner));
                }
            }
            // What does not fit is reported by LK-9.
            let _ = fold.apply(event);
        }
        Ok(())
    })
}

/// LK-5.
pub(super) fn refusals(trace: &Trace, _: &FixturePolicy) -> Result<(), Finding> {
    each(trace, |step| {
        let by_time = |event: &&LockEvent| match event.kind {
            EventKind::Granted { .. } => true,
            EventKind::Ended { reason, .. } => matches!(
                reason,
                EndReason::Expired | EndReason::Unclaimed | EndReason::TimedOut | EndReason::Abandoned
            ),
            _ => false,
        };
        match step.events.iter().find(|event| step.refused && !by_time(event)) {
            Some(event) => Err(format!("answered {:?}, and yet {}", step.outcome, words(event))),
            None => Ok(()),
        }
    })
}

/// LK-9.
pub(super) fn feed(trace: &Trace, policy: &FixturePolicy) -> Result<(), Finding> {
    let mut fold = Fold::new(policy.credits);
    let mut last: BTreeMap<u32, u64> = BTreeMap::new();
    each(trace, |step| {
        if step.missed {
            return Err("the feed says that events are missing".to_owned());
        }
        for event in &step.events {
            let last = last.entry(event.stream).or_default();
            if event.seq != *last + 1 {
                return Err(format!("{} has sequence {}, after {last}", words(event), event.seq));
            }
            *last = event.seq;
            fold.apply(event)?;
        }
        let keys: BTreeSet<_> = fold.keys().chain(step.views.iter().map(|view| &view.key)).cloned().collect();
        for key in keys {
            let told = told(&fold, &key);
            let seen = seen(step.views.iter().find(|view| view.key == key));
            if told != seen {
                return Err(format!("{key}: the events tell {told:?}, the state is {seen:?}"));
            }
        }
        Ok(())
    })
}

/// LK-10.
pub(super) fn figures(trace: &Trace, _: &FixturePolicy) -> Result<(), Finding> {
    each(trace, |step| {
        let mut by_priority = [0; enhanced_locking_foundation::Priority::ALL.len()];
        for waiter in step.views.iter().flat_map(|view| &view.waiters) {
            by_priority[waiter.request.priority.index()] += 1;
        }
        let held: usize = step.views.iter().map(|view| view.holders.len()).sum();
        let waiting: usize = step.views.iter().map(|view| view.depth).sum();
        let joined = step.views.iter().flat_map(|view| &view.waiters).map(|w| w.enqueued_at).min();
        let oldest = joined.map(|joined| step.at.since(joined)).unwrap_or_default();
        let told = &step.stats;
        let counted = (held, waiting, by_priority, step.views.len(), oldest);
        let figures = (told.held, told.waiting, told.waiting_by_priority, told.resources, told.oldest_wait);
        if counted == figures {
            Ok(())
        } else {
            Err(format!("held, waiting, by priority, resources, oldest: {figures:?}, counted {counted:?}"))
        }
    })
}

fn each(trace: &Trace, mut check: impl FnMut(&TraceStep) -> Result<(), String>) -> Result<(), Finding> {
    trace.steps.iter().enumerate().try_for_each(|(index, step)| check(step).map_err(|what| (index, what)))
}

fn is_grant(event: &LockEvent) -> bool {
    matches!(event.kind, EventKind::Acquired | EventKind::Granted { .. } | EventKind::Transferred { .. })
}

fn words(event: &LockEvent) -> String {
    let who = event.request.as_ref().map_or_else(
        || "nobody".to_owned(),
        |request| format!("{} ({} for {})", request.owner, request.id, request.key),
    );
    format!("{who} was {}", event.kind.as_str())
}

/// Holders as (id, owner, token), and the ids in line.
type Shape = (BTreeSet<(String, String, Option<FencingToken>)>, Vec<String>);

fn told(fold: &Fold, key: &ResourceKey) -> Shape {
    let key = fold.key(key);
    let holders =
        key.holders.iter().map(|(id, held)| (id.to_string(), held.request.owner.to_string(), held.token));
    (holders.collect(), key.line.iter().map(|waiting| waiting.request.id.to_string()).collect())
}

fn seen(view: Option<&QueueView>) -> Shape {
    view.map_or_else(Shape::default, |view| {
        let holders = view
            .holders
            .iter()
            .map(|record| (record.request.id.to_string(), record.owner().to_string(), Some(record.token)));
        (holders.collect(), view.waiters.iter().map(|waiter| waiter.request.id.to_string()).collect())
    })
}

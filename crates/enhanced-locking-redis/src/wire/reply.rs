//! What scripts answer. Owns decoding into the values of the port; every tag that is not known is a typed error.

use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireError, AcquireOutcome, AcquireRequest, BackendError, BackendErrorKind, CancelOutcome, Cause,
    DocumentLimit, DocumentName, DocumentOutcome, Ended, EventKind, FencingToken, Limits, LockEvent,
    LockRecord, NotHeld, OwnerId, QueuePlace, QueueView, ReleaseOutcome, ReprioritiseError, RequestId,
    RequestState, ResourceKey, Stats, SweepOutcome, Timestamp, TransferError, WaitEdge,
};

use super::stored::{Stored, bad, priority, some_time};
use super::unpack::{Unpacker, corrupt};
use crate::layout::unpack_id;
use crate::script::{EVENTS, reason_of};

/// The answer to a batch of one bucket.
#[derive(Clone, Debug)]
pub(crate) enum Batch {
    /// All are held, and whether each is new. Empty if it was only asked.
    Held(Vec<(bool, LockRecord)>),
    /// Which could not be granted, by their place in the batch, and who is in the way.
    Busy(Vec<(usize, Vec<LockRecord>)>),
}

/// The answer to a look at a request.
pub(crate) type Turn = RequestState;

/// A part of a clearing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cleared {
    pub(crate) more: bool,
    pub(crate) ended: Vec<Stored>,
}

/// Locks found for a selector.
pub(crate) type Selected = Vec<LockRecord>;

/// A piece of one bucket's feed.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    /// The newest there is.
    pub(crate) last: u64,
    /// The oldest that is kept.
    pub(crate) oldest: u64,
    pub(crate) events: Vec<LockEvent>,
}

/// The answer to an acquire, and whether it was granted just now: then it is only a head, which begins with zero.
pub(crate) fn acquired(
    reply: &[u8],
    request: AcquireRequest,
    limits: &Limits,
) -> Result<(AcquireOutcome, bool), AcquireError> {
    let from = &mut Unpacker::new(reply);
    match from.number()? {
        0 => Ok((AcquireOutcome::Held(Stored::granted(request, reply)?.record()?), true)),
        1 => Ok((AcquireOutcome::Held(record(from)?), false)),
        2 => Ok((AcquireOutcome::Queued(place(from)?), false)),
        3 => Ok((AcquireOutcome::Busy(records(from)?), false)),
        tag => Err(refused(tag, from, &request.id, limits)?),
    }
}

/// The answer to a batch.
pub(crate) fn all_acquired(reply: &[u8], ids: &[&RequestId], limits: &Limits) -> Result<Batch, AcquireError> {
    let from = &mut Unpacker::new(reply);
    match from.number()? {
        1 => {
            let mut held = Vec::with_capacity(ids.len());
            while !from.is_empty() {
                held.push((from.number()? == 1, record(from)?));
            }
            Ok(Batch::Held(held))
        }
        3 => {
            let mut busy = Vec::new();
            for _ in 0..from.count()? {
                let at = from.count()?.checked_sub(1).filter(|at| *at < ids.len());
                busy.push((at.ok_or_else(|| corrupt("a place outside of the batch"))?, records(from)?));
            }
            Ok(Batch::Busy(busy))
        }
        tag => {
            let nobody = ids.first().ok_or_else(|| corrupt("a refusal of nothing"))?;
            Err(refused(tag, from, nobody, limits)?)
        }
    }
}

/// The answer to a release.
pub(crate) fn released(reply: &[u8]) -> Result<Result<ReleaseOutcome, NotHeld>, BackendError> {
    let from = &mut Unpacker::new(reply);
    Ok(match from.number()? {
        1 => Ok(ReleaseOutcome::Released { next: records(from)? }),
        2 => Ok(ReleaseOutcome::AlreadyReleased),
        3 => Err(not_held(from)?),
        _ => return Err(unknown_tag()),
    })
}

/// The answer to a renewal.
pub(crate) fn renewed(reply: &[u8]) -> Result<Result<LockRecord, NotHeld>, BackendError> {
    let from = &mut Unpacker::new(reply);
    match from.number()? {
        1 => Ok(Ok(record(from)?)),
        3 => Ok(Err(not_held(from)?)),
        _ => Err(unknown_tag()),
    }
}

/// The answer to a look.
pub(crate) fn turn(reply: &[u8]) -> Result<Turn, BackendError> {
    state(&mut Unpacker::new(reply))
}

/// The answer to a find.
pub(crate) fn found(reply: &[u8]) -> Result<Option<(ResourceKey, RequestState)>, BackendError> {
    let from = &mut Unpacker::new(reply);
    let key = from.text()?;
    if key.is_empty() {
        return Ok(None);
    }
    Ok(Some((ResourceKey::new(key).map_err(bad)?, state(from)?)))
}

/// The answer to a cancel.
pub(crate) fn cancelled(reply: &[u8]) -> Result<CancelOutcome, BackendError> {
    let from = &mut Unpacker::new(reply);
    match from.number()? {
        1 => Ok(CancelOutcome::Cancelled),
        2 => Ok(CancelOutcome::Held(record(from)?)),
        3 => Ok(CancelOutcome::Finished(ended(from)?)),
        _ => Err(unknown_tag()),
    }
}

/// The answer to a change of priority.
pub(crate) fn reprioritised(reply: &[u8]) -> Result<RequestState, ReprioritiseError> {
    let from = &mut Unpacker::new(reply);
    if from.clone().number()? == 6 { Err(ReprioritiseError::NotQueued) } else { Ok(state(from)?) }
}

/// The answer to a transfer.
pub(crate) fn transferred(reply: &[u8]) -> Result<LockRecord, TransferError> {
    let from = &mut Unpacker::new(reply);
    match from.number()? {
        1 => Ok(record(from)?),
        3 => Err(not_held(from)?.into()),
        4 => Err(TransferError::AlreadyHolds),
        5 => Err(TransferError::OtherMode),
        9 => Err(pausing(from)?.into()),
        _ => Err(unknown_tag().into()),
    }
}

/// The answer to a question about a document.
pub(crate) fn document(reply: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
    Ok(Unpacker::new(reply).maybe()?.map(<[u8]>::to_vec))
}

/// The answer to a change of a document.
pub(crate) fn document_put(reply: &[u8], limits: &Limits) -> Result<DocumentOutcome, BackendError> {
    let from = &mut Unpacker::new(reply);
    match from.number()? {
        1 => Ok(DocumentOutcome::Done { existed: from.number()? == 1 }),
        2 => Ok(DocumentOutcome::Differs(from.maybe()?.map(<[u8]>::to_vec))),
        3 => Err(DocumentLimit::Count { limit: limits.documents }.into()),
        4 => Err(DocumentLimit::Bytes { limit: limits.document_bytes }.into()),
        _ => Err(unknown_tag()),
    }
}

/// Names of documents.
pub(crate) fn documents(reply: &[u8]) -> Result<Vec<DocumentName>, BackendError> {
    let from = &mut Unpacker::new(reply);
    (0..from.count()?).map(|_| DocumentName::new(from.text()?).map_err(bad)).collect()
}

/// The answer to a force.
pub(crate) fn forced(reply: &[u8]) -> Result<Vec<LockRecord>, BackendError> {
    records(&mut Unpacker::new(reply))
}

/// The answer to a part of a clearing.
pub(crate) fn cleared(reply: &[u8]) -> Result<Cleared, BackendError> {
    let from = &mut Unpacker::new(reply);
    Ok(Cleared { more: from.number()? == 1, ended: entries(from)? })
}

/// The answer to a sweep.
pub(crate) fn swept(reply: &[u8]) -> Result<SweepOutcome, BackendError> {
    let from = &mut Unpacker::new(reply);
    Ok(SweepOutcome { ended: from.count()?, next: some_time(from.number()?) })
}

/// The answer about a resource.
pub(crate) fn resource(reply: &[u8]) -> Result<Option<QueueView>, BackendError> {
    let from = &mut Unpacker::new(reply);
    if from.number()? == 0 { Ok(None) } else { view(from).map(Some) }
}

/// A page of locks.
pub(crate) fn locks(reply: &[u8]) -> Result<Selected, BackendError> {
    records(&mut Unpacker::new(reply))
}

/// A page of lines.
pub(crate) fn queues(reply: &[u8]) -> Result<Vec<QueueView>, BackendError> {
    let from = &mut Unpacker::new(reply);
    (0..from.count()?).map(|_| view(from)).collect()
}

/// Edges of the graph.
pub(crate) fn edges(reply: &[u8]) -> Result<Vec<WaitEdge>, BackendError> {
    let from = &mut Unpacker::new(reply);
    let mut edges = Vec::new();
    for _ in 0..from.count()? {
        let stored = Stored::read(from)?;
        let mut pairs = || {
            (0..from.count()?)
                .map(|_| Ok((OwnerId::new(from.text()?).map_err(bad)?, from.number()?)))
                .collect::<Result<Vec<_>, BackendError>>()
        };
        let holders = pairs()?.into_iter().map(|(owner, token)| (owner, FencingToken::from_u64(token)));
        edges.push(WaitEdge {
            generation: stored.generation(),
            holders: holders.collect(),
            ahead: pairs()?,
            request: stored.request,
        });
    }
    Ok(edges)
}

/// Figures of one bucket.
pub(crate) fn stats(reply: &[u8]) -> Result<Stats, BackendError> {
    let from = &mut Unpacker::new(reply);
    let now = Timestamp::from_micros(from.number()?);
    let (held, waiting, resources) = (from.count()?, from.count()?, from.count()?);
    let oldest = some_time(from.number()?);
    let mut stats = Stats { now, held, waiting, resources, ..Stats::default() };
    stats.oldest_wait = oldest.map_or(Duration::ZERO, |since| now.since(since));
    for count in &mut stats.waiting_by_priority {
        *count = from.count()?;
    }
    Ok(stats)
}

/// A piece of the feed of a bucket.
pub(crate) fn events(reply: &[u8], stream: u32) -> Result<Events, BackendError> {
    let from = &mut Unpacker::new(reply);
    let (last, oldest) = (from.number()?, from.number()?);
    let mut events = Vec::new();
    while !from.is_empty() {
        events.push(event(&mut Unpacker::new(from.bytes()?), stream)?);
    }
    Ok(Events { last, oldest, events })
}

/// One number.
pub(crate) fn number(reply: &[u8]) -> Result<u64, BackendError> {
    Unpacker::new(reply).number()
}

/// The ids in a hint; what is not one is left out, for a hint decides nothing.
pub(crate) fn hints(message: &[u8]) -> Vec<RequestId> {
    let from = &mut Unpacker::new(message);
    let Ok(len) = from.list() else { return Vec::new() };
    (0..len).map_while(|_| from.bytes().ok()).filter_map(unpack_id).collect()
}

fn event(from: &mut Unpacker<'_>, stream: u32) -> Result<LockEvent, BackendError> {
    let kind = usize::from(from.byte()?).checked_sub(1).and_then(|at| EVENTS.get(at));
    let (seq, at, a) = (from.double()?, Timestamp::from_micros(from.double()?), from.double()?);
    let lengths = (from.length::<2>()?, from.length::<4>()?, from.length::<4>()?);
    let (id, b, c) = (from.raw(lengths.0)?, raw_text(from, lengths.1)?, raw_text(from, lengths.2)?);
    let kind = match kind.copied().unwrap_or_default() {
        "event_queued" => EventKind::Queued { position: usize::try_from(a).unwrap_or(usize::MAX) },
        "event_acquired" => EventKind::Acquired,
        "event_granted" => EventKind::Granted { waited_us: a },
        "event_claimed" => EventKind::Claimed,
        "event_renewed" => EventKind::Renewed,
        "event_reprioritised" => EventKind::Reprioritised { from: priority(a)? },
        "event_transferred" => EventKind::Transferred { from: OwnerId::new(b).map_err(bad)? },
        "event_ended" => EventKind::Ended {
            reason: reason_of(a).ok_or_else(|| corrupt("a reason that cannot be"))?,
            cause: Cause { actor: b.to_owned(), reason: c.to_owned() },
        },
        _ => return Err(corrupt("an event of an unknown kind")),
    };
    let (mut request, mut token) = (None, None);
    if !id.is_empty() {
        let id = unpack_id(id).ok_or_else(|| corrupt("an id that cannot be"))?;
        let stored = Stored::read_rest(id, from)?;
        token = stored.token();
        request = Some(stored.request);
    }
    Ok(LockEvent { stream, seq, at, kind, request, token })
}

fn raw_text<'a>(from: &mut Unpacker<'a>, len: usize) -> Result<&'a str, BackendError> {
    std::str::from_utf8(from.raw(len)?).map_err(|_| corrupt("a text that is not UTF-8"))
}

fn state(from: &mut Unpacker<'_>) -> Result<RequestState, BackendError> {
    match from.number()? {
        1 => Ok(RequestState::Held(record(from)?)),
        2 => Ok(RequestState::Queued(place(from)?)),
        4 => Ok(RequestState::Finished(ended(from)?)),
        5 => Ok(RequestState::Unknown),
        _ => Err(unknown_tag()),
    }
}

fn refused(
    tag: u64,
    from: &mut Unpacker<'_>,
    id: &RequestId,
    limits: &Limits,
) -> Result<AcquireError, BackendError> {
    let mut named = || unpack_id(from.bytes()?).ok_or_else(|| corrupt("an id that cannot be"));
    Ok(match tag {
        4 => AcquireError::Finished { id: named()?, ended: ended(from)? },
        5 => AcquireError::IdReused { id: named()? },
        6 => AcquireError::Upgrade,
        7 => {
            let (scope, limit) = match from.number()? {
                1 => ("for this key", limits.waiters_per_key),
                2 => ("for this owner", limits.waiters_per_owner),
                _ => ("in all", limits.waiters_total),
            };
            AcquireError::QueueFull { scope, waiting: from.count()?, limit }
        }
        8 => AcquireError::LimitReached { what: "locks", limit: limits.locks_total },
        9 => pausing(from)?.into(),
        _ => return Err(corrupt(&format!("an unknown refusal of {id}"))),
    })
}

/// Why nothing is granted for a while after a promotion: tells until when.
fn pausing(from: &mut Unpacker<'_>) -> Result<BackendError, BackendError> {
    let until = Timestamp::from_micros(from.number()?);
    let message = format!(
        "the server has changed and may have lost writes; nothing new is granted before {until}, try again then or wait in line"
    );
    Ok(BackendError::new(BackendErrorKind::Unavailable, message))
}

fn not_held(from: &mut Unpacker<'_>) -> Result<NotHeld, BackendError> {
    let none = from.clone().number()? == 0;
    let ended = if none {
        let _ = (from.number()?, from.number()?, from.number()?);
        None
    } else {
        Some(ended(from)?)
    };
    let current = Some(from.number()?).filter(|token| *token > 0).map(FencingToken::from_u64);
    Ok(NotHeld { ended, current })
}

fn ended(from: &mut Unpacker<'_>) -> Result<Ended, BackendError> {
    let reason = reason_of(from.number()?).ok_or_else(|| corrupt("a reason that cannot be"))?;
    let at = Timestamp::from_micros(from.number()?);
    let token = Some(from.number()?).filter(|token| *token > 0).map(FencingToken::from_u64);
    Ok(Ended { reason, at, token })
}

fn record(from: &mut Unpacker<'_>) -> Result<LockRecord, BackendError> {
    Stored::read(from)?.record()
}

fn entries(from: &mut Unpacker<'_>) -> Result<Vec<Stored>, BackendError> {
    (0..from.count()?).map(|_| Stored::read(from)).collect()
}

fn records(from: &mut Unpacker<'_>) -> Result<Vec<LockRecord>, BackendError> {
    entries(from)?.into_iter().map(Stored::record).collect()
}

fn place(from: &mut Unpacker<'_>) -> Result<QueuePlace, BackendError> {
    let stored = Stored::read(from)?;
    let (position, depth) = (from.count()?, from.count()?);
    Ok(stored.place(position, depth, records(from)?))
}

fn view(from: &mut Unpacker<'_>) -> Result<QueueView, BackendError> {
    let key = ResourceKey::new(from.text()?).map_err(bad)?;
    let depth = from.count()?;
    let holders = records(from)?;
    let waiters = entries(from)?.into_iter().enumerate().map(|(at, stored)| stored.view(at + 1)).collect();
    Ok(QueueView { key, holders, depth, waiters })
}

fn unknown_tag() -> BackendError {
    corrupt("an unknown tag")
}

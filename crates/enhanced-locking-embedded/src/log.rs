//! The log on disk, schema 3: what each commit added, and the seal that tells the newest state. Owns their exact form; keys and checksums are `record`'s.

use std::sync::Arc;

use enhanced_locking_core::TableMeta;
use enhanced_locking_foundation::{
    AcquireRequest, Cause, EndReason, Ended, EventKind, FencingToken, LockEvent, OwnerId, Priority,
    RequestId, ResourceKey, Ticket, Timestamp, ValueError,
};
use hashbrown::HashMap;
use serde::Deserialize;

use crate::record::{Request, checked, push_request, with_checksum};
use crate::wire::{push_count, push_number, push_option, push_text};

/// Where the log begins in the tree.
pub(crate) const LOG: u8 = b'l';

/// The two records of a commit in the log, beside each other in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A [`Batch`] of events.
    Events,
    /// The [`Ends`].
    Ends,
}

impl Part {
    /// The tree key of this part of a commit.
    pub(crate) fn key(self, commit: u64) -> [u8; 10] {
        let mut bytes = [LOG; 10];
        bytes[1..9].copy_from_slice(&commit.to_be_bytes());
        bytes[9] = match self {
            Self::Events => b'e',
            Self::Ends => b'f',
        };
        bytes
    }

    /// The commit and the part a tree key is of.
    pub(crate) fn of_key(key: &[u8]) -> Option<(u64, Self)> {
        let commit = u64::from_be_bytes(key.get(1..9)?.try_into().ok()?);
        [Self::Events, Self::Ends]
            .into_iter()
            .find(|part| part.key(commit) == *key)
            .map(|part| (commit, part))
    }
}

/// The events of one commit.
#[derive(Debug, Deserialize)]
pub(crate) struct Batch<'a> {
    /// The requests its events are about, each once.
    #[serde(borrow)]
    requests: Vec<Request<'a>>,
    #[serde(borrow)]
    events: Vec<Event<'a>>,
}

#[derive(Debug, Deserialize)]
struct Event<'a> {
    seq: u64,
    at: u64,
    /// Index into the batch's requests.
    request: Option<u32>,
    token: Option<u64>,
    #[serde(borrow)]
    kind: Kind<'a>,
}

#[derive(Debug, Deserialize)]
enum Kind<'a> {
    Queued(u64),
    Acquired,
    Granted(u64),
    Claimed,
    Renewed,
    Reprioritised(u8),
    Transferred(&'a str),
    /// The reason by its name, so that the order of variants is not a format; then actor and reason given.
    Ended(&'a str, &'a str, &'a str),
    Resumed(u64),
    /// An event this schema has no form for; kept so that sequences have no gaps.
    Other,
}

/// Appends a [`Batch`].
pub(crate) fn push_batch(bytes: &mut Vec<u8>, events: &[LockEvent]) {
    let mut places: HashMap<*const AcquireRequest, u64> = HashMap::with_capacity(events.len());
    let mut requests: Vec<&AcquireRequest> = Vec::with_capacity(events.len());
    for request in events.iter().filter_map(|event| event.request.as_ref()) {
        places.entry(Arc::as_ptr(request)).or_insert_with(|| {
            requests.push(request);
            requests.len() as u64 - 1
        });
    }
    push_count(bytes, requests.len());
    for request in requests {
        push_request(bytes, request);
    }
    push_count(bytes, events.len());
    for event in events {
        push_number(bytes, event.seq);
        push_number(bytes, event.at.as_micros());
        let place = event.request.as_ref().and_then(|request| places.get(&Arc::as_ptr(request)));
        push_option(bytes, place.copied(), push_number);
        push_option(bytes, event.token.map(FencingToken::as_u64), push_number);
        push_kind(bytes, &event.kind);
    }
}

/// Appends a [`Kind`]: its place among the variants, and what it has.
fn push_kind(bytes: &mut Vec<u8>, kind: &EventKind) {
    let mut number = |variant, number| {
        push_number(bytes, variant);
        push_number(bytes, number);
    };
    match kind {
        EventKind::Queued { position } => number(0, *position as u64),
        EventKind::Acquired => push_number(bytes, 1),
        EventKind::Granted { waited_us } => number(2, *waited_us),
        EventKind::Claimed => push_number(bytes, 3),
        EventKind::Renewed => push_number(bytes, 4),
        EventKind::Reprioritised { from } => {
            push_number(bytes, 5);
            bytes.push(u8::try_from(from.index()).unwrap_or(0));
        }
        EventKind::Transferred { from } => {
            push_number(bytes, 6);
            push_text(bytes, from.as_str());
        }
        EventKind::Ended { reason, cause } => {
            push_number(bytes, 7);
            push_text(bytes, reason.as_str());
            push_text(bytes, &cause.actor);
            push_text(bytes, &cause.reason);
        }
        EventKind::Resumed { extended } => number(8, *extended as u64),
        _ => push_number(bytes, 9),
    }
}

/// Appends the [`Ends`] of a commit: those its events tell of, and those it refused.
pub(crate) fn push_ends<'a>(
    bytes: &mut Vec<u8>,
    count: usize,
    ends: impl Iterator<Item = (&'a ResourceKey, &'a RequestId, Ended)>,
) {
    push_count(bytes, count);
    for (key, id, ended) in ends {
        push_text(bytes, key.as_str());
        push_text(bytes, id.as_str());
        push_text(bytes, ended.reason.as_str());
        push_number(bytes, ended.at.as_micros());
        push_option(bytes, ended.token.map(FencingToken::as_u64), push_number);
    }
}

impl Batch<'_> {
    pub(crate) fn into_events(self) -> Result<Vec<LockEvent>, String> {
        let requests: Vec<Arc<AcquireRequest>> =
            self.requests.into_iter().map(|r| r.into_request().map(Arc::new)).collect::<Result<_, _>>()?;
        let events = self.events.into_iter().map(|event| {
            let request = event.request.map(|index| {
                requests.get(index as usize).cloned().ok_or_else(|| format!("there is no request {index}"))
            });
            Ok(LockEvent {
                stream: 0,
                seq: event.seq,
                at: Timestamp::from_micros(event.at),
                kind: event.kind.into_kind()?,
                request: request.transpose()?,
                token: event.token.map(FencingToken::from_u64),
            })
        });
        events.collect()
    }
}

/// The requests one commit finished, in order: they are remembered longer than the events that tell of them, when
/// there are many events of other kinds.
#[derive(Debug, Deserialize)]
pub(crate) struct Ends<'a>(#[serde(borrow)] Vec<End<'a>>);

#[derive(Debug, Deserialize)]
struct End<'a> {
    key: &'a str,
    id: &'a str,
    reason: &'a str,
    at: u64,
    token: Option<u64>,
}

impl Ends<'_> {
    pub(crate) fn into_ends(self) -> Result<Vec<(Ticket, Ended)>, String> {
        let bad = |error: ValueError| error.to_string();
        let end = |end: End<'_>| {
            let ticket = Ticket {
                key: ResourceKey::new(end.key).map_err(bad)?,
                id: RequestId::new(end.id).map_err(bad)?,
            };
            let (reason, at) = (reason_of(end.reason)?, Timestamp::from_micros(end.at));
            Ok((ticket, Ended { reason, at, token: end.token.map(FencingToken::from_u64) }))
        };
        self.0.into_iter().map(end).collect()
    }
}

/// What a checkpoint leaves: written with every one, in the last record of the tree.
///
/// Every page of the file may be sound and the whole still wrong: a meta page that names an older state, a page
/// that was never written over its predecessor. The number tells which state is the newer one, the digest whether
/// the records are those of that state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seal {
    /// The number of the newest commit that is in the data file, from 1.
    pub(crate) number: u64,
    /// The sum of [`digest`] over all documents, entries and log records.
    pub(crate) digest: u64,
    /// The table's counters.
    pub(crate) meta: TableMeta,
}

impl Seal {
    /// Its key: the greatest in the tree.
    pub(crate) const KEY: &[u8] = b"mseal";

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = [self.number.to_le_bytes(), self.digest.to_le_bytes()].concat();
        push_meta(&mut bytes, &self.meta);
        with_checksum(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let bytes = checked(bytes).map_err(|found| format!("seal: {found}"))?;
        let (numbers, meta) = bytes.split_at_checked(16).ok_or("the seal is too short")?;
        let (meta, _) = split_meta(meta).ok_or("the seal is too short")?;
        let (number, digest) = numbers.split_at(8);
        Ok(Self { number: number_of(number), digest: number_of(digest), meta })
    }
}

/// Appends the table's counters.
pub(crate) fn push_meta(bytes: &mut Vec<u8>, meta: &TableMeta) {
    let TableMeta { last_token, last_sequence, last_event, time } = meta;
    for number in [last_token.as_u64(), *last_sequence, *last_event, time.as_micros()] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
}

/// Reads the table's counters; the rest is what follows them.
pub(crate) fn split_meta(bytes: &[u8]) -> Option<(TableMeta, &[u8])> {
    let (numbers, rest) = bytes.split_at_checked(32)?;
    let mut numbers = numbers.chunks(8).map(number_of);
    let meta = TableMeta {
        last_token: FencingToken::from_u64(numbers.next()?),
        last_sequence: numbers.next()?,
        last_event: numbers.next()?,
        time: Timestamp::from_micros(numbers.next()?),
    };
    Some((meta, rest))
}

fn number_of(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// What a record adds to [`Seal::digest`]. The value is not read beyond its length: it is known by its checksum,
/// which reading the record compares.
pub(crate) fn digest(key: &[u8], value: &[u8]) -> u64 {
    let sum = value.last_chunk::<4>().map_or(0, |sum| u32::from_le_bytes(*sum));
    // The finishing steps of splitmix64, so that the sum of two digests says nothing about that of two others.
    let mut mixed = u64::from(crc32fast::hash(key)) << 32 | u64::from(sum);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

impl Kind<'_> {
    fn into_kind(self) -> Result<EventKind, String> {
        let count = |n: u64| usize::try_from(n).map_err(|_| format!("{n} is no count"));
        Ok(match self {
            Self::Queued(position) => EventKind::Queued { position: count(position)? },
            Self::Acquired => EventKind::Acquired,
            Self::Granted(waited_us) => EventKind::Granted { waited_us },
            Self::Claimed => EventKind::Claimed,
            Self::Renewed => EventKind::Renewed,
            Self::Reprioritised(from) => {
                let from = Priority::ALL.get(usize::from(from));
                EventKind::Reprioritised { from: *from.ok_or("there is no such priority")? }
            }
            Self::Transferred(from) => {
                EventKind::Transferred { from: OwnerId::new(from).map_err(|e| e.to_string())? }
            }
            Self::Ended(reason, actor, why) => EventKind::Ended {
                reason: reason_of(reason)?,
                cause: Cause { actor: actor.to_owned(), reason: why.to_owned() },
            },
            Self::Resumed(extended) => EventKind::Resumed { extended: count(extended)? },
            Self::Other => EventKind::Resumed { extended: 0 },
        })
    }
}

fn reason_of(name: &str) -> Result<EndReason, String> {
    EndReason::parse(name).ok_or_else(|| format!("there is no end {name:?}"))
}

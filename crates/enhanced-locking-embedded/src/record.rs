//! Records on disk, schema 1. Owns their exact form; changing anything here needs a new schema and a step in `store::upgrade`.
//!
//! | key | value |
//! |---|---|
//! | `m` `schema` | the schema, u32 little endian |
//! | `e` resource key `00` request id | [`Entry`]: a holder or a waiter |
//! | `l` sequence of the last event, u64 big endian | [`Batch`]: one commit's events and the table's counters |
//!
//! Values other than the schema are postcard, followed by their CRC-32 in little endian: a flipped bit is
//! reported, never believed. Times are microseconds, durations too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_core::{StoredEntry, StoredState, TableMeta};
use enhanced_locking_foundation::{
    AcquireRequest, Cause, EndReason, Ended, EventKind, FencingToken, Lease, LockEvent, LockMode, Metadata,
    OwnerId, Priority, PullRequest, RequestId, ResourceKey, Ticket, Timestamp, ValueError, Wait,
};
use serde::{Deserialize, Serialize};

/// Where everything but the schema begins in the tree.
pub(crate) const ENTRY: u8 = b'e';
/// Where the log begins in the tree.
pub(crate) const LOG: u8 = b'l';
/// The key of the schema.
pub(crate) const SCHEMA_KEY: &[u8] = b"mschema";

/// The tree key of an entry. Resource keys have no control characters, so that the zero parts them from the id.
pub(crate) fn entry_key(ticket: &Ticket) -> Vec<u8> {
    let (key, id) = (ticket.key.as_str().as_bytes(), ticket.id.as_str().as_bytes());
    let mut bytes = Vec::with_capacity(key.len() + id.len() + 2);
    bytes.push(ENTRY);
    bytes.extend_from_slice(key);
    bytes.push(0);
    bytes.extend_from_slice(id);
    bytes
}

/// The tree key of a commit's log record.
pub(crate) fn log_key(last_event: u64) -> [u8; 9] {
    let mut bytes = [LOG; 9];
    bytes[1..].copy_from_slice(&last_event.to_be_bytes());
    bytes
}

/// Writes a record with its checksum.
pub(crate) fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>, postcard::Error> {
    let mut bytes = postcard::to_stdvec(record)?;
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    Ok(bytes)
}

/// Reads a record, if its checksum is right.
pub(crate) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    let (body, sum) = bytes.split_last_chunk::<4>().ok_or("the record is too short")?;
    if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
        return Err("the checksum is wrong".to_owned());
    }
    match postcard::take_from_bytes(body) {
        Ok((record, [])) => Ok(record),
        Ok(_) => Err("the record is too long".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// A request.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request<'a> {
    id: &'a str,
    key: &'a str,
    owner: &'a str,
    user: Option<&'a str>,
    #[serde(borrow)]
    pull: Option<(&'a str, i64)>,
    mode: u8,
    priority: u8,
    /// `None` is sticky.
    lease_us: Option<u64>,
    /// `None` is for ever, 0 not at all.
    wait_us: Option<u64>,
    max_age_us: Option<u64>,
    #[serde(borrow)]
    metadata: Vec<(&'a str, &'a str)>,
}

impl<'a> Request<'a> {
    pub(crate) fn of(request: &'a AcquireRequest) -> Self {
        Self {
            id: request.id.as_str(),
            key: request.key.as_str(),
            owner: request.owner.as_str(),
            user: request.user.as_deref(),
            pull: request.pull.as_ref().map(|pull| (pull.repo.as_str(), pull.number)),
            mode: match request.mode {
                LockMode::Shared => 1,
                _ => 0,
            },
            priority: u8::try_from(request.priority.index()).unwrap_or(0),
            lease_us: request.lease.duration().map(micros),
            wait_us: request.wait.limit().map(micros),
            max_age_us: request.max_age.map(micros),
            metadata: request.metadata.entries().iter().map(|(k, v)| (k.as_str(), v.as_str())).collect(),
        }
    }

    pub(crate) fn into_request(self) -> Result<AcquireRequest, String> {
        let bad = |error: ValueError| error.to_string();
        let entries: BTreeMap<String, String> =
            self.metadata.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        Ok(AcquireRequest {
            id: RequestId::new(self.id).map_err(bad)?,
            key: ResourceKey::new(self.key).map_err(bad)?,
            owner: OwnerId::new(self.owner).map_err(bad)?,
            user: self.user.map(str::to_owned),
            pull: self.pull.map(|(repo, number)| PullRequest::new(repo, number).map_err(bad)).transpose()?,
            mode: match self.mode {
                0 => LockMode::Exclusive,
                1 => LockMode::Shared,
                other => return Err(format!("there is no lock mode {other}")),
            },
            priority: *Priority::ALL
                .get(usize::from(self.priority))
                .ok_or_else(|| format!("there is no priority {}", self.priority))?,
            lease: self.lease_us.map_or(Lease::Sticky, |us| Lease::For(Duration::from_micros(us))),
            wait: match self.wait_us {
                None => Wait::Forever,
                Some(0) => Wait::No,
                Some(us) => Wait::AtMost(Duration::from_micros(us)),
            },
            max_age: self.max_age_us.map(Duration::from_micros),
            metadata: Metadata::new(entries).map_err(bad)?,
        })
    }
}

/// A holder or a waiter.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry<'a> {
    #[serde(borrow)]
    request: Request<'a>,
    state: State,
}

#[derive(Debug, Serialize, Deserialize)]
enum State {
    Held { token: u64, acquired_at: u64, expires_at: Option<u64>, claim_by: Option<u64> },
    Waiting { enqueued_at: u64, sequence: u64, gives_up_at: Option<u64> },
}

impl<'a> Entry<'a> {
    pub(crate) fn of(entry: &'a StoredEntry) -> Self {
        let us = |at: &Option<Timestamp>| at.map(Timestamp::as_micros);
        let state = match &entry.state {
            StoredState::Held { token, acquired_at, expires_at, claim_by } => State::Held {
                token: token.as_u64(),
                acquired_at: acquired_at.as_micros(),
                expires_at: us(expires_at),
                claim_by: us(claim_by),
            },
            StoredState::Waiting { enqueued_at, sequence, gives_up_at } => State::Waiting {
                enqueued_at: enqueued_at.as_micros(),
                sequence: *sequence,
                gives_up_at: us(gives_up_at),
            },
        };
        Self { request: Request::of(&entry.request), state }
    }

    pub(crate) fn into_stored(self) -> Result<StoredEntry, String> {
        let at = |us: Option<u64>| us.map(Timestamp::from_micros);
        let state = match self.state {
            State::Held { token, acquired_at, expires_at, claim_by } => StoredState::Held {
                token: FencingToken::from_u64(token),
                acquired_at: Timestamp::from_micros(acquired_at),
                expires_at: at(expires_at),
                claim_by: at(claim_by),
            },
            State::Waiting { enqueued_at, sequence, gives_up_at } => StoredState::Waiting {
                enqueued_at: Timestamp::from_micros(enqueued_at),
                sequence,
                gives_up_at: at(gives_up_at),
            },
        };
        Ok(StoredEntry { request: Arc::new(self.request.into_request()?), state })
    }
}

/// What one commit adds to the log.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Batch<'a> {
    last_token: u64,
    last_sequence: u64,
    last_event: u64,
    time: u64,
    /// The requests its events are about, each once.
    #[serde(borrow)]
    requests: Vec<Request<'a>>,
    #[serde(borrow)]
    events: Vec<Event<'a>>,
    /// Requests refused before they were seen: key, id, reason, time.
    #[serde(borrow)]
    refused: Vec<(&'a str, &'a str, &'a str, u64)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Event<'a> {
    seq: u64,
    at: u64,
    /// Index into the batch's requests.
    request: Option<u32>,
    token: Option<u64>,
    #[serde(borrow)]
    kind: Kind<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
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

/// A log record, read.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) meta: TableMeta,
    pub(crate) events: Vec<LockEvent>,
    pub(crate) refused: Vec<(Ticket, Ended)>,
}

impl<'a> Batch<'a> {
    pub(crate) fn of(meta: TableMeta, events: &'a [LockEvent], refused: &'a [(Ticket, Ended)]) -> Self {
        let mut requests: Vec<Request<'a>> = Vec::new();
        let mut seen: BTreeMap<*const AcquireRequest, u32> = BTreeMap::new();
        let mut index = |request: &'a Arc<AcquireRequest>| {
            *seen.entry(Arc::as_ptr(request)).or_insert_with(|| {
                requests.push(Request::of(request));
                u32::try_from(requests.len() - 1).unwrap_or(u32::MAX)
            })
        };
        let events = events
            .iter()
            .map(|event| Event {
                seq: event.seq,
                at: event.at.as_micros(),
                request: event.request.as_ref().map(&mut index),
                token: event.token.map(FencingToken::as_u64),
                kind: Kind::of(&event.kind),
            })
            .collect();
        let refused = refused
            .iter()
            .map(|(ticket, ended)| {
                (ticket.key.as_str(), ticket.id.as_str(), ended.reason.as_str(), ended.at.as_micros())
            })
            .collect();
        Self {
            last_token: meta.last_token.as_u64(),
            last_sequence: meta.last_sequence,
            last_event: meta.last_event,
            time: meta.time.as_micros(),
            requests,
            events,
            refused,
        }
    }

    pub(crate) fn into_log(self) -> Result<Log, String> {
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
        let refused = self.refused.into_iter().map(|(key, id, reason, at)| {
            let bad = |error: ValueError| error.to_string();
            let ticket =
                Ticket { key: ResourceKey::new(key).map_err(bad)?, id: RequestId::new(id).map_err(bad)? };
            let reason = reason_of(reason)?;
            Ok((ticket, Ended { reason, at: Timestamp::from_micros(at), token: None }))
        });
        Ok(Log {
            meta: TableMeta {
                last_token: FencingToken::from_u64(self.last_token),
                last_sequence: self.last_sequence,
                last_event: self.last_event,
                time: Timestamp::from_micros(self.time),
            },
            events: events.collect::<Result<_, String>>()?,
            refused: refused.collect::<Result<_, String>>()?,
        })
    }
}

impl<'a> Kind<'a> {
    fn of(kind: &'a EventKind) -> Self {
        match kind {
            EventKind::Queued { position } => Self::Queued(*position as u64),
            EventKind::Acquired => Self::Acquired,
            EventKind::Granted { waited_us } => Self::Granted(*waited_us),
            EventKind::Claimed => Self::Claimed,
            EventKind::Renewed => Self::Renewed,
            EventKind::Reprioritised { from } => Self::Reprioritised(u8::try_from(from.index()).unwrap_or(0)),
            EventKind::Transferred { from } => Self::Transferred(from.as_str()),
            EventKind::Ended { reason, cause } => Self::Ended(reason.as_str(), &cause.actor, &cause.reason),
            EventKind::Resumed { extended } => Self::Resumed(*extended as u64),
            _ => Self::Other,
        }
    }

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

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

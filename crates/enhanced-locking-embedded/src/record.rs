//! Records on disk, schema 3: their keys, their checksums, and the form of documents, holders and waiters. The log's is
//! in `log`.
//!
//! | key | value |
//! |---|---|
//! | `m` `schema` | the schema, u32 little endian |
//! | `m` `seal` | [`Seal`](crate::log::Seal): what the last checkpoint left, to be compared with what is found |
//! | `d` name of a document | its value as it is |
//! | `e` resource key `00` request id | [`Entry`]: a holder or a waiter |
//! | `l` number of the commit, u64 big endian, `e` | [`Batch`](crate::log::Batch): the commit's events |
//! | `l` number of the commit, u64 big endian, `f` | [`Ends`](crate::log::Ends): the requests it finished |
//!
//! Values are postcard (the schema and the seal are plain numbers, documents bytes), followed by their CRC-32 in little endian: a
//! flipped bit is reported, never believed. Times are microseconds, durations too. Changing anything here, in
//! `log` or in `frame` needs a new schema and a step in `store/schema.rs`; `m` `schema` and `m` `seal` stay as they are for ever.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_core::{StoredEntry, StoredState};
use enhanced_locking_foundation::{
    AcquireRequest, DocumentName, FencingToken, Lease, LockMode, Metadata, OwnerId, Priority, PullRequest,
    RequestId, ResourceKey, Timestamp, ValueError, Wait,
};
use serde::Deserialize;

use crate::wire::{push_count, push_number, push_option, push_signed, push_text};

/// Where documents begin in the tree.
pub(crate) const DOCUMENT: u8 = b'd';
/// Where holders and waiters begin in the tree.
pub(crate) const ENTRY: u8 = b'e';
/// The key of the schema.
pub(crate) const SCHEMA_KEY: &[u8] = b"mschema";

/// Appends the tree key of an entry. Resource keys have no control characters, so that the zero parts them from the id.
pub(crate) fn push_entry_key(bytes: &mut Vec<u8>, key: &ResourceKey, id: &RequestId) {
    bytes.push(ENTRY);
    bytes.extend_from_slice(key.as_str().as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(id.as_str().as_bytes());
}

/// Appends the tree key of a document. The longest fits in what LMDB takes for a key: almost half a page.
pub(crate) fn push_document_key(bytes: &mut Vec<u8>, name: &DocumentName) {
    bytes.push(DOCUMENT);
    bytes.extend_from_slice(name.as_str().as_bytes());
}

/// Reads a document, if its checksum is right.
pub(crate) fn read_document(key: &[u8], value: &[u8]) -> Result<(DocumentName, Arc<[u8]>), String> {
    let name = key.get(1..).unwrap_or_default();
    let name = std::str::from_utf8(name).map_err(|_| "its name is not UTF-8".to_owned())?;
    Ok((DocumentName::new(name).map_err(|e| e.to_string())?, checked(value)?.into()))
}

/// Appends a record with its checksum.
pub(crate) fn push_record(bytes: &mut Vec<u8>, record: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    record(bytes);
    let sum = crc32fast::hash(bytes.get(start..).unwrap_or_default());
    bytes.extend_from_slice(&sum.to_le_bytes());
}

/// Reads a record, if its checksum is right.
pub(crate) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    match postcard::take_from_bytes(checked(bytes)?) {
        Ok((record, [])) => Ok(record),
        Ok(_) => Err("the record is too long".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Appends the checksum of a record's bytes.
pub(crate) fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// The bytes of a record, if its checksum is right.
pub(crate) fn checked(bytes: &[u8]) -> Result<&[u8], String> {
    let (body, sum) = bytes.split_last_chunk::<4>().ok_or("the record is too short")?;
    if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
        return Err("the checksum is wrong".to_owned());
    }
    Ok(body)
}

/// Appends a [`Request`].
pub(crate) fn push_request(bytes: &mut Vec<u8>, request: &AcquireRequest) {
    push_text(bytes, request.id.as_str());
    push_text(bytes, request.key.as_str());
    push_text(bytes, request.owner.as_str());
    push_option(bytes, request.user.as_deref(), push_text);
    push_option(bytes, request.pull.as_ref(), |bytes, pull| {
        push_text(bytes, &pull.repo);
        push_signed(bytes, pull.number);
    });
    bytes.push(match request.mode {
        LockMode::Shared => 1,
        _ => 0,
    });
    bytes.push(u8::try_from(request.priority.index()).unwrap_or(0));
    push_option(bytes, request.lease.duration().map(micros), push_number);
    push_option(bytes, request.wait.limit().map(micros), push_number);
    push_option(bytes, request.max_age.map(micros), push_number);
    let metadata = request.metadata.entries();
    push_count(bytes, metadata.len());
    for (name, value) in metadata {
        push_text(bytes, name);
        push_text(bytes, value);
    }
}

/// Appends an [`Entry`].
pub(crate) fn push_entry(bytes: &mut Vec<u8>, entry: &StoredEntry) {
    push_request(bytes, &entry.request);
    let push_time = |bytes: &mut Vec<u8>, at: &Option<Timestamp>| {
        push_option(bytes, at.map(Timestamp::as_micros), push_number);
    };
    match &entry.state {
        StoredState::Held { token, acquired_at, expires_at, claim_by } => {
            push_number(bytes, 0);
            push_number(bytes, token.as_u64());
            push_number(bytes, acquired_at.as_micros());
            push_time(bytes, expires_at);
            push_time(bytes, claim_by);
        }
        StoredState::Waiting { enqueued_at, sequence, gives_up_at } => {
            push_number(bytes, 1);
            push_number(bytes, enqueued_at.as_micros());
            push_number(bytes, *sequence);
            push_time(bytes, gives_up_at);
        }
    }
}

/// A request.
#[derive(Debug, Deserialize)]
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

impl Request<'_> {
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
#[derive(Debug, Deserialize)]
pub(crate) struct Entry<'a> {
    #[serde(borrow)]
    request: Request<'a>,
    state: State,
}

#[derive(Debug, Deserialize)]
enum State {
    Held { token: u64, acquired_at: u64, expires_at: Option<u64>, claim_by: Option<u64> },
    Waiting { enqueued_at: u64, sequence: u64, gives_up_at: Option<u64> },
}

impl Entry<'_> {
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

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

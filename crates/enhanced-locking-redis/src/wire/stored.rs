//! Entries as the scripts store them. Owns their form on this side: what the scripts do not look at is opaque to them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireRequest, FencingToken, Lease, LockMode, LockRecord, Metadata, OwnerId, Priority, PullRequest,
    QueuePlace, RequestId, ResourceKey, Timestamp, Wait, WaiterView,
};
use enhanced_locking_foundation::{BackendError, ValueError};

use super::operation::name_of_pull;
use super::pack::Packer;
use super::unpack::{Unpacker, corrupt};
use crate::layout::unpack_id;
use crate::script::KINDS;

/// One stored entry.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) request: Arc<AcquireRequest>,
    state: State,
}

/// What changes of an entry: the head of its stored form.
#[derive(Clone, Copy, Debug)]
struct State {
    /// `None` for a waiter.
    token: Option<FencingToken>,
    since: Timestamp,
    limit: Option<Timestamp>,
    alive: Option<Timestamp>,
    sequence: u64,
}

impl State {
    fn read(from: &mut Unpacker<'_>) -> Result<Self, BackendError> {
        let plain = match KINDS.get(usize::from(from.byte()?)) {
            Some(&"plain") => true,
            Some(&"other") => false,
            _ => return Err(corrupt("an entry of another form")),
        };
        let token = Some(from.double()?).filter(|token| *token > 0).map(FencingToken::from_u64);
        let (since, limit) = (Timestamp::from_micros(from.double()?), some_time(from.double()?));
        let (alive, sequence) = if plain { (0, 0) } else { (from.double()?, from.double()?) };
        Ok(Self { token, since, limit, alive: some_time(alive), sequence })
    }
}

impl Stored {
    /// Reads the packed id and the stored form that follow.
    pub(crate) fn read(from: &mut Unpacker<'_>) -> Result<Self, BackendError> {
        let id = unpack_id(from.bytes()?).ok_or_else(|| corrupt("an id that cannot be"))?;
        Self::read_rest(id, &mut Unpacker::new(from.bytes()?))
    }

    /// Reads the stored form that is left.
    pub(crate) fn read_rest(id: RequestId, from: &mut Unpacker<'_>) -> Result<Self, BackendError> {
        let state = State::read(from)?;
        let key = ResourceKey::new(from.text()?).map_err(bad)?;
        let owner = OwnerId::new(from.text()?).map_err(bad)?;
        let pull = from.maybe()?.map(pull_of).transpose()?;
        let mode = if from.number()? == 0 { LockMode::Exclusive } else { LockMode::Shared };
        let lease = match from.number()? {
            0 => Lease::Sticky,
            micros => Lease::For(Duration::from_micros(micros)),
        };
        let wait = match from.signed()? {
            0 => Wait::No,
            limit => u64::try_from(limit).map_or(Wait::Forever, |l| Wait::AtMost(Duration::from_micros(l))),
        };
        let max_age = Some(from.number()?).filter(|age| *age > 0).map(Duration::from_micros);
        let priority = priority(from.number()?)?;
        let user = text(from.maybe()?)?;
        let metadata = from.maybe()?.map_or_else(|| Ok(Metadata::default()), metadata_of)?;
        let request =
            AcquireRequest { id, key, owner, user, pull, mode, priority, lease, wait, max_age, metadata };
        Ok(Self { request: Arc::new(request), state })
    }

    /// What a request becomes that was granted just now, and of which only the head was told.
    pub(crate) fn granted(mut request: AcquireRequest, head: &[u8]) -> Result<Self, BackendError> {
        let whole = |duration| Duration::from_micros(micros(duration));
        if let Lease::For(lease) = request.lease {
            request.lease = Lease::For(whole(lease));
        }
        if let Wait::AtMost(limit) = request.wait {
            request.wait = Wait::AtMost(whole(limit));
        }
        request.max_age = request.max_age.map(whole);
        Ok(Self { request: Arc::new(request), state: State::read(&mut Unpacker::new(head))? })
    }

    /// The token of a holder.
    pub(crate) fn token(&self) -> Option<FencingToken> {
        self.state.token
    }

    /// The record of a holder.
    pub(crate) fn record(self) -> Result<LockRecord, BackendError> {
        match self.state.token {
            Some(token) => Ok(LockRecord {
                request: self.request,
                token,
                acquired_at: self.state.since,
                expires_at: self.state.limit,
                claim_by: self.state.alive,
            }),
            None => Err(corrupt("a waiter where a holder belongs")),
        }
    }

    /// Whether it holds.
    pub(crate) fn holds(&self) -> bool {
        self.state.token.is_some()
    }

    /// The place of a waiter.
    pub(crate) fn place(self, position: usize, depth: usize, holders: Vec<LockRecord>) -> QueuePlace {
        QueuePlace {
            request: self.request,
            position,
            depth,
            enqueued_at: self.state.since,
            gives_up_at: self.state.limit,
            holders,
            generation: self.state.sequence,
        }
    }

    /// A waiter as others see it.
    pub(crate) fn view(self, position: usize) -> WaiterView {
        WaiterView {
            request: self.request,
            position,
            enqueued_at: self.state.since,
            gives_up_at: self.state.limit,
            generation: self.state.sequence,
        }
    }

    /// The number of its entry in the line.
    pub(crate) fn generation(&self) -> u64 {
        self.state.sequence
    }
}

/// What a request says, as it is stored: the tail of its entry. The names are in `script`.
pub(crate) fn said(request: &AcquireRequest) -> Vec<u8> {
    let wait = match request.wait {
        Wait::No => 0,
        Wait::AtMost(limit) => i64::try_from(micros(limit)).unwrap_or(i64::MAX),
        Wait::Forever => -1,
    };
    Packer::default()
        .text(request.key.as_str())
        .text(request.owner.as_str())
        .maybe(request.pull.as_ref().map(name_of_pull))
        .number(u64::from(request.mode == LockMode::Shared))
        .number(request.lease.duration().map_or(0, micros))
        .signed(wait)
        .number(request.max_age.map_or(0, micros))
        .number(request.priority.index() as u64)
        .maybe(request.user.as_deref())
        .maybe((!request.metadata.is_empty()).then(|| pack_metadata(&request.metadata)))
        .done()
}

/// Whole microseconds, at least one: zero has a meaning of its own.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).clamp(1, 1 << 52)
}

/// A point in time, of which zero is none.
pub(crate) fn some_time(micros: u64) -> Option<Timestamp> {
    (micros > 0).then(|| Timestamp::from_micros(micros))
}

/// The priority with an index.
pub(crate) fn priority(index: u64) -> Result<Priority, BackendError> {
    let priority = usize::try_from(index).ok().and_then(|index| Priority::ALL.get(index));
    priority.copied().ok_or_else(|| corrupt("a priority that cannot be"))
}

/// A value that breaks a rule it kept when it was stored.
pub(crate) fn bad(error: ValueError) -> BackendError {
    corrupt("a value that cannot be").with_source(error)
}

fn pull_of(name: &[u8]) -> Result<PullRequest, BackendError> {
    let name = std::str::from_utf8(name).map_err(|_| corrupt("a text that is not UTF-8"))?;
    let (repo, number) = name.trim_end_matches('\0').split_once('\0').unwrap_or((name, ""));
    let number = number.parse().map_err(|_| corrupt("a pull request without a number"))?;
    Ok(PullRequest { repo: repo.to_owned(), number })
}

fn text(bytes: Option<&[u8]>) -> Result<Option<String>, BackendError> {
    let text = bytes.map(|bytes| std::str::from_utf8(bytes).map(str::to_owned)).transpose();
    text.map_err(|_| corrupt("a text that is not UTF-8"))
}

fn pack_metadata(metadata: &Metadata) -> Vec<u8> {
    let entries = metadata.entries();
    let packer = Packer::default().number(entries.len() as u64);
    entries.iter().fold(packer, |to, (name, value)| to.text(name).text(value)).done()
}

fn metadata_of(form: &[u8]) -> Result<Metadata, BackendError> {
    let from = &mut Unpacker::new(form);
    let mut entries = BTreeMap::new();
    for _ in 0..from.count()? {
        entries.insert(from.text()?.to_owned(), from.text()?.to_owned());
    }
    Metadata::new(entries).map_err(bad)
}

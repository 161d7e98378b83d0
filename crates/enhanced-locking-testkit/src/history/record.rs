//! What clients did and saw. Owns operations and the recorder; the rules are in `rules` and `linear`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use enhanced_locking_foundation::{
    FencingToken, Grant, LockMode, LockRecord, RequestId, ResourceKey, Timestamp,
};
use tokio::time::Instant;

/// One call of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// Who.
    pub client: u32,
    /// On which key.
    pub key: ResourceKey,
    /// By which request.
    pub id: RequestId,
    /// What.
    pub call: Call,
    /// When it was sent, on the recorder's clock.
    pub invoked: Duration,
    /// When the answer was there; `None` if none came.
    pub returned: Option<Duration>,
    /// What came of it.
    pub outcome: Outcome,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (client, id, call, outcome) = (self.client, &self.id, &self.call, &self.outcome);
        write!(f, "client {client} {id} {call:?} {outcome:?} [{:?}, {:?}]", self.invoked, self.returned)
    }
}

/// What a client called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Acquire; with `wait`, the whole time from asking to the last answer is one call.
    Acquire {
        /// How.
        mode: LockMode,
        /// The lease, or the greatest age if that is shorter; `None` for a sticky lock without one.
        lease: Option<Duration>,
        /// Whether it stood in line.
        wait: bool,
    },
    /// Renew.
    Renew {
        /// With this token.
        token: FencingToken,
        /// The lease from then on.
        lease: Duration,
    },
    /// Release.
    Release {
        /// With this token.
        token: FencingToken,
    },
    /// Leave the line, or give back what was not claimed.
    Cancel,
    /// Force out all holders of the key. Record clears and transfers that can have hit it as this, too.
    Force,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done: granted, renewed, released (now or before), cancelled, forced.
    Ok(Option<Granted>),
    /// Not done, for a lock's reason: held by others, not held, waited in vain.
    Failed,
    /// Done or not: the reply was lost, or nobody waited for it.
    Unknown,
}

/// What a grant or a renewal said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The token.
    pub token: FencingToken,
    /// Server time of the grant and its end, if known.
    pub server: Option<(Timestamp, Option<Timestamp>)>,
}

impl From<&LockRecord> for Granted {
    fn from(record: &LockRecord) -> Self {
        Self { token: record.token, server: Some((record.acquired_at, record.expires_at)) }
    }
}

/// Everything that was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The calls.
    pub ops: Vec<Op>,
    /// What was held when all was over, if somebody looked.
    pub held_at_end: Option<Vec<Grant>>,
}

impl History {
    /// The calls by key, in the order they were sent.
    pub(super) fn by_key(&self) -> BTreeMap<ResourceKey, Vec<&Op>> {
        let mut keys: BTreeMap<_, Vec<&Op>> = BTreeMap::new();
        for op in &self.ops {
            keys.entry(op.key.clone()).or_default().push(op);
        }
        for ops in keys.values_mut() {
            ops.sort_by_key(|op| op.invoked);
        }
        keys
    }
}

/// Collects the calls of many clients. Cheap to clone.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// use enhanced_locking_foundation::{LockMode, RequestId, ResourceKey};
/// use enhanced_locking_testkit::history::{Call, Recorder, check};
///
/// let recorder = Recorder::new();
/// let key = ResourceKey::new("k")?;
/// let call = Call::Acquire { mode: LockMode::Exclusive, lease: None, wait: false };
/// let pending = recorder.begin(1, &key, &RequestId::generate(), call);
/// // … the call to the server, whose reply is lost …
/// pending.unknown();
/// assert!(check(&recorder.finish()).is_correct());
/// # Ok::<(), enhanced_locking_foundation::ValueError>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Recorder {
    start: Instant,
    ops: Arc<Mutex<Vec<Op>>>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Recorder {
    /// An empty recorder whose clock begins now.
    #[must_use]
    pub fn new() -> Self {
        Self { start: Instant::now(), ops: Arc::default() }
    }

    /// Notes that a call is about to be sent.
    #[must_use]
    pub fn begin(&self, client: u32, key: &ResourceKey, id: &RequestId, call: Call) -> Pending {
        let op = Op {
            client,
            key: key.clone(),
            id: id.clone(),
            call,
            invoked: self.start.elapsed(),
            returned: None,
            outcome: Outcome::Unknown,
        };
        Pending { recorder: self.clone(), op: Some(op) }
    }

    /// Everything recorded so far.
    #[must_use]
    pub fn finish(&self) -> History {
        let ops = self.ops.lock().unwrap_or_else(PoisonError::into_inner).clone();
        History { ops, held_at_end: None }
    }
}

/// A call that was sent. Dropped without an answer, as by a future that is dropped, its outcome is unknown.
#[derive(Debug)]
pub struct Pending {
    recorder: Recorder,
    op: Option<Op>,
}

impl Pending {
    /// It was done.
    pub fn ok(self, granted: Option<Granted>) {
        self.end(Outcome::Ok(granted));
    }

    /// It was not done, for a lock's reason.
    pub fn failed(self) {
        self.end(Outcome::Failed);
    }

    /// It may have been done.
    pub fn unknown(self) {
        drop(self);
    }

    /// It certainly did not happen, and says nothing about the lock: the server was not reached.
    pub fn never_sent(mut self) {
        self.op = None;
    }

    fn end(mut self, outcome: Outcome) {
        if let Some(op) = &mut self.op {
            op.returned = Some(self.recorder.start.elapsed());
            op.outcome = outcome;
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(op) = self.op.take() {
            self.recorder.ops.lock().unwrap_or_else(PoisonError::into_inner).push(op);
        }
    }
}

//! One call over HTTP and what its failure means. Owns deadlines and the three-valued outcome: an answer came,
//! nothing was sent, or nobody knows (`BackendErrorKind::Indeterminate`).

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use enhanced_locking_foundation::{BackendError, BackendErrorKind};
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::http::response::Parts;
use hyper::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::address::{Address, Target};
use super::connection::{Connection, Connections, Lost, Sent, TooLong};
use super::{ConnectError, RemoteConfig};
use crate::api::Problem;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The longest time a call may wait, so that deadlines stay within what timers can count.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// A call that got no answer of the kind expected.
#[derive(Debug)]
pub(super) enum CallError {
    /// The service refused, and said why.
    Refused(Box<Problem>),
    /// No answer, or not one of this service.
    Failed(BackendError),
}

impl CallError {
    /// As the error of an operation that knows no refusals of its own.
    pub(super) fn into_backend(self) -> BackendError {
        match self {
            Self::Refused(problem) => problem.into_backend_error(),
            Self::Failed(error) => error,
        }
    }
}

/// A call under construction.
#[derive(Debug)]
pub(super) struct Call {
    method: Method,
    target: Target,
    wait: Duration,
    changes: bool,
}

impl Call {
    /// A call that only looks.
    pub(super) fn read(path: &[&str]) -> Self {
        Self { method: Method::GET, target: Target::new(path), wait: Duration::ZERO, changes: false }
    }

    /// A call that changes something.
    pub(super) fn change(method: Method, path: &[&str]) -> Self {
        Self { method, changes: true, ..Self::read(path) }
    }

    /// Adds a parameter.
    pub(super) fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.target.ask(name, value);
        self
    }

    /// Adds a parameter, if there is a value.
    pub(super) fn maybe(self, name: &'static str, value: Option<impl fmt::Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Says how long the service may wait before it answers.
    pub(super) fn waiting(mut self, wait: Duration) -> Self {
        self.wait = wait.min(LONGEST);
        self
    }

    /// Says that the call changes something although it is a reading one (it keeps a place, it claims).
    pub(super) fn touching(mut self) -> Self {
        self.changes = true;
        self
    }
}

/// How far a call has come: what its failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing was sent.
    Connecting,
    /// The service may have it.
    Sent,
}

/// The way to one service.
#[derive(Debug)]
pub(super) struct Transport {
    address: Address,
    connections: Connections,
    config: RemoteConfig,
    closed: AtomicBool,
}

impl Transport {
    pub(super) fn new(config: &RemoteConfig) -> Result<Self, ConnectError> {
        let address = Address::new(config)?;
        let connections = Connections::new(address.dial().clone(), config.connect());
        Ok(Self { address, connections, config: config.clone(), closed: AtomicBool::new(false) })
    }

    pub(super) fn server(&self) -> &str {
        self.config.server()
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Makes a call without a body.
    pub(super) async fn call<T: DeserializeOwned>(&self, call: Call) -> Result<T, CallError> {
        self.send::<(), T>(call, None).await
    }

    /// Makes a call with a body.
    pub(super) async fn send<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        call: Call,
        body: Option<&B>,
    ) -> Result<T, CallError> {
        let changes = call.changes;
        self.exchange(call, body).await?.read(self, changes)
    }

    /// Makes a reading call whose answer has the same shape whatever its status says.
    pub(super) async fn any_status<T: DeserializeOwned>(&self, call: Call) -> Result<T, CallError> {
        let answer = self.exchange::<()>(call, None).await?;
        match serde_json::from_slice(&answer.body) {
            Ok(value) if answer.ours => Ok(value),
            _ => answer.read(self, false),
        }
    }

    /// Sends the call and takes in the whole answer.
    async fn exchange<B: Serialize + Sync>(&self, call: Call, body: Option<&B>) -> Result<Answer, CallError> {
        if self.closed.load(Ordering::Acquire) {
            let error = BackendError::new(BackendErrorKind::Closed, "this client was closed");
            return Err(CallError::Failed(error));
        }
        let Call { method, target, wait, changes } = call;
        let body = body.map(serde_json::to_vec).transpose().map_err(unsendable)?;
        let request = self.address.request(method, &target, body).map_err(unsendable)?;
        let mut phase = Phase::Connecting;
        let talk = self.talk(request, &mut phase);
        let answer = match tokio::time::timeout(wait + self.config.answer(), talk).await {
            Ok(answer) => answer,
            Err(elapsed) => Err(elapsed.into()),
        };
        answer.map_err(|error| self.no_answer(phase, changes, error))
    }

    /// Sends the request on a connection that is there, or else on a new one.
    async fn talk(&self, mut request: Sent, phase: &mut Phase) -> Result<Answer, BoxError> {
        loop {
            *phase = Phase::Connecting;
            let (mut connection, used) = match self.connections.take().await {
                Some(connection) => (connection, true),
                None => (self.connect().await?, false),
            };
            *phase = Phase::Sent;
            match connection.exchange(request).await {
                Ok((parts, body)) => {
                    self.connections.keep(connection);
                    return Ok(Answer::new(&parts, body));
                }
                // The other end had closed it meanwhile.
                Err(Lost::Unsent(again, _)) if used => request = *again,
                Err(Lost::Unsent(_, error)) => {
                    *phase = Phase::Connecting;
                    return Err(error.into());
                }
                Err(Lost::Unanswered(error)) => return Err(error.into()),
                Err(Lost::TooLong(error)) => return Err(error.into()),
            }
        }
    }

    async fn connect(&self) -> Result<Box<Connection>, BoxError> {
        tokio::time::timeout(self.config.connect(), self.connections.open()).await?
    }

    /// No answer: nothing was sent, or nobody knows.
    fn no_answer(&self, phase: Phase, changes: bool, error: BoxError) -> CallError {
        let server = self.server();
        let late = is_timeout(&*error);
        let (kind, message) = if phase == Phase::Connecting {
            let how = if late { "does not answer" } else { "cannot be reached" };
            let message = format!(
                "the service at {server} {how}; start one with `enhanced-locks serve`, or name another with `--server`"
            );
            (BackendErrorKind::Unavailable, message)
        } else if let Some(long) = error.downcast_ref::<TooLong>() {
            // It came, so the change was looked at; what it says nobody knows.
            let kind = if changes { BackendErrorKind::Indeterminate } else { BackendErrorKind::Corrupt };
            let message = format!(
                "{server} answered in a way Enhanced Locking does not: {long}; check the address and the version of the service, or ask for less at once"
            );
            (kind, message)
        } else {
            let what = if late { "did not answer in time" } else { "broke off the connection" };
            let kind = if changes { BackendErrorKind::Indeterminate } else { BackendErrorKind::Unavailable };
            (kind, format!("the service at {server} {what}"))
        };
        CallError::Failed(BackendError::new(kind, message).with_source(error))
    }

    /// An answer that no Enhanced Locking service gives.
    fn not_ours(
        &self,
        status: StatusCode,
        changes: bool,
        why: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> CallError {
        let server = self.server();
        let (kind, message) = match status.as_u16() {
            // A proxy that could not reach the service, or gave up on it.
            502 | 503 => (
                BackendErrorKind::Unavailable,
                format!("something between here and {server} answered {status}"),
            ),
            code if code >= 500 => {
                let kind =
                    if changes { BackendErrorKind::Indeterminate } else { BackendErrorKind::Unavailable };
                (kind, format!("something between here and {server} answered {status}"))
            }
            401 | 403 | 407 => {
                (BackendErrorKind::Denied, format!("something between here and {server} answered {status}"))
            }
            _ => (
                BackendErrorKind::Corrupt,
                format!(
                    "{server} answered {status} in a way Enhanced Locking does not; check the address and the version of the service"
                ),
            ),
        };
        // A gateway that lost the connection half-way also answers 502.
        let kind = if changes && status.as_u16() == 502 { BackendErrorKind::Indeterminate } else { kind };
        CallError::Failed(BackendError::new(kind, message).with_source(why))
    }
}

/// An answer as it came.
struct Answer {
    status: StatusCode,
    /// Whether it has the media type of an answer of ours.
    ours: bool,
    body: Bytes,
}

impl Answer {
    fn new(parts: &Parts, body: Bytes) -> Self {
        let ours = parts.headers.get(CONTENT_TYPE).is_some_and(|kind| {
            let kind = kind.as_bytes();
            kind.starts_with(b"application/json") || kind.starts_with(Problem::MEDIA_TYPE.as_bytes())
        });
        Self { status: parts.status, ours, body }
    }

    fn read<T: DeserializeOwned>(self, transport: &Transport, changes: bool) -> Result<T, CallError> {
        if self.status.is_success() {
            let body: &[u8] = if self.body.is_empty() { b"null" } else { &self.body };
            return serde_json::from_slice(body)
                .map_err(|error| transport.not_ours(self.status, changes, error));
        }
        match serde_json::from_slice::<Problem>(&self.body) {
            Ok(problem) if self.ours => Err(CallError::Refused(Box::new(problem))),
            Ok(_) => {
                Err(transport.not_ours(self.status, changes, "the content type is not that of a problem"))
            }
            Err(error) => Err(transport.not_ours(self.status, changes, error)),
        }
    }
}

fn unsendable(error: impl Into<BoxError>) -> CallError {
    let error = BackendError::new(BackendErrorKind::Invalid, "the request cannot be sent").with_source(error);
    CallError::Failed(error)
}

/// Whether time ran out, here or in the system.
fn is_timeout(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| {
        error.is::<tokio::time::error::Elapsed>()
            || error
                .downcast_ref::<std::io::Error>()
                .is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut)
    })
}

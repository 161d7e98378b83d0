//! One call over HTTP and what its failure means. Owns deadlines and the three-valued outcome: an answer came,
//! nothing was sent, or nobody knows (`BackendErrorKind::Indeterminate`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use enhanced_locking_foundation::{BackendError, BackendErrorKind};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, Method, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{ConnectError, RemoteConfig};
use crate::api::Problem;

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
pub(super) struct Call<'a> {
    method: Method,
    path: Vec<&'a str>,
    query: Vec<(&'static str, String)>,
    wait: Duration,
    changes: bool,
}

impl<'a> Call<'a> {
    /// A call that only looks.
    pub(super) fn read(path: &[&'a str]) -> Self {
        Self {
            method: Method::GET,
            path: path.to_vec(),
            query: Vec::new(),
            wait: Duration::ZERO,
            changes: false,
        }
    }

    /// A call that changes something.
    pub(super) fn change(method: Method, path: &[&'a str]) -> Self {
        Self { method, changes: true, ..Self::read(path) }
    }

    /// Adds a parameter.
    pub(super) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    /// Adds a parameter, if there is a value.
    pub(super) fn maybe(self, name: &'static str, value: Option<impl ToString>) -> Self {
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

/// The connection to one service.
#[derive(Debug)]
pub(super) struct Transport {
    client: Client,
    base: Url,
    config: RemoteConfig,
    closed: AtomicBool,
}

impl Transport {
    pub(super) fn new(config: &RemoteConfig) -> Result<Self, ConnectError> {
        let base = config.base()?;
        let mut headers = reqwest::header::HeaderMap::new();
        if let Some(value) = config.authorization()? {
            headers.insert(AUTHORIZATION, value);
        }
        let mut builder = Client::builder()
            .connect_timeout(config.connect())
            .default_headers(headers)
            .tcp_nodelay(true)
            // A redirect would turn a change into a reading call.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("enhanced-locking/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&base) {
            // Build machines have a proxy in their environment; it cannot reach a service on this machine.
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| ConnectError::Client(error.into()))?;
        Ok(Self { client, base, config: config.clone(), closed: AtomicBool::new(false) })
    }

    pub(super) fn server(&self) -> &str {
        self.config.server()
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Makes a call without a body.
    pub(super) async fn call<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, CallError> {
        self.send::<(), T>(call, None).await
    }

    /// Makes a call with a body.
    pub(super) async fn send<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        call: Call<'_>,
        body: Option<&B>,
    ) -> Result<T, CallError> {
        let changes = call.changes;
        self.exchange(&call, body).await?.read(self, changes)
    }

    /// Sends the call and takes in the whole answer.
    async fn exchange<B: Serialize + Sync>(
        &self,
        call: &Call<'_>,
        body: Option<&B>,
    ) -> Result<Answer, CallError> {
        if self.closed.load(Ordering::Acquire) {
            let error = BackendError::new(BackendErrorKind::Closed, "this client was closed");
            return Err(CallError::Failed(error));
        }
        let mut request = self
            .client
            .request(call.method.clone(), self.address(call)?)
            .query(&call.query)
            .timeout(call.wait + self.config.answer());
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|error| self.no_answer(error, call.changes))?;
        let status = answer.status();
        let ours =
            answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).is_some_and(|kind| {
                kind.starts_with("application/json") || kind.starts_with(Problem::MEDIA_TYPE)
            });
        let body = answer.bytes().await.map_err(|error| self.no_answer(error, call.changes))?;
        Ok(Answer { status, ours, body: body.to_vec() })
    }

    /// Makes a reading call whose answer has the same shape whatever its status says.
    pub(super) async fn any_status<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, CallError> {
        let answer = self.exchange::<()>(&call, None).await?;
        match serde_json::from_slice(&answer.body) {
            Ok(value) if answer.ours => Ok(value),
            _ => answer.read(self, false),
        }
    }

    fn address(&self, call: &Call<'_>) -> Result<Url, CallError> {
        let invalid = |message| CallError::Failed(BackendError::new(BackendErrorKind::Invalid, message));
        let mut url = self.base.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => segments.extend(&call.path),
            Err(()) => return Err(invalid("the address of the service cannot have a path")),
        };
        Ok(url)
    }

    /// No answer: nothing was sent, or nobody knows.
    fn no_answer(&self, error: reqwest::Error, changes: bool) -> CallError {
        let server = self.server();
        let (kind, message) = if error.is_builder() {
            (BackendErrorKind::Invalid, "the request cannot be sent".to_owned())
        } else if error.is_connect() {
            let how = if error.is_timeout() { "does not answer" } else { "cannot be reached" };
            let message = format!(
                "the service at {server} {how}; start one with `enhanced-locks serve`, or name another with `--server`"
            );
            (BackendErrorKind::Unavailable, message)
        } else {
            let what = if error.is_timeout() { "did not answer in time" } else { "broke off the connection" };
            let kind = if changes { BackendErrorKind::Indeterminate } else { BackendErrorKind::Unavailable };
            (kind, format!("the service at {server} {what}"))
        };
        // The address is in the message already, and could have a secret in its query.
        CallError::Failed(BackendError::new(kind, message).with_source(error.without_url()))
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
    body: Vec<u8>,
}

impl Answer {
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

fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        host == "localhost"
            || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

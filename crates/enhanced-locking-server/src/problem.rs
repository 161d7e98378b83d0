//! Refusals and failures on the wire (RFC 9457). Owns the way from an error to an answer; which error has which code is said by the API's bodies.

use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use enhanced_locking_client::api::{FieldProblem, Problem, ProblemKind};
use enhanced_locking_foundation::ErrorCode;

/// A problem on its way to the caller.
#[derive(Debug)]
pub(crate) struct Refusal(Box<Problem>);

impl Refusal {
    /// A refusal with a code, a status and words.
    pub(crate) fn new(code: ErrorCode, status: StatusCode, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(code, status.as_u16(), detail)))
    }

    /// Something is wrong with one field or parameter of the request.
    pub(crate) fn field(path: &str, message: impl Into<String>) -> Self {
        Problem::invalid(vec![FieldProblem { path: path.to_owned(), message: message.into() }]).into()
    }

    /// No such thing.
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        let mut refusal = Self::new(ErrorCode::NotFound, StatusCode::NOT_FOUND, detail);
        refusal.0.kind = Some(ProblemKind::Unknown);
        refusal
    }

    /// Too much at once: try again in a moment.
    pub(crate) fn busy(what: &str) -> Self {
        let mut refusal = Self::new(
            ErrorCode::ResourceExhausted,
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the service works on as many {what} as it may; try again in a moment"),
        );
        refusal.0.retry_after_ms = Some(1_000);
        refusal.0.kind = Some(ProblemKind::Unavailable);
        refusal
    }

    /// The service goes down.
    pub(crate) fn draining(detail: &str) -> Self {
        let mut refusal = Self::new(ErrorCode::Unavailable, StatusCode::SERVICE_UNAVAILABLE, detail);
        refusal.0.retry_after_ms = Some(2_000);
        refusal.0.kind = Some(ProblemKind::Draining);
        refusal
    }

    /// Changes the problem.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Problem)) -> Self {
        change(&mut self.0);
        self
    }
}

impl<P: Into<Problem>> From<P> for Refusal {
    fn from(problem: P) -> Self {
        Self(Box::new(problem.into()))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::warn!(code = self.0.code, detail = self.0.detail, "a call failed");
        } else {
            tracing::debug!(code = self.0.code, status = status.as_u16(), detail = self.0.detail, "refused");
        }
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, Problem::MEDIA_TYPE)], body).into_response();
        if let Some(ms) = self.0.retry_after_ms {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000)));
        }
        response
    }
}

/// The answer for an address nobody knows.
pub(crate) async fn no_such_route(uri: Uri) -> Refusal {
    let path: String = uri.path().chars().take(200).collect();
    Refusal::not_found(format!("there is nothing at {path}; the calls are listed at /docs"))
        .with(|problem| problem.kind = None)
}

/// The answer for a method that the address does not know; the router adds `Allow`.
pub(crate) async fn no_such_method(method: Method, uri: Uri) -> Refusal {
    let path: String = uri.path().chars().take(200).collect();
    Refusal::new(
        ErrorCode::InvalidRequest,
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{method} is not known at {path}; see the `Allow` header, and /docs for all calls"),
    )
}

/// The answer when a handler panicked: a defect of ours, of which the caller learns nothing more.
pub(crate) fn panicked(payload: Box<dyn std::any::Any + Send>) -> Response {
    let words = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(panic = words, "a handler panicked");
    Refusal::new(
        ErrorCode::Unavailable,
        StatusCode::INTERNAL_SERVER_ERROR,
        "an error inside the service; whether the change happened is not known, ask with the same request id",
    )
    .with(|problem| problem.kind = Some(ProblemKind::Indeterminate))
    .into_response()
}

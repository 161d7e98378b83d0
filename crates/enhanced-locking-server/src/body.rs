//! Reading what callers send: JSON bodies, query parameters, ids in addresses; and writing answers. Owns the words for malformed input; values are checked by the API's bodies.

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use enhanced_locking_client::api::ProblemKind;
use enhanced_locking_foundation::{ErrorCode, RequestId};
use futures_util::StreamExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::problem::Refusal;
use crate::words::plain;

/// A JSON body, read within the limits of size and time.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refusal> {
        parse(&json_bytes(request, app).await?).map(Self)
    }
}

/// A JSON body that may be left out: nothing is the same as `{}`. Only where every field is optional.
pub(crate) struct OptionalJson<T>(pub(crate) T);

impl<T: DeserializeOwned + Default> FromRequest<App> for OptionalJson<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refusal> {
        // Of nothing there is nothing to say, so it need not say that it is JSON. A web page of somebody else can send
        // that as well, so it must not do more than what is done all the time.
        if request.body().is_end_stream() {
            return Ok(Self(T::default()));
        }
        let bytes = json_bytes(request, app).await?;
        if bytes.is_empty() { Ok(Self(T::default())) } else { parse(&bytes).map(Self) }
    }
}

/// The bytes of a body that says it is JSON, read within the limits of size and time.
pub(crate) async fn json_bytes(request: Request, app: &App) -> Result<Bytes, Refusal> {
    expect_json(request.headers())?;
    let reading = read(request, app.config.max_body_bytes);
    tokio::time::timeout(app.config.read_timeout, reading).await.map_err(|_| {
        Refusal::new(
            ErrorCode::InvalidRequest,
            StatusCode::REQUEST_TIMEOUT,
            format!("the body did not arrive within {} s", app.config.read_timeout.as_secs()),
        )
    })?
}

/// Only JSON that says so: a web page of somebody else cannot send that without asking the browser for leave.
fn expect_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let given = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let media = given.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let had = given.map_or_else(|| "none".to_owned(), |given| format!("`{}`", given.escape_default()));
    Err(Refusal::new(
        ErrorCode::InvalidRequest,
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        format!("the body must be JSON and say so: send `Content-Type: application/json` (it has {had})"),
    ))
}

async fn read(request: Request, max: usize) -> Result<Bytes, Refusal> {
    let too_large = || {
        Refusal::new(
            ErrorCode::InvalidRequest,
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is longer than {max} bytes; ask for less at once"),
        )
    };
    let said = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if said.and_then(|length| length.parse::<usize>().ok()).is_some_and(|length| length > max) {
        return Err(too_large());
    }
    let (mut first, mut all) = (Bytes::new(), Vec::new());
    let mut stream = request.into_body().into_data_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| {
            Refusal::new(ErrorCode::InvalidRequest, StatusCode::BAD_REQUEST, "the body broke off")
        })?;
        if first.len().max(all.len()) + chunk.len() > max {
            return Err(too_large());
        }
        // Most bodies come in one piece, which is taken as it is.
        if first.is_empty() {
            first = chunk;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&chunk);
        }
    }
    Ok(if all.is_empty() { first } else { all.into() })
}

/// Reads JSON, and says where it is wrong.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    // The reader would take a list as the members in order: nobody means that.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(Refusal::field("", "the body must be a JSON object, not a list"));
    }
    // To know the place of a mistake costs; so only who made one pays for it.
    if let Ok(value) = serde_json::from_slice(bytes) {
        return Ok(value);
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value: T = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { String::new() } else { path };
        let error = error.into_inner();
        let (path, message) = match error.classify() {
            serde_json::error::Category::Eof if bytes.is_empty() => {
                (path, "the body is empty; a JSON object is needed".to_owned())
            }
            serde_json::error::Category::Data => plain(&path, &error.to_string()),
            _ => (path, format!("the body is not JSON: {error}")),
        };
        Refusal::field(&path, message)
    })?;
    json.end().map_err(|error| Refusal::field("", format!("the body goes on after the JSON: {error}")))?;
    Ok(value)
}

/// An answer in JSON.
pub(crate) struct Answer<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        // Room for one lock: most answers are no longer, and need not move while they grow.
        let mut text = Vec::with_capacity(1024);
        match serde_json::to_writer(&mut text, &self.0) {
            Ok(()) => {
                let kind = HeaderValue::from_static("application/json");
                let mut response = Response::new(Body::from(text));
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                response
            }
            Err(error) => {
                tracing::error!(%error, "an answer cannot be written");
                let detail =
                    "an error inside the service; ask with the same request id whether the change happened";
                Refusal::new(ErrorCode::Unavailable, StatusCode::INTERNAL_SERVER_ERROR, detail)
                    .with(|problem| problem.kind = Some(ProblemKind::Indeterminate))
                    .into_response()
            }
        }
    }
}

/// The parameters behind the `?`.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => {
                let (path, said) = said(&rejection);
                let (path, message) = plain(&path, &said);
                Err(Refusal::field(&path, message.replace("unknown field", "unknown parameter")))
            }
        }
    }
}

/// The parameter that is wrong and the cause, without the library's own preface.
fn said(rejection: &axum::extract::rejection::QueryRejection) -> (String, String) {
    let mut error: &dyn std::error::Error = rejection;
    while let Some(source) = error.source() {
        error = source;
    }
    let text = error.to_string();
    let is_name = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match text.split_once(": ") {
        Some((path, said)) if is_name(path) => (path.to_owned(), said.to_owned()),
        _ => (String::new(), text),
    }
}

/// The id in an address.
pub(crate) struct Id(pub(crate) RequestId);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Path(id) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Refusal::field("id", "the id in the address is not valid UTF-8"))?;
        RequestId::new(id).map(Self).map_err(|error| Refusal::field("id", error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use enhanced_locking_client::api::LockBody;

    use super::*;

    fn message(bytes: &[u8]) -> String {
        let mut words = String::new();
        let refusal = parse::<LockBody>(bytes).err().unwrap();
        let _ = refusal.with(|problem| {
            assert_eq!(problem.status, 400);
            words = format!("{}|{}", problem.problems[0].path, problem.problems[0].message);
        });
        words
    }

    #[test]
    fn malformed_json_is_explained_with_its_place() {
        assert!(message(b"").contains("the body is empty"));
        assert!(message(b"{\"owner\": ").contains("is not JSON: EOF"));
        assert!(message(b"{\"owner\": nope}").contains("line 1 column"));
        assert!(message(b"{\"owner\":\"o\"} x").contains("goes on after"));
        assert!(message(b"{\"owner\": \"\xff\"}").contains("not JSON"));
    }

    #[test]
    fn wrong_types_name_their_field() {
        assert!(
            message(br#"{"owner":"o","lease_ms":"5s"}"#).starts_with("lease_ms|`lease_ms` must be a whole")
        );
        assert!(message(br#"{"owner":"o","pull":{"repo":1}}"#).starts_with("pull.repo|"));
        assert!(message(br#"{"owner":"o","mode":"alone"}"#).contains("expected `exclusive` or `shared`"));
    }
}

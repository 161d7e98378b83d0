//! Who may call. Owns the bearer token check and the audit line; roles and scopes come later.

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use enhanced_locking_foundation::{Cause, ErrorCode};

use crate::app::App;
use crate::connection::Peer;
use crate::problem::Refusal;

/// Addresses that need no token: probes, the pages, which hold no data of their own, and webhooks, whose senders have
/// secrets of their own.
const FREE: [&str; 8] = [
    "/",
    "/docs",
    "/healthz",
    "/readyz",
    "/api/enhanced-locks/docs",
    "/api/enhanced-locks/openapi.json",
    "/api/enhanced-locks/webhooks/github",
    "/api/enhanced-locks/webhooks/gitlab",
];

/// Lets a call through if no token is configured, the address needs none, or the right one is presented.
pub(crate) fn check(app: &App, request: &Request) -> Result<(), Box<Response>> {
    let Some(token) = &app.config.auth_token else { return Ok(()) };
    if FREE.contains(&request.uri().path()) {
        return Ok(());
    }
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = given.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let detail = match bearer {
        Some(given) if token.matches(given) => return Ok(()),
        Some(_) => "the token is not the right one",
        None => "a token is needed: send `Authorization: Bearer TOKEN`",
    };
    let mut response = Refusal::new(ErrorCode::Denied, StatusCode::UNAUTHORIZED, detail).into_response();
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"enhanced-locks\""));
    Err(Box::new(response))
}

/// Notes an action that takes something away from somebody.
pub(crate) fn audit(action: &str, what: &dyn std::fmt::Display, cause: &Cause, peer: Peer, affected: usize) {
    tracing::info!(
        target: "audit",
        action,
        what = %what,
        actor = cause.actor,
        reason = cause.reason,
        peer = %peer,
        affected,
        "audit"
    );
}

//! The pages: the dashboard and the readable documentation. Owns their delivery under a strict content policy; each is one file without outside resources.

use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use enhanced_locking_foundation::RequestId;

const DASHBOARD: &str = include_str!("assets/dashboard.html");
const DOCS: &str = include_str!("assets/docs.html");
const OPENAPI: &str = include_str!("assets/openapi.json");

/// The place of the number that admits a page's own scripts and styles, and only those.
const NONCE: &str = "__NONCE__";

/// `GET /`.
pub(crate) async fn dashboard() -> Response {
    page(DASHBOARD)
}

/// `GET /docs`.
pub(crate) async fn docs() -> Response {
    page(DOCS)
}

/// `GET /openapi.json`.
pub(crate) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

fn page(html: &str) -> Response {
    let nonce = RequestId::generate();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let headers: [(HeaderName, String); 5] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (headers, html.replace(NONCE, nonce.as_str())).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_need_nothing_from_outside_and_never_parse_data_as_markup() {
        for (name, html) in [("dashboard", DASHBOARD), ("docs", DOCS)] {
            for banned in [
                "http://",
                "https://",
                "innerHTML",
                "outerHTML",
                "insertAdjacent",
                "document.write",
                "eval(",
                "style=\"",
                "onclick=",
            ] {
                assert!(!html.contains(banned), "{name} has {banned}");
            }
            assert_eq!(html.matches(NONCE).count(), 2, "{name}: one script, one style");
        }
    }
}

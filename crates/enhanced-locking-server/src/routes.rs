//! Which call goes where. Owns the table of routes; what the calls do is in the modules by area.

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware;
use axum::routing::{get, patch, post};
use enhanced_locking_client::api::BASE_PATH;
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::App;
use crate::{acquire, auth, dashboard, events, limits, lines, locks, operations, problem, requests};

/// One call of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The method.
    pub method: &'static str,
    /// The path from the root, with `{id}` for the id of a request or lock.
    pub path: &'static str,
}

macro_rules! routes {
    ($($method:ident $path:literal)*) => {
        &[$(Route { method: stringify!($method), path: $path }),*]
    };
}

/// Every call of the service: what the documentation describes, no less and no more.
pub const ROUTES: &[Route] = routes! {
    GET "/api/enhanced-locks/locks"
    POST "/api/enhanced-locks/locks"
    POST "/api/enhanced-locks/locks/batch"
    POST "/api/enhanced-locks/locks/renew"
    POST "/api/enhanced-locks/locks/force-release"
    POST "/api/enhanced-locks/locks/release-by-pull"
    POST "/api/enhanced-locks/locks/release-by-owner"
    GET "/api/enhanced-locks/locks/{id}"
    DELETE "/api/enhanced-locks/locks/{id}"
    POST "/api/enhanced-locks/locks/{id}/renew"
    POST "/api/enhanced-locks/locks/{id}/transfer"
    POST "/api/enhanced-locks/locks/{id}/force-release"
    GET "/api/enhanced-locks/requests/{id}"
    DELETE "/api/enhanced-locks/requests/{id}"
    PATCH "/api/enhanced-locks/requests/{id}"
    GET "/api/enhanced-locks/queue/status"
    GET "/api/enhanced-locks/resources"
    GET "/api/enhanced-locks/wait-edges"
    GET "/api/enhanced-locks/events"
    GET "/api/enhanced-locks/events/page"
    GET "/api/enhanced-locks/events/end"
    GET "/api/enhanced-locks/health"
    GET "/api/enhanced-locks/health/detailed"
    GET "/api/enhanced-locks/metrics"
    GET "/api/enhanced-locks/stats"
    GET "/api/enhanced-locks/time"
    GET "/api/enhanced-locks/info"
    GET "/api/enhanced-locks/ping"
    GET "/api/enhanced-locks/config"
    POST "/api/enhanced-locks/cleanup"
    POST "/api/enhanced-locks/backup"
    GET "/api/enhanced-locks/openapi.json"
    GET "/api/enhanced-locks/docs"
    GET "/"
    GET "/docs"
    GET "/healthz"
    GET "/readyz"
    GET "/metrics"
};

/// The whole service as one tower service.
pub(crate) fn router(app: App) -> Router {
    let api = Router::new()
        .route("/locks", get(locks::list).post(acquire::acquire))
        .route("/locks/{id}", get(locks::one).delete(locks::release).post(locks::many))
        .route("/locks/{id}/renew", post(locks::renew))
        .route("/locks/{id}/transfer", post(locks::transfer))
        .route("/locks/{id}/force-release", post(locks::force))
        .route(
            "/requests/{id}",
            get(requests::look).delete(requests::cancel).merge(patch(requests::reprioritise)),
        )
        .route("/queue/status", get(lines::status))
        .route("/resources", get(lines::resource))
        .route("/wait-edges", get(lines::wait_edges))
        .route("/events", get(events::stream))
        .route("/events/page", get(events::page))
        .route("/events/end", get(events::end))
        .route("/health", get(operations::health))
        .route("/health/detailed", get(operations::health_detailed))
        .route("/metrics", get(operations::metrics))
        .route("/stats", get(operations::stats))
        .route("/time", get(operations::time))
        .route("/info", get(operations::info))
        .route("/ping", get(operations::ping))
        .route("/config", get(operations::config))
        .route("/cleanup", post(operations::cleanup))
        .route("/backup", post(operations::backup))
        .route("/openapi.json", get(dashboard::openapi))
        .route("/docs", get(dashboard::docs));
    Router::new()
        .nest(BASE_PATH, api)
        .route("/", get(dashboard::dashboard))
        .route("/docs", get(dashboard::docs))
        .route("/healthz", get(operations::healthz))
        .route("/readyz", get(operations::readyz))
        .route("/metrics", get(operations::metrics_text))
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(middleware::from_fn_with_state(app.clone(), limits::admit))
        .layer(middleware::from_fn_with_state(app.clone(), auth::check))
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(middleware::map_response(no_sniffing))
        .with_state(app)
}

/// Answers hold live data of users: they are not for caches, nor for guessing their type.
async fn no_sniffing(mut response: axum::response::Response) -> axum::response::Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

//! Which call goes where. Owns the table of routes; what the calls do is in the modules by area.

use std::panic::AssertUnwindSafe;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::{MethodRouter, get, patch, post};
use enhanced_locking_client::api::BASE_PATH;
use futures_util::FutureExt;
use tower::Service;

use crate::app::App;
use crate::{
    acquire, auth, dashboard, events, limits, lines, locks, operations, problem, requests, webhooks,
};

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
    GET "/api/enhanced-locks/cluster/status"
    GET "/api/enhanced-locks/cluster/nodes"
    POST "/api/enhanced-locks/webhooks/github"
    POST "/api/enhanced-locks/webhooks/gitlab"
    GET "/api/enhanced-locks/openapi.json"
    GET "/api/enhanced-locks/docs"
    GET "/"
    GET "/docs"
    GET "/healthz"
    GET "/readyz"
    GET "/metrics"
};

/// All routes. What every call goes through besides is in [`answer`].
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .api("/locks", get(locks::list).post(acquire::acquire))
        .api("/locks/{id}", get(locks::one).delete(locks::release).post(locks::many))
        .api("/locks/{id}/renew", post(locks::renew))
        .api("/locks/{id}/transfer", post(locks::transfer))
        .api("/locks/{id}/force-release", post(locks::force))
        .api(
            "/requests/{id}",
            get(requests::look).delete(requests::cancel).merge(patch(requests::reprioritise)),
        )
        .api("/queue/status", get(lines::status))
        .api("/resources", get(lines::resource))
        .api("/wait-edges", get(lines::wait_edges))
        .api("/events", get(events::stream))
        .api("/events/page", get(events::page))
        .api("/events/end", get(events::end))
        .api("/health", get(operations::health))
        .api("/health/detailed", get(operations::health_detailed))
        .api("/metrics", get(operations::metrics))
        .api("/stats", get(operations::stats))
        .api("/time", get(operations::time))
        .api("/info", get(operations::info))
        .api("/ping", get(operations::ping))
        .api("/config", get(operations::config))
        .api("/cleanup", post(operations::cleanup))
        .api("/backup", post(operations::backup))
        .api("/cluster/status", get(operations::cluster_status))
        .api("/cluster/nodes", get(operations::cluster_nodes))
        .api("/webhooks/github", post(webhooks::github))
        .api("/webhooks/gitlab", post(webhooks::gitlab))
        .api("/openapi.json", get(dashboard::openapi))
        .api("/docs", get(dashboard::docs))
        .route("/", get(dashboard::dashboard))
        .route("/docs", get(dashboard::docs))
        .route("/healthz", get(operations::healthz))
        .route("/readyz", get(operations::readyz))
        .route("/metrics", get(operations::metrics_text))
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::no_such_method)
        .with_state(app)
}

/// Calls below [`BASE_PATH`]. Each has its whole path: a nested router would rewrite the address of every call.
trait Api {
    fn api(self, path: &str, calls: MethodRouter<App>) -> Self;
}

impl Api for Router<App> {
    fn api(self, path: &str, calls: MethodRouter<App>) -> Self {
        self.route(&format!("{BASE_PATH}{path}"), calls)
    }
}

/// Answers one call: looks who calls, finds room for it, routes it.
///
/// One function and not a stack of layers: a layer costs every call copies and memory of its own.
pub(crate) async fn answer(app: &App, mut router: Router, mut request: Request) -> Response {
    let answered = async {
        auth::check(app, &request)?;
        let _slot = limits::admit(app, &mut request)?;
        let Ok(response) = router.call(request).await;
        Ok::<Response, Box<Response>>(response)
    };
    let answered = AssertUnwindSafe(answered).catch_unwind().await;
    let mut response = match answered {
        Ok(Ok(response)) => response,
        Ok(Err(refused)) => *refused,
        Err(panic) => problem::panicked(panic),
    };
    no_sniffing(&mut response);
    response
}

/// Answers hold live data of users: they are not for caches, nor for guessing their type.
fn no_sniffing(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

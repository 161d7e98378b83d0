//! Calls about the service itself: health, metrics, figures, settings, cleaning up. Owns formats; judgement is behind [`Operations`](crate::Operations).

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use enhanced_locking_client::api::{
    BackupReply, CleanupBody, CleanupReply, ClusterView, HealthDetailView, InfoView, NodesReply, ProblemKind,
    StatsView, TimeReply,
};
use enhanced_locking_foundation::ErrorCode;

use crate::BackupError;
use crate::app::App;
use crate::body::{Answer, OptionalJson};
use crate::problem::Refusal;

/// The media type of OpenMetrics text.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

async fn judge(app: &App) -> (StatusCode, HealthDetailView) {
    let mut view = app.operations.health().await;
    if app.is_draining() {
        "draining".clone_into(&mut view.health.status);
    }
    let status = if view.health.healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, view)
}

/// `GET /health`.
pub(crate) async fn health(State(app): State<App>) -> Response {
    let (status, view) = judge(&app).await;
    (status, Answer(view.health)).into_response()
}

/// `GET /health/detailed`.
pub(crate) async fn health_detailed(State(app): State<App>) -> Response {
    let (status, view) = judge(&app).await;
    (status, Answer(view)).into_response()
}

/// `GET /healthz`: the process lives.
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: send work here.
pub(crate) async fn readyz(State(app): State<App>) -> (StatusCode, String) {
    if app.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned());
    }
    match app.backend.ping().await {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {error}\n")),
    }
}

/// `GET /ping`.
pub(crate) async fn ping(State(app): State<App>) -> Result<StatusCode, Refusal> {
    app.backend.ping().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /metrics` at the root: always OpenMetrics.
pub(crate) async fn metrics_text(State(app): State<App>) -> Response {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], app.operations.metrics_text().await).into_response()
}

/// `GET /metrics` of the API: JSON for people, OpenMetrics for those who ask for it.
pub(crate) async fn metrics(State(app): State<App>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("openmetrics-text") || accept.contains("text/plain") {
        metrics_text(State(app)).await
    } else {
        json(app.operations.metrics_json().await)
    }
}

/// `GET /config`.
pub(crate) async fn config(State(app): State<App>) -> Response {
    json(app.operations.config_json())
}

fn json(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// `GET /stats`.
pub(crate) async fn stats(State(app): State<App>) -> Result<Answer<StatsView>, Refusal> {
    let stats = app.backend.stats().await?;
    Ok(Answer(StatsView::from(&stats)))
}

/// `GET /time`.
pub(crate) async fn time(State(app): State<App>) -> Result<Answer<TimeReply>, Refusal> {
    let now = app.backend.now().await?;
    Ok(Answer(TimeReply { now }))
}

/// `GET /info`.
pub(crate) async fn info(State(app): State<App>) -> Answer<InfoView> {
    Answer(InfoView::from(&app.backend.info()))
}

/// The servers behind the store, or the store itself.
async fn look_at_cluster(app: &App) -> ClusterView {
    if let Some(view) = app.operations.cluster().await {
        return view;
    }
    let problem = app.backend.ping().await.err().map(|error| error.to_string());
    ClusterView::alone(&app.backend.info(), problem)
}

/// `GET /cluster/status`. Answers 200 also if something is wrong: it is for looking, `/health` for judging.
pub(crate) async fn cluster_status(State(app): State<App>) -> Answer<ClusterView> {
    Answer(look_at_cluster(&app).await)
}

/// `GET /cluster/nodes`.
pub(crate) async fn cluster_nodes(State(app): State<App>) -> Answer<NodesReply> {
    Answer(NodesReply { nodes: look_at_cluster(&app).await.nodes })
}

/// `POST /backup`.
pub(crate) async fn backup(State(app): State<App>) -> Result<Answer<BackupReply>, Refusal> {
    match app.operations.backup().await {
        Ok(directory) => Ok(Answer(BackupReply { directory: directory.display().to_string() })),
        Err(error @ BackupError::Unsupported) => {
            let refusal =
                Refusal::new(ErrorCode::InvalidRequest, StatusCode::NOT_IMPLEMENTED, error.to_string());
            Err(refusal.with(|problem| problem.kind = Some(ProblemKind::Invalid)))
        }
        Err(BackupError::Failed(error)) => Err(error.into()),
    }
}

/// `POST /cleanup`.
pub(crate) async fn cleanup(
    State(app): State<App>,
    OptionalJson(body): OptionalJson<CleanupBody>,
) -> Result<Answer<CleanupReply>, Refusal> {
    let budget = body.budget.unwrap_or(CleanupBody::DEFAULT_BUDGET).min(CleanupBody::DEFAULT_BUDGET);
    let swept = app.backend.sweep(budget).await?;
    Ok(Answer(CleanupReply::from(swept)))
}

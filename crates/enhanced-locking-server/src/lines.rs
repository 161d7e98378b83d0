//! Calls that look at lines and the wait-for graph. Owns no order: that is the backend's.

use axum::extract::State;
use enhanced_locking_client::api::{QueueStatus, QueueView, WaitEdgesPage};
use enhanced_locking_foundation::{EdgeQuery, OwnerId, Page, QueueQuery};
use serde::Deserialize;

use crate::app::App;
use crate::body::{Answer, Params};
use crate::problem::Refusal;
use crate::requests::resource_key;

/// Waiters shown of each line when the caller does not say how many.
const WAITERS: usize = 100;

/// The parameters of `GET /queue/status`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatusParams {
    prefix: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
    waiters: Option<usize>,
}

/// `GET /queue/status`.
pub(crate) async fn status(
    State(app): State<App>,
    Params(params): Params<StatusParams>,
) -> Result<Answer<QueueStatus>, Refusal> {
    let query = QueueQuery {
        prefix: params.prefix,
        cursor: params.cursor,
        limit: params.limit.unwrap_or(0).min(Page::<()>::MAX_ITEMS),
        waiters: params.waiters.unwrap_or(WAITERS).min(Page::<()>::MAX_ITEMS),
    };
    let page = app.backend.queues(&query).await?;
    let stats = app.backend.stats().await?;
    Ok(Answer(QueueStatus::new(&stats, &page)))
}

/// The parameters of `GET /resources`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResourceParams {
    key: Option<String>,
    waiters: Option<usize>,
}

/// `GET /resources`.
pub(crate) async fn resource(
    State(app): State<App>,
    Params(params): Params<ResourceParams>,
) -> Result<Answer<QueueView>, Refusal> {
    let key = params.key.ok_or_else(|| Refusal::field("key", "`key` is missing: which resource?"))?;
    let key = resource_key(&key)?;
    let waiters = params.waiters.unwrap_or(WAITERS).min(Page::<()>::MAX_ITEMS);
    let resource = app.backend.resource(&key, waiters).await?;
    let resource =
        resource.ok_or_else(|| Refusal::not_found(format!("{key} is free and nobody waits for it")))?;
    let now = app.backend.now().await?;
    Ok(Answer(QueueView::new(&resource, now)))
}

/// The parameters of `GET /wait-edges`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EdgeParams {
    owner: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// `GET /wait-edges`.
pub(crate) async fn wait_edges(
    State(app): State<App>,
    Params(params): Params<EdgeParams>,
) -> Result<Answer<WaitEdgesPage>, Refusal> {
    let query = match params.owner {
        Some(_) if params.cursor.is_some() || params.limit.is_some() => {
            return Err(Refusal::field(
                "owner",
                "one owner's edges come on one page; leave out `limit` and `cursor`",
            ));
        }
        Some(owner) => {
            EdgeQuery::Owner(OwnerId::new(owner).map_err(|error| Refusal::field("owner", error.to_string()))?)
        }
        None => EdgeQuery::All {
            cursor: params.cursor,
            limit: params.limit.unwrap_or(0).min(Page::<()>::MAX_ITEMS),
        },
    };
    let page = app.backend.wait_edges(&query).await?;
    Ok(Answer(WaitEdgesPage::from(&page)))
}

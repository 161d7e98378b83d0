//! Calls on requests that wait: looking, keeping the place, leaving, changing the priority. Owns the long poll.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use enhanced_locking_client::api::{
    CancelReply, FinishedView, PriorityBody, Problem, ProblemKind, RequestReply,
};
use enhanced_locking_foundation::{
    CancelOutcome, Cause, EndReason, ErrorCode, RequestId, RequestState, ResourceKey, Ticket,
};
use serde::Deserialize;
use tokio::time::Instant;

use crate::app::App;
use crate::auth::audit;
use crate::body::{Answer, Id, Json, Params};
use crate::connection::Peer;
use crate::limits::Slot;
use crate::problem::Refusal;

/// The key of a request, to save the search for it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyParam {
    pub(crate) key: Option<String>,
}

impl KeyParam {
    /// Checks the key where it is not needed.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        match &self.key {
            Some(key) => resource_key(key).map(drop),
            None => Ok(()),
        }
    }
}

/// A key from a parameter.
pub(crate) fn resource_key(key: &str) -> Result<ResourceKey, Refusal> {
    ResourceKey::new(key).map_err(|error| Refusal::field("key", error.to_string()))
}

/// Finds a request by its id, or says that the store did not answer.
pub(crate) async fn find(app: &App, id: &RequestId) -> Result<Option<(ResourceKey, RequestState)>, Refusal> {
    Ok(app.backend.find(id).await?)
}

/// The address of a request, with the key given or found; the inner error hands the id back if nobody knows it.
pub(crate) async fn ticket(
    app: &App,
    id: RequestId,
    key: Option<String>,
) -> Result<Result<Ticket, RequestId>, Refusal> {
    if let Some(key) = key {
        return Ok(Ok(Ticket { key: resource_key(&key)?, id }));
    }
    Ok(match find(app, &id).await? {
        Some((key, _)) => Ok(Ticket { key, id }),
        None => Err(id),
    })
}

fn unknown(id: &RequestId) -> Refusal {
    Refusal::not_found(format!("no request has the id {id}, or it is over for so long that it was forgotten"))
        .with(|problem| problem.request_id = Some(id.clone()))
}

/// Waits until the request no longer stands in line, at most `limit`, or until the service stops.
///
/// Asks the backend at least once, and in slices, so that a long poll keeps the place alive.
pub(crate) async fn wait_for_turn(
    app: &App,
    ticket: &Ticket,
    limit: Duration,
) -> Result<RequestState, Refusal> {
    let end = Instant::now() + limit;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let slice =
            if app.stopping.is_cancelled() { Duration::ZERO } else { left.min(app.config.touch_interval) };
        let turn = app.backend.await_turn(ticket, slice);
        let state = tokio::select! {
            state = turn => state?,
            // Only a hint: the next round asks without waiting.
            () = app.stopping.cancelled(), if !slice.is_zero() => continue,
        };
        if slice.is_zero() || !matches!(state, RequestState::Queued(_)) || Instant::now() >= end {
            return Ok(state);
        }
    }
}

/// The parameters of `GET /requests/{id}`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LookParams {
    key: Option<String>,
    wait_ms: Option<u64>,
}

/// `GET /requests/{id}`.
pub(crate) async fn look(
    State(app): State<App>,
    slot: Slot,
    Id(id): Id,
    Params(params): Params<LookParams>,
) -> Result<Answer<RequestReply>, Refusal> {
    let (key, state) = match params.wait_ms {
        None => {
            if let Some(key) = &params.key {
                resource_key(key)?;
            }
            find(&app, &id).await?.ok_or_else(|| unknown(&id))?
        }
        Some(ms) => {
            let limit = Duration::from_millis(ms).min(app.config.longest_wait);
            let _waiting = if ms == 0 { None } else { Some(slot.wait(&app)?) };
            let ticket = ticket(&app, id.clone(), params.key).await?.map_err(|id| unknown(&id))?;
            let state = wait_for_turn(&app, &ticket, limit).await?;
            (ticket.key, state)
        }
    };
    if let RequestState::Held(record) = &state {
        app.waits.told_held(&record.request.id);
    }
    RequestReply::new(&key, &id, &state).map(Answer).ok_or_else(|| unknown(&id))
}

/// The parameters of `DELETE /requests/{id}`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CancelParams {
    key: Option<String>,
    generation: Option<u64>,
    end_reason: Option<EndReason>,
    actor: Option<String>,
    reason: Option<String>,
}

/// `DELETE /requests/{id}`.
pub(crate) async fn cancel(
    State(app): State<App>,
    Id(id): Id,
    Params(params): Params<CancelParams>,
    peer: Peer,
) -> Result<Answer<CancelReply>, Refusal> {
    let ticket = ticket(&app, id, params.key).await?.map_err(|id| unknown(&id))?;
    let cause = cause(params.actor, params.reason)?;
    let reason = params.end_reason.unwrap_or(EndReason::Cancelled);
    let outcome = app.backend.cancel(&ticket, params.generation, reason, cause.clone()).await;
    match outcome? {
        CancelOutcome::Cancelled => {
            // Who leaves a line by itself names nobody.
            if !cause.actor.is_empty() {
                audit("cancel", &format_args!("{} of {}", ticket.id, ticket.key), &cause, peer, 1);
            }
            Ok(Answer(CancelReply::Cancelled { request_id: ticket.id }))
        }
        CancelOutcome::Finished(ended) => Ok(Answer(CancelReply::Finished(FinishedView {
            request_id: ticket.id,
            key: ticket.key,
            ended: (&ended).into(),
        }))),
        CancelOutcome::Held(record) => Err(Refusal::new(
            ErrorCode::LockHeld,
            StatusCode::CONFLICT,
            format!("{} holds the lock already; release it with its token {}", ticket.id, record.token),
        )
        .with(|problem| {
            problem.kind = Some(ProblemKind::Held);
            problem.holders = Problem::busy(std::slice::from_ref(&record)).holders;
        })),
    }
}

fn cause(actor: Option<String>, reason: Option<String>) -> Result<Cause, Refusal> {
    let checked = |what: &str, value: Option<String>, max: usize| match value {
        Some(text) if text.len() > max || text.contains(char::is_control) => Err(Refusal::field(
            what,
            format!("{what} must have at most {max} bytes and no control characters"),
        )),
        value => Ok(value.unwrap_or_default()),
    };
    Ok(Cause {
        actor: checked("actor", actor, Cause::MAX_ACTOR_BYTES)?,
        reason: checked("reason", reason, Cause::MAX_REASON_BYTES)?,
    })
}

/// `PATCH /requests/{id}`.
pub(crate) async fn reprioritise(
    State(app): State<App>,
    Id(id): Id,
    Params(params): Params<KeyParam>,
    Json(body): Json<PriorityBody>,
) -> Result<Answer<RequestReply>, Refusal> {
    let ticket = ticket(&app, id, params.key).await?.map_err(|id| unknown(&id))?;
    let state = app.backend.reprioritise(&ticket, body.priority).await?;
    RequestReply::new(&ticket.key, &ticket.id, &state).map(Answer).ok_or_else(|| unknown(&ticket.id))
}

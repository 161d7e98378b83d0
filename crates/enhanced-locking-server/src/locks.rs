//! Calls on locks: looking, releasing, renewing, handing over, and many at once; taking one is in `acquire`. Owns no lock rule: it translates to the port and back.

use axum::extract::{FromRequest, Path, Request, State};
use axum::response::{IntoResponse, Response};
use enhanced_locking_client::api::{
    BatchBody, BatchReply, ClearedReply, ForceBody, ForceKeyBody, ForceReply, HeldReply, LocksPage, Problem,
    ReleaseByOwnerBody, ReleaseByPullBody, ReleaseReply, RenewBody, RenewalResult, RenewalsBody,
    RenewalsReply, TransferBody,
};
use enhanced_locking_foundation::{
    BatchOutcome, Cause, FencingToken, Grant, LockQuery, NotHeld, OwnerId, Page, PullRequest, RequestId,
    RequestState, Selector, Ticket,
};
use serde::Deserialize;

use crate::acquire::refuse_when_draining;
use crate::app::App;
use crate::auth::audit;
use crate::body::{Answer, Id, Json, Params};
use crate::connection::Peer;
use crate::problem::{Refusal, no_such_route};
use crate::requests::{KeyParam, find, ticket};

/// `POST /locks/{action}`: the actions on many locks. Under one route with the ids, so that no id is shadowed by a name.
pub(crate) async fn many(
    State(app): State<App>,
    Path(action): Path<String>,
    peer: Peer,
    request: Request,
) -> Result<Response, Refusal> {
    match action.as_str() {
        "batch" => {
            refuse_when_draining(&app)?;
            batch(&app, Json::from_request(request, &app).await?).await
        }
        "renew" => renew_many(&app, Json::from_request(request, &app).await?).await,
        "force-release" => force_key(&app, peer, Json::from_request(request, &app).await?).await,
        "release-by-pull" => {
            let Json(body) = Json::<ReleaseByPullBody>::from_request(request, &app).await?;
            let (selector, cause) = body.parts()?;
            clear(&app, peer, selector, cause).await
        }
        "release-by-owner" => {
            let Json(body) = Json::<ReleaseByOwnerBody>::from_request(request, &app).await?;
            let (selector, cause) = body.parts()?;
            clear(&app, peer, selector, cause).await
        }
        _ => Err(no_such_route(request.uri().clone()).await),
    }
}

async fn batch(app: &App, Json(body): Json<BatchBody>) -> Result<Response, Refusal> {
    let requests = body.into_requests(&app.defaults())?;
    match app.backend.acquire_all(requests).await? {
        BatchOutcome::Held(records) => Ok(Answer(BatchReply::new(&records)).into_response()),
        BatchOutcome::Busy(blocked) => Err(Problem::batch_busy(&blocked).into()),
    }
}

async fn renew_many(app: &App, Json(body): Json<RenewalsBody>) -> Result<Response, Refusal> {
    let results = app.backend.renew(body.into_renewals()?).await?;
    let results = results.iter().map(RenewalResult::from).collect();
    Ok(Answer(RenewalsReply { results }).into_response())
}

async fn force_key(app: &App, peer: Peer, Json(body): Json<ForceKeyBody>) -> Result<Response, Refusal> {
    let (key, id, cause) = body.parts()?;
    let released = app.backend.force_release(&key, id.as_ref(), cause.clone()).await?;
    audit("force-release", &key, &cause, peer, released.len());
    Ok(Answer(ForceReply::new(&released)).into_response())
}

async fn clear(app: &App, peer: Peer, selector: Selector, cause: Cause) -> Result<Response, Refusal> {
    let cleared = app.backend.clear(&selector, cause.clone()).await?;
    let affected = cleared.released.len() + cleared.cancelled.len();
    match &selector {
        Selector::Owner(owner) => audit("release-by-owner", owner, &cause, peer, affected),
        Selector::Pull(pull) => audit("release-by-pull", pull, &cause, peer, affected),
    }
    Ok(Answer(ClearedReply::from(&cleared)).into_response())
}

/// The parameters of `GET /locks`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListParams {
    prefix: Option<String>,
    owner: Option<String>,
    repo: Option<String>,
    pull: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// `GET /locks`.
pub(crate) async fn list(
    State(app): State<App>,
    Params(params): Params<ListParams>,
) -> Result<Answer<LocksPage>, Refusal> {
    let owner =
        params.owner.map(OwnerId::new).transpose().map_err(|e| Refusal::field("owner", e.to_string()))?;
    let pull = pull(params.repo.as_deref(), params.pull.as_deref())?;
    let query = LockQuery {
        prefix: params.prefix,
        owner,
        pull,
        cursor: params.cursor,
        limit: params.limit.unwrap_or(0).min(Page::<()>::MAX_ITEMS),
    };
    let page = app.backend.locks(&query).await?;
    Ok(Answer(LocksPage::from(&page)))
}

/// A pull request as `pull=7&repo=acme/infra` or `pull=acme/infra%237`.
fn pull(repo: Option<&str>, pull: Option<&str>) -> Result<Option<PullRequest>, Refusal> {
    let help = "give `pull=7&repo=owner/name`, or `pull=owner/name%237`";
    let (repo, number) = match (repo, pull) {
        (None, None) => return Ok(None),
        (Some(_), None) => {
            return Err(Refusal::field("repo", format!("`repo` needs `pull` beside it: {help}")));
        }
        (Some(repo), Some(number)) => (repo, number),
        (None, Some(both)) => both
            .rsplit_once('#')
            .ok_or_else(|| Refusal::field("pull", format!("of which repository? {help}")))?,
    };
    let number = number.parse().map_err(|_| {
        Refusal::field("pull", format!("{number:?} is not the number of a pull request; {help}"))
    })?;
    PullRequest::new(repo, number).map(Some).map_err(|e| Refusal::field("repo", e.to_string()))
}

/// `GET /locks/{id}`.
pub(crate) async fn one(
    State(app): State<App>,
    Id(id): Id,
    Params(params): Params<KeyParam>,
) -> Result<Answer<HeldReply>, Refusal> {
    params.check()?;
    match find(&app, &id).await? {
        Some((_, RequestState::Held(record))) => Ok(Answer(HeldReply::from(&record))),
        Some((_, RequestState::Queued(place))) => Err(Refusal::not_found(format!(
            "{id} does not hold a lock, it waits for {} at position {}; see /requests/{id}",
            place.request.key, place.position
        ))),
        Some((_, RequestState::Finished(ended))) => {
            Err(Refusal::not_found(format!("{id} no longer holds a lock: {}", ended.reason))
                .with(|problem| problem.ended = Some((&ended).into())))
        }
        _ => Err(Refusal::not_found(format!("no lock has the id {id}"))),
    }
}

/// The parameters of `DELETE /locks/{id}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReleaseParams {
    token: Option<FencingToken>,
    key: Option<String>,
}

/// `DELETE /locks/{id}`.
pub(crate) async fn release(
    State(app): State<App>,
    Id(id): Id,
    Params(params): Params<ReleaseParams>,
) -> Result<Answer<ReleaseReply>, Refusal> {
    let token = params.token.ok_or_else(|| {
        Refusal::field(
            "token",
            "`token` is missing: pass the token of the grant, so that a later holder is not hit",
        )
    })?;
    let grant = grant(&app, id, params.key, token).await?;
    let outcome = app.backend.release(&grant).await?;
    Ok(Answer(ReleaseReply::from(&outcome)))
}

/// `POST /locks/{id}/renew`.
pub(crate) async fn renew(
    State(app): State<App>,
    Id(id): Id,
    Params(params): Params<KeyParam>,
    Json(body): Json<RenewBody>,
) -> Result<Answer<HeldReply>, Refusal> {
    let grant = grant(&app, id.clone(), params.key, body.token).await?;
    let renewal = body.into_renewal(grant.key, id)?;
    let leased = renewal.lease.is_some();
    let results = app.backend.renew(vec![renewal]).await?;
    match results.into_iter().next() {
        // The store has confirmed the lock and changed nothing.
        Some(Ok(record)) if leased && record.request.lease.is_sticky() => Err(Refusal::field(
            "lease_ms",
            "the lock is sticky and has no lease; leave `lease_ms` out, or release it and take it anew with one",
        )),
        Some(Ok(record)) => Ok(Answer(HeldReply::from(&record))),
        Some(Err(error)) => Err(error.into()),
        None => Err(NotHeld { ended: None, current: None }.into()),
    }
}

/// `POST /locks/{id}/transfer`.
pub(crate) async fn transfer(
    State(app): State<App>,
    Id(id): Id,
    Params(params): Params<KeyParam>,
    peer: Peer,
    Json(body): Json<TransferBody>,
) -> Result<Answer<HeldReply>, Refusal> {
    let to = body.transferee()?;
    let grant = grant(&app, id, params.key, body.token).await?;
    let owner = to.owner.clone();
    let actor = match body.actor {
        Some(actor) => actor.trim().to_owned(),
        // Whoever shows the token speaks for the owner.
        None => match find(&app, &grant.id).await {
            Ok(Some((_, RequestState::Held(record)))) => record.owner().to_string(),
            _ => String::new(),
        },
    };
    let record = app.backend.transfer(&grant, to).await?;
    let cause = Cause { actor, reason: format!("to {owner}") };
    audit("transfer", &grant.key, &cause, peer, 1);
    app.waits.told_held(&record.request.id);
    Ok(Answer(HeldReply::from(&record)))
}

/// `POST /locks/{id}/force-release`.
pub(crate) async fn force(
    State(app): State<App>,
    Id(id): Id,
    Params(params): Params<KeyParam>,
    peer: Peer,
    Json(body): Json<ForceBody>,
) -> Result<Answer<ForceReply>, Refusal> {
    let cause = body.cause()?;
    let ticket = held_ticket(&app, id, params.key).await?;
    let released = app.backend.force_release(&ticket.key, Some(&ticket.id), cause.clone()).await?;
    audit("force-release", &ticket.key, &cause, peer, released.len());
    Ok(Answer(ForceReply::new(&released)))
}

async fn grant(app: &App, id: RequestId, key: Option<String>, token: FencingToken) -> Result<Grant, Refusal> {
    let Ticket { key, id } = held_ticket(app, id, key).await?;
    Ok(Grant { key, id, token })
}

/// The address of a lock; that nobody knows the id means that it is not held.
async fn held_ticket(app: &App, id: RequestId, key: Option<String>) -> Result<Ticket, Refusal> {
    match ticket(app, id, key).await? {
        Ok(ticket) => Ok(ticket),
        Err(_) => Err(NotHeld { ended: None, current: None }.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_request_can_be_named_in_two_ways() {
        let want = PullRequest::new("acme/infra", 7).unwrap();
        assert_eq!(pull(Some("acme/infra"), Some("7")).unwrap(), Some(want.clone()));
        assert_eq!(pull(None, Some("acme/infra#7")).unwrap(), Some(want));
        for (repo, number) in [(Some("r"), None), (None, Some("7")), (Some("r"), Some("x"))] {
            assert!(pull(repo, number).is_err());
        }
    }
}

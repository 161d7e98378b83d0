//! Taking a lock: `POST /locks`. Owns how long a call waits and what it answers when the wait is over; the line is the backend's.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use enhanced_locking_client::api::{AcquireReply, BASE_PATH, LockBody, Problem, ProblemKind};
use enhanced_locking_foundation::{
    AcquireError, AcquireOutcome, CancelOutcome, Cause, EndReason, Ended, ErrorCode, LockRecord, QueuePlace,
    RequestState, Ticket,
};

use crate::app::App;
use crate::body::{Answer, Json};
use crate::limits::Slot;
use crate::problem::Refusal;
use crate::requests::wait_for_turn;
use crate::waits::WaitGuard;

/// `POST /locks`.
///
/// While it waits without `queue`, a guard stands for the connection: if the client goes away, the request is given
/// up. With any answer, failures included, the guard steps back: the caller may ask again with the same id.
pub(crate) async fn acquire(
    State(app): State<App>,
    slot: Slot,
    Json(body): Json<LockBody>,
) -> Result<Response, Refusal> {
    refuse_when_draining(&app)?;
    let (wait, stays, fresh) = (body.call_wait(), body.stays_in_line(), body.request_id.is_none());
    let request = body.into_request(&app.defaults())?;
    let own = request.ticket();
    let _waiting = if wait.is_zero() { None } else { Some(slot.wait(&app)?) };
    let mut guard = (!stays && !wait.is_zero()).then(|| WaitGuard::new(&app, own.clone(), fresh));
    let result = match app.backend.acquire(request).await {
        Ok(AcquireOutcome::Held(record)) => Ok(held(&app, &record)),
        Ok(AcquireOutcome::Busy(holders)) => Err(Problem::busy(&holders).into()),
        Ok(AcquireOutcome::Queued(place)) => {
            let line = place.request.ticket();
            if line.id == own.id {
                guard.iter_mut().for_each(WaitGuard::queued);
            } else if let Some(guard) = guard.take() {
                // An earlier request of the same owner waits: its place is not this call's to give up.
                guard.answered();
            }
            in_line(&app, place, wait, guard.is_some()).await
        }
        Err(error) => Err(error.into()),
    };
    if let Some(guard) = guard {
        guard.answered();
    }
    result
}

/// Waits, and answers with what has become of the request; `leave`: it does not stay in line after the answer.
async fn in_line(app: &App, place: QueuePlace, wait: Duration, leave: bool) -> Result<Response, Refusal> {
    let line = place.request.ticket();
    let state =
        if wait.is_zero() { RequestState::Queued(place) } else { wait_for_turn(app, &line, wait).await? };
    match state {
        RequestState::Held(record) => Ok(held(app, &record)),
        RequestState::Queued(place) if !leave => {
            let location = format!("{BASE_PATH}/requests/{}", in_address(line.id.as_str()));
            let headers: [(HeaderName, String); 1] = [(header::LOCATION, location)];
            Ok((StatusCode::ACCEPTED, headers, Answer(AcquireReply::Queued((&place).into()))).into_response())
        }
        RequestState::Queued(_) if app.stopping.is_cancelled() => {
            // The place stays as long as its keep-alive: a retry finds it.
            let detail = "the service stops; ask again with the same request id to keep the place";
            Err(Refusal::draining(detail).with(|problem| problem.request_id = Some(line.id)))
        }
        RequestState::Queued(place) => {
            let entry = Some(place.generation);
            match app.backend.cancel(&line, entry, EndReason::TimedOut, Cause::none()).await? {
                CancelOutcome::Cancelled => Err(wait_over(&line, wait, &place.holders)),
                CancelOutcome::Held(record) => Ok(held(app, &record)),
                CancelOutcome::Finished(ended) => Err(finished(app, &line, ended, wait).await),
            }
        }
        RequestState::Finished(ended) => Err(finished(app, &line, ended, wait).await),
        RequestState::Unknown => {
            Err(Refusal::not_found("the store no longer knows the request; ask again with a fresh id"))
        }
    }
}

fn held(app: &App, record: &LockRecord) -> Response {
    app.waits.told_held(&record.request.id);
    Answer(AcquireReply::Held { lock: record.into() }).into_response()
}

fn wait_over(line: &Ticket, waited: Duration, holders: &[LockRecord]) -> Refusal {
    let who = holders.first().map_or_else(String::new, |record| format!(", held by {}", record.owner()));
    let detail =
        format!("not granted within {} ms{who}; wait longer, or add `queue: true`", waited.as_millis());
    Refusal::new(ErrorCode::WaitTimeout, StatusCode::CONFLICT, detail).with(|problem| {
        problem.kind = Some(ProblemKind::WaitOver);
        problem.request_id = Some(line.id.clone());
        problem.holders = Problem::busy(holders).holders;
    })
}

/// The answer for a request that ended while it waited.
async fn finished(app: &App, line: &Ticket, ended: Ended, waited: Duration) -> Refusal {
    if ended.reason == EndReason::TimedOut {
        let resource = app.backend.resource(&line.key, 0).await.ok().flatten();
        let holders = resource.map(|resource| resource.holders).unwrap_or_default();
        return wait_over(line, waited, &holders);
    }
    let code = (ended.reason == EndReason::Deadlock).then_some(ErrorCode::Deadlock);
    let error = AcquireError::Finished { id: line.id.clone(), ended };
    Refusal::from(error).with(|problem| {
        if let Some(code) = code {
            let words = Problem::new(code, problem.status, problem.detail.clone());
            (problem.code, problem.title, problem.type_uri) = (words.code, words.title, words.type_uri);
        }
    })
}

/// Releases, renewals and leaving go on while the service drains; new locks do not.
pub(crate) fn refuse_when_draining(app: &App) -> Result<(), Refusal> {
    if app.is_draining() {
        return Err(Refusal::draining(
            "the service goes down and takes no new requests; try again in a moment",
        ));
    }
    Ok(())
}

/// Escapes what may stand in an id but not in an address.
fn in_address(id: &str) -> String {
    let mut text = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:@".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_escaped_for_addresses() {
        assert_eq!(in_address("a:b~1|{x}"), "a:b~1%7C%7Bx%7D");
    }
}

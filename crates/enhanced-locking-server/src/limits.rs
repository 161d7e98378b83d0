//! How much is worked on at the same time. Owns the two pools: calls in flight, and calls that wait.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ServerConfig;
use crate::app::App;
use crate::problem::Refusal;

/// The two pools. A call that begins to wait moves from one to the other, so that waiters cannot starve short calls.
#[derive(Debug)]
pub(crate) struct Limits {
    in_flight: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Limits {
    pub(crate) fn new(config: &ServerConfig) -> Self {
        let pool = |size: usize| Arc::new(Semaphore::new(size.min(Semaphore::MAX_PERMITS)));
        Self { in_flight: pool(config.max_in_flight), waiting: pool(config.max_waiting) }
    }
}

/// A call's place among those in flight; given back when it begins to wait, or ends.
#[derive(Clone, Debug)]
pub(crate) struct Slot(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Slot {
    /// Moves the call to those that wait, until the permit is dropped.
    pub(crate) fn wait(&self, app: &App) -> Result<OwnedSemaphorePermit, Refusal> {
        let permit = Arc::clone(&app.limits.waiting).try_acquire_owned();
        let permit = permit.map_err(|_| Refusal::busy("waiting calls"))?;
        self.0.lock().take();
        Ok(permit)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Slot {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self(Arc::default())))
    }
}

/// Admits a call if there is room. Probes always have room: an overloaded service is not a dead one.
///
/// The call has its place as long as what is returned lives, unless it gives it up to wait.
pub(crate) fn admit(app: &App, request: &mut Request) -> Result<Option<Slot>, Box<Response>> {
    if matches!(request.uri().path(), "/healthz" | "/readyz") {
        return Ok(None);
    }
    match Arc::clone(&app.limits.in_flight).try_acquire_owned() {
        Ok(permit) => {
            let slot = Slot(Arc::new(Mutex::new(Some(permit))));
            request.extensions_mut().insert(slot.clone());
            Ok(Some(slot))
        }
        Err(_) => Err(Box::new(Refusal::busy("calls").into_response())),
    }
}

//! What a command works with: the service it talks to and how it may write. Owns finding the lock a person means.

use std::borrow::Cow;
use std::sync::Arc;

use enhanced_locking_client::{ConnectError, RemoteBackend, RemoteConfig};
use enhanced_locking_foundation::{
    FencingToken, LockBackend, LockRecord, OwnerId, RequestId, RequestState, ResourceKey, Timestamp,
};

use crate::args::{DEFAULT_SERVER, Format, Global};
use crate::failure::{Failure, chain};
use crate::output::Style;

/// The service and the two streams.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// The service.
    pub backend: Arc<RemoteBackend>,
    /// How results are written.
    pub format: Format,
    /// How standard output may be written to.
    pub out: Style,
    /// How standard error may be written to.
    pub err: Style,
}

/// The address of the service: an empty one is a variable that was not set, and most people leave out `http://`.
fn address(given: Option<&str>) -> Cow<'_, str> {
    match given.map(str::trim) {
        None | Some("") => DEFAULT_SERVER.into(),
        Some(url) if url.contains("://") => url.into(),
        Some(place) => format!("http://{place}").into(),
    }
}

impl Session {
    /// A session with the service that was named. Sends nothing yet.
    ///
    /// # Errors
    /// A [`Failure`] if the address or the token cannot be right.
    pub(crate) fn new(global: &Global) -> Result<Self, Failure> {
        let mut config = RemoteConfig::new(address(global.server.as_deref()));
        if let Some(token) = global.token()? {
            config = config.token(token);
        }
        let backend = RemoteBackend::new(&config).map_err(|error| match error {
            ConnectError::Address { .. } | ConnectError::Token => Failure::usage(error.to_string()),
            error => Failure::new(chain(&error)),
        })?;
        Ok(Self {
            backend: Arc::new(backend),
            format: global.output,
            out: global.color.style(&std::io::stdout()),
            err: global.color.style(&std::io::stderr()),
        })
    }

    /// Whether results are for programs.
    #[must_use]
    pub(crate) fn json(&self) -> bool {
        self.format == Format::Json
    }

    /// Says on the side what somebody should know: the result stands all the same.
    pub(crate) fn warn(&self, text: &str) {
        self.tell("warning", text);
    }

    /// Says something on the side; programs tell by `state` what it is about.
    pub(crate) fn tell(&self, state: &str, text: &str) {
        if self.json() {
            eprintln!("{}", serde_json::json!({"state": state, "detail": text}));
        } else {
            eprintln!("enhanced-locks: {text}");
        }
    }

    /// Server time.
    ///
    /// # Errors
    /// If the service cannot be reached.
    pub(crate) async fn now(&self) -> Result<Timestamp, Failure> {
        Ok(self.backend.now().await?)
    }

    /// The lock with this id.
    ///
    /// # Errors
    /// A [`Failure`] that says what became of it if it is not held.
    pub(crate) async fn lock_by_id(&self, id: &RequestId) -> Result<LockRecord, Failure> {
        match self.backend.find(id).await? {
            Some((_, RequestState::Held(record))) => Ok(record),
            Some((key, RequestState::Queued(place))) => Err(Failure::new(format!(
                "{id} does not hold {key}: it waits for it at place {} of {}",
                place.position, place.depth
            ))),
            Some((key, RequestState::Finished(ended))) => {
                Err(Failure::new(format!("{id} does not hold {key} any more: {}", ended.reason)))
            }
            _ => Err(Failure::new(format!("no lock has the id {id}"))
                .hint("`enhanced-locks list --wide` shows the ids of all locks")),
        }
    }

    /// The lock an owner has on a key; or the one with a token, whoever has it.
    ///
    /// # Errors
    /// A [`Failure`] that says who holds the key instead.
    pub(crate) async fn lock_on(
        &self,
        key: &ResourceKey,
        owner: &OwnerId,
        token: Option<FencingToken>,
    ) -> Result<LockRecord, Failure> {
        let holders = self.backend.resource(key, 0).await?.map(|view| view.holders).unwrap_or_default();
        let found = holders.iter().find(|record| match token {
            Some(token) => record.token == token,
            None => record.owner() == owner,
        });
        if let Some(record) = found {
            return Ok(record.clone());
        }
        Err(match (holders.first(), token) {
            (None, _) => Failure::new(format!("{key} is not locked")),
            (Some(_), Some(token)) => Failure::new(format!("{key} is not held with token {token}"))
                .hint("`enhanced-locks get` shows who holds it, with which token"),
            (Some(holder), None) => {
                Failure::new(format!("{key} is held by {}, not by {owner}", holder.owner()))
                    .hint("say who you are with --owner, or take it away with `enhanced-locks force-unlock`")
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_leave_out_its_scheme_and_an_empty_one_is_none() {
        for (given, meant) in [
            (None, DEFAULT_SERVER),
            (Some(""), DEFAULT_SERVER),
            (Some(" "), DEFAULT_SERVER),
            (Some("127.0.0.1:4141"), "http://127.0.0.1:4141"),
            (Some("locks.internal"), "http://locks.internal"),
            (Some("https://h"), "https://h"),
        ] {
            assert_eq!(address(given), meant, "{given:?}");
        }
    }
}

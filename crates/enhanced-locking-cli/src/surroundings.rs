//! A command that is itself run under a lock (`run` inside `run`). Owns noticing that it would wait for itself.

use enhanced_locking_foundation::{
    AcquireRequest, FencingToken, LockBackend, LockMode, RequestId, RequestState, ResourceKey,
};
use serde::Deserialize;

use crate::failure::Failure;
use crate::identity::Variables;

/// A lock as the surrounding `run` has left it in the environment.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Surrounding {
    key: ResourceKey,
    id: RequestId,
    token: FencingToken,
}

/// The locks of the surrounding `run`; what cannot be read is somebody else's.
fn surrounding(variables: Variables<'_>) -> Vec<Surrounding> {
    if let Some(all) = variables("ENHANCED_LOCKS").and_then(|text| serde_json::from_str(&text).ok()) {
        return all;
    }
    let only = || {
        Some(Surrounding {
            key: ResourceKey::new(variables("ENHANCED_LOCK_KEY")?).ok()?,
            id: RequestId::new(variables("ENHANCED_LOCK_ID")?).ok()?,
            token: FencingToken::from_u64(variables("ENHANCED_LOCK_TOKEN")?.parse().ok()?),
        })
    };
    only().into_iter().collect()
}

/// Refuses a request that would wait for the end of the very command that makes it.
///
/// # Errors
/// A [`Failure`] that says how to take the lock once more.
pub(crate) async fn check(
    backend: &impl LockBackend,
    request: &AcquireRequest,
    variables: Variables<'_>,
) -> Result<(), Failure> {
    if !request.wait.may_queue() {
        return Ok(());
    }
    for lock in surrounding(variables).iter().filter(|lock| lock.key == request.key) {
        // The environment may be older than the lock, or of another service.
        let Ok(Some((_, RequestState::Held(record)))) = backend.find(&lock.id).await else { continue };
        let together = (record.request.mode, request.mode) == (LockMode::Shared, LockMode::Shared);
        if record.token == lock.token && record.owner() != &request.owner && !together {
            return Err(Failure::usage(format!(
                "{} is held by the `run` around this command, which would wait for itself for ever",
                request.key
            ))
            .hint(format!("be the same owner: --owner '{}', or lock something else", record.owner())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_found_in_either_form() {
        let one = |name: &str| match name {
            "ENHANCED_LOCK_KEY" => Some("a".to_owned()),
            "ENHANCED_LOCK_ID" => Some("r".to_owned()),
            "ENHANCED_LOCK_TOKEN" => Some("7".to_owned()),
            _ => None,
        };
        let all = |name: &str| {
            let list = r#"[{"id":"r","key":"a","token":7}]"#;
            (name == "ENHANCED_LOCKS").then(|| list.to_owned())
        };
        assert_eq!(surrounding(&one), surrounding(&all));
        assert_eq!(surrounding(&one).len(), 1);
        assert!(surrounding(&|_| Some("nonsense".to_owned())).is_empty());
        assert!(surrounding(&|_| None).is_empty());
    }
}

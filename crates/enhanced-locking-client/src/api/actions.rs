//! The bodies of the calls that act on what is there. Owns their checks; the bodies that ask for locks are in `lock_body`.

use enhanced_locking_foundation::{
    AcquireRequest, Cause, FencingToken, Grant, OwnerId, Priority, PullRequest, Renewal, RequestId,
    ResourceKey, Selector, Transferee,
};
use serde::{Deserialize, Serialize};

use super::check::{Checks, millis, positive, text};
use super::{LockBody, LockDefaults, Problem, PullBody};

/// Who acts when nobody says so.
const ANONYMOUS: &str = "api";

/// Makes the cause of an action; the actor may be left out.
fn cause(actor: Option<&str>, reason: &str, checks: &mut Checks) -> Option<Cause> {
    let actor = checks.keep("actor", Cause::check_actor(actor.unwrap_or(ANONYMOUS)));
    let reason = checks.keep("reason", Cause::check_reason(reason));
    let (actor, reason) = actor.zip(reason)?;
    Some(Cause { actor: actor.to_owned(), reason: reason.to_owned() })
}

/// `POST /locks/batch`: all or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchBody {
    /// What is asked for; `wait_ms` and `queue` have no place here.
    pub locks: Vec<LockBody>,
}

impl BatchBody {
    /// Checks every request; paths of problems begin with `locks[n]`.
    ///
    /// # Errors
    /// A [`Problem`] (400) that names every field that is wrong.
    pub fn into_requests(self, defaults: &LockDefaults) -> Result<Vec<AcquireRequest>, Box<Problem>> {
        let mut checks = Checks::default();
        if self.locks.is_empty() {
            checks.refuse("locks", "locks is empty; name at least one");
        }
        let mut requests = Vec::with_capacity(self.locks.len());
        for (i, body) in self.locks.into_iter().enumerate() {
            if body.stays_in_line() || body.wait_ms.unwrap_or(0) > 0 {
                checks
                    .refuse(&format!("locks[{i}]"), "a batch does not wait; leave out `wait_ms` and `queue`");
                continue;
            }
            match body.into_request(defaults) {
                Ok(request) => requests.push(request),
                Err(problem) => {
                    for problem in problem.problems {
                        checks.refuse(&format!("locks[{i}].{}", problem.path), problem.message);
                    }
                }
            }
        }
        checks.finish(Some(requests))
    }
}

impl From<&[AcquireRequest]> for BatchBody {
    fn from(requests: &[AcquireRequest]) -> Self {
        let body = |request: &AcquireRequest| LockBody {
            queue: None,
            wait_ms: None,
            max_wait_ms: None,
            ..request.into()
        };
        Self { locks: requests.iter().map(body).collect() }
    }
}

/// `POST /locks/{id}/renew`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewBody {
    /// The token of the grant.
    pub token: FencingToken,
    /// A new lease from now on; the one it has if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
}

impl RenewBody {
    /// The renewal of the lock with this key and id.
    ///
    /// # Errors
    /// A [`Problem`] (400) if the lease is out of range.
    pub fn into_renewal(self, key: ResourceKey, id: RequestId) -> Result<Renewal, Box<Problem>> {
        let mut checks = Checks::default();
        let lease = self.lease_ms.and_then(|ms| checks.keep("lease_ms", positive("lease_ms", ms)));
        checks.finish(Some(Renewal { grant: Grant { key, id, token: self.token }, lease }))
    }
}

/// `POST /locks/renew`: many renewals at once, each judged by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewalsBody {
    /// The renewals, in order.
    pub renewals: Vec<RenewalItem>,
}

/// One of many renewals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewalItem {
    /// What is held.
    pub key: ResourceKey,
    /// Id of the lock.
    pub id: RequestId,
    /// The token of the grant.
    pub token: FencingToken,
    /// A new lease from now on; the one it has if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
}

impl RenewalsBody {
    /// The most renewals of one call.
    pub const MAX: usize = 10_000;

    /// Checks every renewal.
    ///
    /// # Errors
    /// A [`Problem`] (400) that names every lease out of range.
    pub fn into_renewals(self) -> Result<Vec<Renewal>, Box<Problem>> {
        let mut checks = Checks::default();
        if self.renewals.len() > Self::MAX {
            checks.refuse(
                "renewals",
                format!("{} renewals, at most {} are allowed", self.renewals.len(), Self::MAX),
            );
        }
        let mut renewals = Vec::with_capacity(self.renewals.len());
        for (i, item) in self.renewals.into_iter().enumerate() {
            let path = format!("renewals[{i}].lease_ms");
            let lease = item.lease_ms.and_then(|ms| checks.keep(&path, positive("lease_ms", ms)));
            renewals.push(Renewal { grant: Grant { key: item.key, id: item.id, token: item.token }, lease });
        }
        checks.finish(Some(renewals))
    }
}

impl From<&[Renewal]> for RenewalsBody {
    fn from(renewals: &[Renewal]) -> Self {
        let item = |renewal: &Renewal| RenewalItem {
            key: renewal.grant.key.clone(),
            id: renewal.grant.id.clone(),
            token: renewal.grant.token,
            lease_ms: renewal.lease.map(millis),
        };
        Self { renewals: renewals.iter().map(item).collect() }
    }
}

/// `POST /locks/{id}/transfer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferBody {
    /// The token of the grant.
    pub token: FencingToken,
    /// Who gets the lock.
    pub to: TransfereeBody,
    /// Who hands it over, for the audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
}

/// The new owner of a lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransfereeBody {
    /// The owner.
    pub owner: String,
    /// The person behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The pull request it stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<PullBody>,
}

impl TransferBody {
    /// The new owner, checked.
    ///
    /// # Errors
    /// A [`Problem`] (400) that names every field that is wrong.
    pub fn transferee(&self) -> Result<Transferee, Box<Problem>> {
        let mut checks = Checks::default();
        let owner = checks.keep("to.owner", OwnerId::new(&self.to.owner));
        if let Some(user) = &self.to.user {
            checks.keep("to.user", text("user", user, AcquireRequest::MAX_USER_BYTES));
        }
        if let Some(actor) = &self.actor {
            checks.keep("actor", Cause::check_actor(actor));
        }
        let pull = self.to.pull.as_ref().and_then(|pull| pull.resolve(None, &mut checks, "to.pull"));
        checks.finish(owner.map(|owner| Transferee { owner, user: self.to.user.clone(), pull }))
    }
}

impl From<&Transferee> for TransfereeBody {
    fn from(to: &Transferee) -> Self {
        Self {
            owner: to.owner.as_str().to_owned(),
            user: to.user.clone(),
            pull: to.pull.clone().map(PullBody::Full),
        }
    }
}

/// `POST /locks/{id}/force-release`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForceBody {
    /// Why: needed, and kept.
    pub reason: String,
    /// Who; `api` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
}

impl ForceBody {
    /// The cause, checked.
    ///
    /// # Errors
    /// A [`Problem`] (400) if the reason or the actor is empty, too long or has control characters.
    pub fn cause(&self) -> Result<Cause, Box<Problem>> {
        let mut checks = Checks::default();
        let cause = cause(self.actor.as_deref(), &self.reason, &mut checks);
        checks.finish(cause)
    }
}

/// `POST /locks/force-release`: by key, from one holder or from all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForceKeyBody {
    /// What is held.
    pub key: String,
    /// Whose lock; all holders' if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Why: needed, and kept.
    pub reason: String,
    /// Who; `api` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
}

impl ForceKeyBody {
    /// Key, holder and cause, checked.
    ///
    /// # Errors
    /// A [`Problem`] (400) that names every field that is wrong.
    pub fn parts(&self) -> Result<(ResourceKey, Option<RequestId>, Cause), Box<Problem>> {
        let mut checks = Checks::default();
        let key = checks.keep("key", ResourceKey::new(&self.key));
        let id = self.id.as_ref().and_then(|id| checks.keep("id", RequestId::new(id)));
        let cause = cause(self.actor.as_deref(), &self.reason, &mut checks);
        checks.finish(key.zip(cause).map(|(key, cause)| (key, id, cause)))
    }
}

/// `POST /locks/release-by-pull`: everything of one pull request of exactly one repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseByPullBody {
    /// The repository.
    pub repo: String,
    /// The pull request's number.
    pub pull: i64,
    /// Who; nobody in particular if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl ReleaseByPullBody {
    /// Whose locks, and why, checked.
    ///
    /// # Errors
    /// A [`Problem`] (400) that names every field that is wrong.
    pub fn parts(&self) -> Result<(Selector, Cause), Box<Problem>> {
        let mut checks = Checks::default();
        let pull = checks.keep("repo", PullRequest::new(&self.repo, self.pull));
        let cause = optional_cause(self.actor.as_deref(), self.reason.as_deref(), &mut checks);
        checks.finish(pull.map(|pull| (Selector::Pull(pull), cause)))
    }
}

/// `POST /locks/release-by-owner`: everything of one owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseByOwnerBody {
    /// The owner.
    pub owner: String,
    /// Who; nobody in particular if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl ReleaseByOwnerBody {
    /// Whose locks, and why, checked.
    ///
    /// # Errors
    /// A [`Problem`] (400) that names every field that is wrong.
    pub fn parts(&self) -> Result<(Selector, Cause), Box<Problem>> {
        let mut checks = Checks::default();
        let owner = checks.keep("owner", OwnerId::new(&self.owner));
        let cause = optional_cause(self.actor.as_deref(), self.reason.as_deref(), &mut checks);
        checks.finish(owner.map(|owner| (Selector::Owner(owner), cause)))
    }
}

/// A cause whose parts may both be left out.
fn optional_cause(actor: Option<&str>, reason: Option<&str>, checks: &mut Checks) -> Cause {
    let actor = actor.and_then(|actor| checks.keep("actor", Cause::check_actor(actor)));
    let reason = reason.and_then(|reason| checks.keep("reason", Cause::check_reason(reason)));
    Cause { actor: actor.unwrap_or_default().to_owned(), reason: reason.unwrap_or_default().to_owned() }
}

/// `PATCH /requests/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorityBody {
    /// The new priority.
    pub priority: Priority,
}

/// `POST /cleanup`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CleanupBody {
    /// The most entries to end; [`CleanupBody::DEFAULT_BUDGET`] if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<usize>,
}

impl CleanupBody {
    /// The budget of a call that names none, and the largest allowed.
    pub const DEFAULT_BUDGET: usize = 10_000;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_of_a_batch_say_which_lock_is_meant() {
        let body: BatchBody = serde_json::from_str(
            r#"{"locks":[{"key":"a","owner":"o"},{"key":"","owner":"o"},{"key":"c","owner":"o","queue":true}]}"#,
        )
        .unwrap();
        let problem = body.into_requests(&LockDefaults::default()).unwrap_err();
        let paths: Vec<&str> = problem.problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(paths, ["locks[1].key", "locks[2]"]);
    }

    #[test]
    fn force_needs_a_reason() {
        assert!(
            serde_json::from_str::<ForceBody>("{}")
                .unwrap_err()
                .to_string()
                .contains("missing field `reason`")
        );
        for blank in ["", "   "] {
            let body = ForceBody { reason: blank.into(), actor: None };
            assert_eq!(body.cause().unwrap_err().problems[0].path, "reason");
            let body = ForceKeyBody { key: "k".into(), reason: blank.into(), ..ForceKeyBody::default() };
            assert_eq!(body.parts().unwrap_err().problems[0].path, "reason");
        }
        let body = ForceBody { reason: "stuck".into(), actor: None };
        assert_eq!(body.cause().unwrap(), Cause::new("api", "stuck").unwrap());
    }

    #[test]
    fn a_transfer_names_an_owner() {
        let body: TransferBody = serde_json::from_str(r#"{"token":3,"to":{"owner":"","pull":7}}"#).unwrap();
        let problem = body.transferee().unwrap_err();
        let paths: Vec<&str> = problem.problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(paths, ["to.owner", "to.pull"]);
    }
}

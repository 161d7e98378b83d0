//! The body of `POST /locks`. Owns how a caller names a resource and states its wishes; what it gets is in `replies`.

use std::collections::BTreeMap;
use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireRequest, Lease, LockMode, Metadata, OwnerId, Priority, ProjectKey, PullRequest, RequestId,
    ResourceKey, Wait,
};
use serde::{Deserialize, Serialize};

use super::Problem;
use super::check::{Checks, MAX_DURATION_MS, millis, positive, text};

/// What a caller asks for: a resource by its key or as a project, who asks, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockBody {
    /// The key; instead of the parts of a project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Host of the project's repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Full name of the project's repository; instead of a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// Directory of the project; the root if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Workspace of the project; `default` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// Name of the project; none if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Who asks.
    pub owner: String,
    /// The person behind the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The pull request the owner stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<PullBody>,
    /// Alone (the default) or shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<LockMode>,
    /// How important it is; `normal` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// How long the lock lives without a sign of life; the service's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
    /// Whether the lock stays until it is released; instead of `lease_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<bool>,
    /// How long this call may wait for the lock before it answers; at once if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    /// Whether the request stays in line after the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<bool>,
    /// How long the request may stand in line in all; for ever if absent. Only with `queue: true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_wait_ms: Option<u64>,
    /// Identity of the request, so that a retry is recognised; chosen by the service if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The longest the lock may be held in all, renewals included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_ms: Option<u64>,
    /// Labels to show.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// What the service fills in when a body leaves it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockDefaults {
    /// The lease of a request that names none.
    pub lease: Lease,
    /// The longest one call may wait.
    pub longest_call: Duration,
}

impl Default for LockDefaults {
    fn default() -> Self {
        Self { lease: Lease::DEFAULT, longest_call: Duration::from_secs(24 * 60 * 60) }
    }
}

impl LockBody {
    /// How long the call may wait before it answers.
    #[must_use]
    pub fn call_wait(&self) -> Duration {
        Duration::from_millis(self.wait_ms.unwrap_or(0).min(MAX_DURATION_MS))
    }

    /// Whether the request stays in line after the answer.
    #[must_use]
    pub fn stays_in_line(&self) -> bool {
        self.queue.unwrap_or(false)
    }

    /// Checks everything and makes the request of it.
    ///
    /// # Errors
    /// A [`Problem`] (400) that names every field that is wrong, and what would be right.
    pub fn into_request(self, defaults: &LockDefaults) -> Result<AcquireRequest, Box<Problem>> {
        let mut checks = Checks::default();
        let key = self.resource(&mut checks);
        let owner = checks.keep("owner", OwnerId::new(&self.owner));
        let wait = self.wait(&mut checks, defaults);
        let lease = self.lease(&mut checks, defaults);
        let pull =
            self.pull.as_ref().and_then(|pull| pull.resolve(self.repo.as_deref(), &mut checks, "pull"));
        let id = match &self.request_id {
            Some(id) => checks.keep("request_id", RequestId::new(id)),
            None => Some(RequestId::generate()),
        };
        if let Some(user) = &self.user {
            checks.keep("user", text("user", user, AcquireRequest::MAX_USER_BYTES));
        }
        let max_age = self.max_age_ms.and_then(|ms| checks.keep("max_age_ms", positive("max_age_ms", ms)));
        let metadata = checks.keep("metadata", Metadata::new(self.metadata));
        let request = (|| {
            Some(AcquireRequest {
                id: id?,
                key: key?,
                owner: owner?,
                user: self.user,
                pull,
                mode: self.mode.unwrap_or_default(),
                priority: self.priority.unwrap_or_default(),
                lease,
                wait,
                max_age,
                metadata: metadata?,
            })
        })();
        checks.finish(request)
    }

    fn resource(&self, checks: &mut Checks) -> Option<ResourceKey> {
        let parts = [&self.host, &self.path, &self.workspace, &self.project];
        match (&self.key, &self.repo) {
            (Some(key), repo) => {
                // With a key, `repo` alone is welcome: it completes a pull request given by its number.
                if parts.iter().any(|part| part.is_some()) || (repo.is_some() && self.pull.is_none()) {
                    checks.refuse("key", "give either `key` or the parts of a project (`repo`, `path`, `workspace`, `project`, `host`), not both");
                }
                checks.keep("key", ResourceKey::new(key))
            }
            (None, Some(repo)) => {
                let path = self.path.as_deref().unwrap_or(".");
                let workspace = self.workspace.as_deref().unwrap_or("default");
                let project = checks.keep("repo", ProjectKey::new(repo, path, workspace))?;
                let project = project.host(self.host.as_deref().unwrap_or_default());
                let project = project.name(self.project.as_deref().unwrap_or_default());
                checks.keep("repo", project.key())
            }
            (None, None) => {
                checks.refuse(
                    "key",
                    "what to lock is missing: give `key`, or `repo` with `path`, `workspace` and `project`",
                );
                None
            }
        }
    }

    fn lease(&self, checks: &mut Checks, defaults: &LockDefaults) -> Lease {
        match (self.sticky.unwrap_or(false), self.lease_ms) {
            (true, None) => Lease::Sticky,
            (true, Some(_)) => {
                checks.refuse(
                    "lease_ms",
                    "a sticky lock has no lease; give either `lease_ms` or `sticky: true`",
                );
                Lease::Sticky
            }
            (false, Some(ms)) => {
                checks.keep("lease_ms", positive("lease_ms", ms)).map_or(defaults.lease, Lease::For)
            }
            (false, None) if self.sticky == Some(false) && defaults.lease.is_sticky() => Lease::DEFAULT,
            (false, None) => defaults.lease,
        }
    }

    fn wait(&self, checks: &mut Checks, defaults: &LockDefaults) -> Wait {
        let longest = millis(defaults.longest_call);
        if self.wait_ms.is_some_and(|ms| ms > longest) {
            checks.refuse("wait_ms", format!("one call may wait {longest} ms at most; use `queue: true` and ask again for a longer wait"));
        }
        match (self.stays_in_line(), self.max_wait_ms, self.call_wait()) {
            (true, Some(ms), _) => {
                checks.keep("max_wait_ms", positive("max_wait_ms", ms)).map_or(Wait::No, Wait::AtMost)
            }
            (true, None, _) => Wait::Forever,
            (false, Some(_), _) => {
                checks.refuse(
                    "max_wait_ms",
                    "only a request that stays in line has it; add `queue: true`, or use `wait_ms`",
                );
                Wait::No
            }
            (false, None, Duration::ZERO) => Wait::No,
            (false, None, wait) => Wait::AtMost(wait),
        }
    }
}

/// What a client sends for a request: everything of it, with its id, answered at once.
impl From<&AcquireRequest> for LockBody {
    fn from(request: &AcquireRequest) -> Self {
        Self {
            key: Some(request.key.as_str().to_owned()),
            owner: request.owner.as_str().to_owned(),
            user: request.user.clone(),
            pull: request.pull.clone().map(PullBody::Full),
            mode: Some(request.mode),
            priority: Some(request.priority),
            lease_ms: request.lease.duration().map(millis),
            sticky: Some(request.lease.is_sticky()),
            queue: Some(request.wait.may_queue()),
            max_wait_ms: match request.wait {
                Wait::AtMost(limit) => Some(millis(limit)),
                _ => None,
            },
            request_id: Some(request.id.as_str().to_owned()),
            max_age_ms: request.max_age.map(millis),
            metadata: request.metadata.entries().clone(),
            ..Self::default()
        }
    }
}

/// A pull request in a body: its number, of the repository the body names, or in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PullBody {
    /// The number; the repository is the body's `repo`.
    Number(i64),
    /// Repository and number.
    Full(PullRequest),
}

impl PullBody {
    pub(super) fn resolve(&self, repo: Option<&str>, checks: &mut Checks, path: &str) -> Option<PullRequest> {
        match (self, repo) {
            (Self::Full(pull), _) => checks.keep(path, PullRequest::new(&pull.repo, pull.number)),
            (Self::Number(number), Some(repo)) => checks.keep(path, PullRequest::new(repo, *number)),
            (Self::Number(number), None) => {
                checks.refuse(path, format!("of which repository? give `{{\"repo\": \"owner/name\", \"number\": {number}}}`, or `repo` beside it"));
                None
            }
        }
    }
}

impl<'de> Deserialize<'de> for PullBody {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PullVisitor)
    }
}

/// Reads either form and says which there are; an untagged derive would only say that none fits.
struct PullVisitor;

impl<'de> serde::de::Visitor<'de> for PullVisitor {
    type Value = PullBody;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a pull request: its number, or {\"repo\": \"owner/name\", \"number\": 1}")
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(PullBody::Number(number))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Self::Value, E> {
        i64::try_from(number).map(PullBody::Number).map_err(|_| E::custom("pull request number is too large"))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Full {
            repo: String,
            number: i64,
        }
        let full = Full::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
        Ok(PullBody::Full(PullRequest { repo: full.repo, number: full.number }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(json: &str) -> LockBody {
        serde_json::from_str(json).unwrap()
    }

    fn request(json: &str) -> Result<AcquireRequest, Box<Problem>> {
        body(json).into_request(&LockDefaults::default())
    }

    #[test]
    fn a_project_becomes_its_canonical_key() {
        let got = request(r#"{"repo":"acme/infra","path":"./a/","workspace":"prod","project":"net","host":"h","owner":"o","pull":7}"#).unwrap();
        assert_eq!(got.key.as_str(), "project:h:acme/infra:a:prod:net");
        assert_eq!(got.pull, Some(PullRequest::new("acme/infra", 7).unwrap()));
        assert_eq!(request(r#"{"repo":"a/b","owner":"o"}"#).unwrap().key.as_str(), "project::a/b:.:default:");
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        let problem =
            request(r#"{"owner":"","lease_ms":0,"request_id":"a b","pull":3,"user":""}"#).unwrap_err();
        let paths: Vec<&str> = problem.problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(paths, ["key", "owner", "lease_ms", "pull", "request_id", "user"]);
        assert_eq!(problem.status, 400);
    }

    #[test]
    fn waiting_follows_from_queue_and_wait() {
        let wait = |extra: &str| request(&format!(r#"{{"key":"k","owner":"o"{extra}}}"#)).map(|r| r.wait);
        assert_eq!(wait("").unwrap(), Wait::No);
        assert_eq!(wait(r#","wait_ms":0"#).unwrap(), Wait::No);
        assert_eq!(wait(r#","wait_ms":50"#).unwrap(), Wait::AtMost(Duration::from_millis(50)));
        assert_eq!(wait(r#","wait_ms":50,"queue":true"#).unwrap(), Wait::Forever);
        assert_eq!(wait(r#","queue":true,"max_wait_ms":9"#).unwrap(), Wait::AtMost(Duration::from_millis(9)));
        assert!(wait(r#","max_wait_ms":9"#).is_err());
        assert!(wait(r#","wait_ms":99999999999"#).is_err());
    }

    #[test]
    fn a_request_survives_the_journey() {
        let sent = AcquireRequest::new(ResourceKey::new("k").unwrap(), OwnerId::new("o").unwrap())
            .shared()
            .priority(Priority::High)
            .sticky()
            .user("ann")
            .pull(PullRequest::new("a/b", -4).unwrap())
            .max_age(Duration::from_secs(9))
            .wait(Wait::AtMost(Duration::from_millis(1500)));
        let json = serde_json::to_string(&LockBody::from(&sent)).unwrap();
        assert_eq!(request(&json).unwrap(), sent);
    }

    #[test]
    fn unknown_fields_and_other_kinds_of_pull_are_explained() {
        let unknown = serde_json::from_str::<LockBody>(r#"{"owner":"o","ownr":1}"#).unwrap_err().to_string();
        assert!(unknown.contains("unknown field `ownr`, expected one of `key`"), "{unknown}");
        let pull = serde_json::from_str::<LockBody>(r#"{"owner":"o","pull":"7"}"#).unwrap_err().to_string();
        assert!(pull.contains("expected a pull request: its number, or"), "{pull}");
    }
}

//! The lock on a project: the value under every lock key. Owns its members and its two written forms.

use serde::Serialize;
use serde::ser::SerializeMap;

use super::decode;
use super::error::RecordError;
use super::other::OtherMembers;
use super::pull::Pull;
use super::show::{Show, Shown, serialize_without_secrets};
use super::stored::Record;
use super::time::RecordTime;
use crate::json::{self, EncodeError, Value};

/// A lock that a pull request holds on a project.
///
/// serde shows it without secrets; [`to_json`](Self::to_json) writes what Atlantis reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProjectLock {
    /// What is locked.
    pub project: Project,
    /// Who holds it.
    pub pull: Pull,
    /// Who ran the command.
    pub user: User,
    /// The workspace that is locked.
    pub workspace: String,
    /// Since when.
    pub time: RecordTime,
    /// Members that a later Atlantis may have added.
    pub other: OtherMembers,
}

/// A directory of a repository, perhaps with a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Project {
    /// Its name, empty if it has none; since v0.28.
    pub name: String,
    /// The full name of the repository.
    pub repo: String,
    /// The directory, cleaned: `.` is the root.
    pub path: String,
    /// Members that a later Atlantis may have added.
    pub other: OtherMembers,
}

/// A person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The name on the version control host.
    pub username: String,
    /// The teams, if Atlantis asked for them; since v0.30.
    pub teams: Option<Vec<String>>,
    /// Members that a later Atlantis may have added.
    pub other: OtherMembers,
}

impl ProjectLock {
    /// The lock as Atlantis writes it, byte for byte, **with the token in the clone URL**. Unknown members follow the
    /// known ones.
    ///
    /// # Errors
    /// [`EncodeError`]; a lock always has a JSON form, so that no caller sees it.
    pub fn to_json(&self) -> Result<Vec<u8>, EncodeError> {
        json::to_vec(&Shown(self, Show::Everything))
    }
}

impl Record for ProjectLock {
    fn decode(raw: &[u8]) -> Result<Self, RecordError> {
        const NAMES: &[&str] = &["Project", "Pull", "User", "Workspace", "Time"];
        let mut lock = Self::default();
        let Self { project, pull, user, workspace, time, other } = &mut lock;
        decode::object(decode::value::<Self>(raw)?, "the value", NAMES, Some(other), |member, value| {
            match member {
                "Project" => project.read(value),
                "Pull" => pull.read(value),
                "User" => user.read(value),
                "Workspace" => decode::text(value, "Workspace", workspace),
                _ => time.read(value, "Time"),
            }
        })?;
        Ok(lock)
    }
}

impl Project {
    fn read(&mut self, value: Value<'_>) -> Result<(), RecordError> {
        let Self { name, repo, path, other } = self;
        let names = &["ProjectName", "RepoFullName", "Path"];
        decode::object(value, "Project", names, Some(other), |member, value| match member {
            "ProjectName" => decode::text(value, "Project.ProjectName", name),
            "RepoFullName" => decode::text(value, "Project.RepoFullName", repo),
            _ => decode::text(value, "Project.Path", path),
        })
    }
}

impl User {
    fn read(&mut self, value: Value<'_>) -> Result<(), RecordError> {
        let Self { username, teams, other } = self;
        decode::object(value, "User", &["Username", "Teams"], Some(other), |member, value| match member {
            "Username" => decode::text(value, "User.Username", username),
            _ => decode::texts(value, "User.Teams", teams),
        })
    }
}

impl Serialize for Shown<'_, ProjectLock> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(lock, show) = *self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("Project", &Shown(&lock.project, show))?;
        map.serialize_entry("Pull", &Shown(&lock.pull, show))?;
        map.serialize_entry("User", &Shown(&lock.user, show))?;
        map.serialize_entry("Workspace", &lock.workspace)?;
        map.serialize_entry("Time", &lock.time.written())?;
        lock.other.write(&mut map, show)?;
        map.end()
    }
}

impl Serialize for Shown<'_, Project> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(project, show) = *self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("ProjectName", &project.name)?;
        map.serialize_entry("RepoFullName", &project.repo)?;
        map.serialize_entry("Path", &project.path)?;
        project.other.write(&mut map, show)?;
        map.end()
    }
}

impl Serialize for Shown<'_, User> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(user, show) = *self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("Username", &user.username)?;
        map.serialize_entry("Teams", &user.teams)?;
        user.other.write(&mut map, show)?;
        map.end()
    }
}

serialize_without_secrets!(ProjectLock, Project, User);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{CloneUrl, PullState, Repo, VcsHost, VcsKind};

    // The two samples of the contract (§1.1), byte for byte.
    const NAMED: &str = r#"{"Project":{"ProjectName":"prod-net","RepoFullName":"acme/infra","Path":"envs/prod"},"Pull":{"Num":42,"HeadCommit":"2737c45a7bd1f1b1e7a1b1b5d3a5a0a5c1f9e8d7","URL":"https://github.com/acme/infra/pull/42","HeadBranch":"feature/x","BaseBranch":"main","HardenedNonPRRefCheckout":false,"Author":"alice","Body":"","State":0,"BaseRepo":{"FullName":"acme/infra","Owner":"acme","Name":"infra","CloneURL":"https://atlantis-bot:TOKEN@github.com/acme/infra.git","SanitizedCloneURL":"https://atlantis-bot:\u003credacted\u003e@github.com/acme/infra.git","VCSHost":{"Hostname":"github.com","Type":0}}},"User":{"Username":"alice","Teams":null},"Workspace":"default","Time":"2026-08-22T09:30:15.123456789+02:00"}"#;
    const ZERO: &str = r#"{"Project":{"ProjectName":"","RepoFullName":"","Path":""},"Pull":{"Num":0,"HeadCommit":"","URL":"","HeadBranch":"","BaseBranch":"","HardenedNonPRRefCheckout":false,"Author":"","Body":"","State":0,"BaseRepo":{"FullName":"","Owner":"","Name":"","CloneURL":"","SanitizedCloneURL":"","VCSHost":{"Hostname":"","Type":0}}},"User":{"Username":"","Teams":null},"Workspace":"","Time":"0001-01-01T00:00:00Z"}"#;

    fn named() -> ProjectLock {
        let host = VcsHost { hostname: "github.com".into(), kind: VcsKind::GitHub, ..VcsHost::default() };
        let base_repo = Repo {
            full_name: "acme/infra".into(),
            owner: "acme".into(),
            name: "infra".into(),
            clone_url: CloneUrl::new("https://atlantis-bot:TOKEN@github.com/acme/infra.git"),
            sanitized_clone_url: "https://atlantis-bot:<redacted>@github.com/acme/infra.git".into(),
            vcs_host: host,
            ..Repo::default()
        };
        let pull = Pull {
            number: 42,
            head_commit: "2737c45a7bd1f1b1e7a1b1b5d3a5a0a5c1f9e8d7".into(),
            url: "https://github.com/acme/infra/pull/42".into(),
            head_branch: "feature/x".into(),
            base_branch: "main".into(),
            author: "alice".into(),
            state: PullState::Open,
            base_repo,
            ..Pull::default()
        };
        let (name, repo, path) = ("prod-net".into(), "acme/infra".into(), "envs/prod".into());
        ProjectLock {
            project: Project { name, repo, path, ..Project::default() },
            pull,
            user: User { username: "alice".into(), ..User::default() },
            workspace: "default".into(),
            time: RecordTime::parse("2026-08-22T09:30:15.123456789+02:00").unwrap(),
            ..ProjectLock::default()
        }
    }

    #[test]
    fn locks_are_written_byte_for_byte_and_read_again() {
        for (lock, raw) in [(named(), NAMED), (ProjectLock::default(), ZERO)] {
            assert_eq!(String::from_utf8(lock.to_json().unwrap()).unwrap(), raw);
            assert_eq!(ProjectLock::decode(raw.as_bytes()), Ok(lock));
        }
    }

    #[test]
    fn serde_shows_the_same_without_the_token() {
        let shown: serde_json::Value = serde_json::to_value(named()).unwrap();
        let mut all: serde_json::Value = serde_json::from_str(NAMED).unwrap();
        all["Pull"]["BaseRepo"]["CloneURL"] = "https://<redacted>@github.com/acme/infra.git".into();
        assert_eq!(shown, all);
    }

    #[test]
    fn nothing_is_a_zero_lock_as_in_go() {
        for raw in ["{}", "null", r#"{"Pull":null,"Time":null}"#] {
            assert_eq!(ProjectLock::decode(raw.as_bytes()), Ok(ProjectLock::default()));
        }
    }

    #[test]
    fn damage_is_named_by_its_place() {
        for (raw, want) in [
            ("[]", "the value is a list where an object belongs"),
            (r#"{"Pull":{"BaseRepo":{"VCSHost":{"Type":"x"}}}}"#, "Pull.BaseRepo.VCSHost.Type is a text"),
            (r#"{"Pull":{"HardenedNonPRRefCheckout":1}}"#, "Pull.HardenedNonPRRefCheckout is a number"),
            (r#"{"User":{"Teams":["a",1]}}"#, "User.Teams is a number where a text belongs"),
            (r#"{"Project":7}"#, "Project is a number where an object belongs"),
            (r#"{"Time":"yesterday"}"#, "Time is not an RFC 3339 time"),
        ] {
            let error = ProjectLock::decode(raw.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(want), "{error}");
        }
    }
}

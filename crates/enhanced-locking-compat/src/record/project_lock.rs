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

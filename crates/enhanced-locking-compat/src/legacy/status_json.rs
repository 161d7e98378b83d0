//! Pull statuses as they are merged: members that we do not know survive. Owns reading and writing them; which entry
//! replaces which is decided in `status`.

use serde::Serialize;
use serde::ser::SerializeMap;
use serde_json::value::RawValue;

use super::error::LegacyError;
use crate::json::{self, Kind, Value};
use crate::record::show::{Show, Shown};
use crate::record::{OtherMembers, PlanStatus, Pull, PullStatus, RecordError, decode};

/// The outcome of one policy set, as Atlantis stores it. Only its name is read; the rest is kept as it is.
#[derive(Clone, Debug)]
pub struct PolicySet {
    name: String,
    raw: Box<RawValue>,
}

impl PolicySet {
    /// Reads one, in the shape it has since v0.44.
    ///
    /// # Errors
    /// [`RecordError`] if it is no object, or its approvals are a number as up to v0.43.
    pub fn read(raw: &[u8]) -> Result<Self, RecordError> {
        Self::of(decode::value::<PullStatus>(raw)?)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The JSON, as it was read.
    #[must_use]
    pub fn raw(&self) -> &str {
        self.raw.get()
    }

    fn of(value: Value<'_>) -> Result<Self, RecordError> {
        let mut name = String::new();
        let names = &["PolicySetName", "Approvals"];
        decode::object(value, "PolicyStatus[]", names, None, |member, value| match (member, value.kind()) {
            ("PolicySetName", _) => decode::text(value, "PolicyStatus[].PolicySetName", &mut name),
            (_, Kind::Null | Kind::Array) => Ok(()),
            (_, found) => Err(decode::wrong("PolicyStatus[].Approvals", "a list", found)),
        })?;
        let raw = String::from_utf8_lossy(value.raw()).into_owned();
        let raw = RawValue::from_string(raw).map_err(|_| RecordError::NotJson { at: 0 })?;
        Ok(Self { name, raw })
    }
}

impl PartialEq for PolicySet {
    fn eq(&self, other: &Self) -> bool {
        self.raw() == other.raw()
    }
}

impl Eq for PolicySet {}

/// A status that can be changed.
#[derive(Debug, Default)]
pub(super) struct Status {
    pub(super) projects: Vec<Project>,
    pub(super) pull: Pull,
    pub(super) other: OtherMembers,
}

/// One project of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Project {
    pub(super) workspace: String,
    pub(super) repo_rel_dir: String,
    pub(super) name: String,
    pub(super) policies: Option<Vec<PolicySet>>,
    pub(super) status: PlanStatus,
    pub(super) other: OtherMembers,
}

impl Status {
    /// Reads a stored status as strictly as Atlantis does.
    pub(super) fn read(raw: &[u8]) -> Result<Self, RecordError> {
        let mut status = Self::default();
        let Self { projects, pull, other } = &mut status;
        let value = decode::value::<PullStatus>(raw)?;
        decode::object(
            value,
            "the value",
            &["Projects", "Pull"],
            Some(other),
            |member, value| match member {
                "Pull" => pull.read(value),
                _ => match value.kind() {
                    Kind::Null => Ok(()),
                    Kind::Array => {
                        *projects = value.elements().map(Project::read).collect::<Result<_, _>>()?;
                        Ok(())
                    }
                    found => Err(decode::wrong("Projects", "a list", found)),
                },
            },
        )?;
        Ok(status)
    }

    /// The status as Atlantis writes it, with the token in it.
    pub(super) fn to_json(&self) -> Result<Vec<u8>, LegacyError> {
        Ok(json::to_vec(self)?)
    }
}

impl Project {
    fn read(value: Value<'_>) -> Result<Self, RecordError> {
        const NAMES: &[&str] = &["Workspace", "RepoRelDir", "ProjectName", "PolicyStatus", "Status"];
        let mut project = Self::default();
        let Self { workspace, repo_rel_dir, name, policies, status, other } = &mut project;
        decode::object(value, "Projects[]", NAMES, Some(other), |member, value| match member {
            "Workspace" => decode::text(value, "Projects[].Workspace", workspace),
            "RepoRelDir" => decode::text(value, "Projects[].RepoRelDir", repo_rel_dir),
            "ProjectName" => decode::text(value, "Projects[].ProjectName", name),
            "Status" => status.read(value, "Projects[].Status"),
            _ => match value.kind() {
                Kind::Null => Ok(()),
                Kind::Array => {
                    *policies = Some(value.elements().map(PolicySet::of).collect::<Result<_, _>>()?);
                    Ok(())
                }
                found => Err(decode::wrong("Projects[].PolicyStatus", "a list", found)),
            },
        })?;
        Ok(project)
    }
}

impl Serialize for Status {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        // Go writes a list that was never made as null.
        map.serialize_entry("Projects", &Some(&self.projects).filter(|projects| !projects.is_empty()))?;
        map.serialize_entry("Pull", &Shown(&self.pull, Show::Everything))?;
        self.other.write(&mut map, Show::Everything)?;
        map.end()
    }
}

impl Serialize for Project {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let policies: Option<Vec<&RawValue>> =
            self.policies.as_ref().map(|policies| policies.iter().map(|policy| &*policy.raw).collect());
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("Workspace", &self.workspace)?;
        map.serialize_entry("RepoRelDir", &self.repo_rel_dir)?;
        map.serialize_entry("ProjectName", &self.name)?;
        map.serialize_entry("PolicyStatus", &policies)?;
        map.serialize_entry("Status", &self.status)?;
        self.other.write(&mut map, Show::Everything)?;
        map.end()
    }
}

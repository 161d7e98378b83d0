//! The status of a pull request's projects. Owns the few members that others read; the record itself is stored and
//! handed back byte for byte, never written by us.

use serde::Serialize;
use serde::ser::SerializeMap;

use super::decode;
use super::error::RecordError;
use super::number::numbered;
use super::pull::Pull;
use super::show::{Shown, serialize_without_secrets};
use super::stored::Record;
use crate::json::{Kind, Value};

/// What became of each project of a pull request.
///
/// There is no way to write one: policies and whatever later versions add are opaque to us, so that only the bytes of
/// [`Stored`](super::Stored) are the record. That its `PolicyStatus` changed shape in v0.44 is no concern here either.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullStatus {
    /// The projects, in the order they were added.
    pub projects: Vec<ProjectStatus>,
    /// The pull request.
    pub pull: Pull,
}

/// What became of one project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProjectStatus {
    /// The workspace.
    pub workspace: String,
    /// The directory in the repository.
    pub repo_rel_dir: String,
    /// The name, empty if it has none.
    pub project_name: String,
    /// How far it is.
    pub status: PlanStatus,
}

numbered! {
    /// How far a project is, which Atlantis stores as a number.
    PlanStatus {
        /// The plan failed.
        PlanErrored = 0,
        /// Planned, not applied.
        Planned = 1,
        /// Planned, and there is nothing to change.
        PlannedNoChanges = 2,
        /// The apply failed.
        ApplyErrored = 3,
        /// Applied.
        Applied = 4,
        /// The plan was discarded.
        PlanDiscarded = 5,
        /// A policy refused the plan.
        PolicyCheckErrored = 6,
        /// The policies accept the plan.
        PolicyCheckPassed = 7,
    }
}

impl Record for PullStatus {
    fn decode(raw: &[u8]) -> Result<Self, RecordError> {
        let mut status = Self::default();
        let Self { projects, pull } = &mut status;
        let value = decode::value::<Self>(raw)?;
        decode::object(value, "the value", &["Projects", "Pull"], None, |member, value| match member {
            "Pull" => pull.read(value),
            _ => read_projects(value, projects),
        })?;
        Ok(status)
    }
}

fn read_projects(value: Value<'_>, projects: &mut Vec<ProjectStatus>) -> Result<(), RecordError> {
    projects.clear();
    match value.kind() {
        Kind::Null => return Ok(()),
        Kind::Array => {}
        found => return Err(decode::wrong("Projects", "a list", found)),
    }
    for element in value.elements() {
        let mut project = ProjectStatus::default();
        project.read(element)?;
        projects.push(project);
    }
    Ok(())
}

impl ProjectStatus {
    fn read(&mut self, value: Value<'_>) -> Result<(), RecordError> {
        let names = &["Workspace", "RepoRelDir", "ProjectName", "Status"];
        decode::object(value, "Projects[]", names, None, |member, value| match member {
            "Workspace" => decode::text(value, "Projects[].Workspace", &mut self.workspace),
            "RepoRelDir" => decode::text(value, "Projects[].RepoRelDir", &mut self.repo_rel_dir),
            "ProjectName" => decode::text(value, "Projects[].ProjectName", &mut self.project_name),
            _ => self.status.read(value, "Projects[].Status"),
        })
    }
}

impl Serialize for Shown<'_, PullStatus> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(status, show) = *self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("Projects", &status.projects)?;
        map.serialize_entry("Pull", &Shown(&status.pull, show))?;
        map.end()
    }
}

serialize_without_secrets!(PullStatus);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_of_every_shape_are_left_alone() {
        for policies in
            ["null", r#"[{"Approvals":2}]"#, r#"[{"Approvals":[{"Approver":"bob","Hashes":["ab"]}]}]"#, "7"]
        {
            let raw = format!(
                r#"{{"Projects":[{{"Workspace":"w","RepoRelDir":".","ProjectName":"n","PolicyStatus":{policies},"Status":6}}],"Pull":{{"Num":3}}}}"#
            );
            let status = PullStatus::decode(raw.as_bytes()).unwrap();
            assert_eq!(status.projects[0].status, PlanStatus::PolicyCheckErrored);
            assert_eq!((status.projects[0].repo_rel_dir.as_str(), status.pull.number), (".", 3));
        }
    }

    #[test]
    fn no_projects_are_null() {
        assert!(PullStatus::decode(br#"{"Projects":null,"Pull":{}}"#).unwrap().projects.is_empty());
    }

    #[test]
    fn damage_is_named_by_its_place() {
        let error = PullStatus::decode(br#"{"Projects":[{"Status":"x"}]}"#).unwrap_err();
        assert!(
            error.to_string().starts_with("Projects[].Status is a text where a whole number belongs"),
            "{error}"
        );
    }
}

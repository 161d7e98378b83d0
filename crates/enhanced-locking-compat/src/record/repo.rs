//! Repositories and the hosts they are on. Owns their members.

use serde::Serialize;
use serde::ser::SerializeMap;

use super::decode;
use super::error::RecordError;
use super::number::numbered;
use super::other::OtherMembers;
use super::secret::CloneUrl;
use super::show::{Show, Shown, serialize_without_secrets};
use crate::json::Value;

/// A repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repo {
    /// `owner/repo`; on GitLab with sub-groups, on Azure DevOps `org/project/repo`.
    pub full_name: String,
    /// The owner, organisation or group.
    pub owner: String,
    /// The name without the owner.
    pub name: String,
    /// Where Atlantis clones from, with its token.
    pub clone_url: CloneUrl,
    /// The same as Atlantis shows it.
    pub sanitized_clone_url: String,
    /// Where it is hosted.
    pub vcs_host: VcsHost,
    /// Members that a later Atlantis may have added.
    pub other: OtherMembers,
}

/// A host of repositories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VcsHost {
    /// Its name, without a port.
    pub hostname: String,
    /// Its kind.
    pub kind: VcsKind,
    /// Members that a later Atlantis may have added.
    pub other: OtherMembers,
}

numbered! {
    /// The kind of a version control host, which Atlantis stores as a number.
    VcsKind {
        /// GitHub and GitHub Enterprise.
        GitHub = 0,
        /// GitLab.
        GitLab = 1,
        /// Bitbucket Cloud.
        BitbucketCloud = 2,
        /// Bitbucket Server.
        BitbucketServer = 3,
        /// Azure DevOps.
        AzureDevOps = 4,
        /// Gitea and Forgejo.
        Gitea = 5,
    }
}

impl Repo {
    pub(crate) fn read(&mut self, value: Value<'_>) -> Result<(), RecordError> {
        const NAMES: &[&str] = &["FullName", "Owner", "Name", "CloneURL", "SanitizedCloneURL", "VCSHost"];
        let Self { full_name, owner, name, clone_url, sanitized_clone_url, vcs_host, other } = self;
        decode::object(value, "Pull.BaseRepo", NAMES, Some(other), |member, value| match member {
            "FullName" => decode::text(value, "Pull.BaseRepo.FullName", full_name),
            "Owner" => decode::text(value, "Pull.BaseRepo.Owner", owner),
            "Name" => decode::text(value, "Pull.BaseRepo.Name", name),
            "CloneURL" => decode::text(value, "Pull.BaseRepo.CloneURL", clone_url.expose_mut()),
            "SanitizedCloneURL" => {
                decode::text(value, "Pull.BaseRepo.SanitizedCloneURL", sanitized_clone_url)
            }
            _ => vcs_host.read(value),
        })
    }
}

impl VcsHost {
    fn read(&mut self, value: Value<'_>) -> Result<(), RecordError> {
        let Self { hostname, kind, other } = self;
        let names = &["Hostname", "Type"];
        decode::object(value, "Pull.BaseRepo.VCSHost", names, Some(other), |member, value| match member {
            "Hostname" => decode::text(value, "Pull.BaseRepo.VCSHost.Hostname", hostname),
            _ => kind.read(value, "Pull.BaseRepo.VCSHost.Type"),
        })
    }
}

impl Serialize for Shown<'_, Repo> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(repo, show) = *self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("FullName", &repo.full_name)?;
        map.serialize_entry("Owner", &repo.owner)?;
        map.serialize_entry("Name", &repo.name)?;
        match show {
            Show::Everything => map.serialize_entry("CloneURL", repo.clone_url.expose())?,
            Show::NoSecrets => map.serialize_entry("CloneURL", &repo.clone_url)?,
        }
        map.serialize_entry("SanitizedCloneURL", &repo.sanitized_clone_url)?;
        map.serialize_entry("VCSHost", &Shown(&repo.vcs_host, show))?;
        repo.other.write(&mut map, show)?;
        map.end()
    }
}

impl Serialize for Shown<'_, VcsHost> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(host, show) = *self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("Hostname", &host.hostname)?;
        map.serialize_entry("Type", &host.kind)?;
        host.other.write(&mut map, show)?;
        map.end()
    }
}

serialize_without_secrets!(Repo, VcsHost);

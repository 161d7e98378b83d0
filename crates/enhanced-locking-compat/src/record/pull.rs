//! Pull requests as Atlantis stores them in locks and statuses. Owns their members.

use serde::Serialize;
use serde::ser::SerializeMap;

use super::decode;
use super::error::RecordError;
use super::number::numbered;
use super::other::OtherMembers;
use super::repo::Repo;
use super::show::{Shown, serialize_without_secrets};
use crate::json::Value;

/// A pull request, merge request or, with a negative number, a run without one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pull {
    /// Its number.
    pub number: i64,
    /// The commit at its head: 40 hexadecimal digits, 12 on Bitbucket Cloud.
    pub head_commit: String,
    /// Where people see it.
    pub url: String,
    /// The branch it comes from.
    pub head_branch: String,
    /// The branch it goes to.
    pub base_branch: String,
    /// Whether a run without a pull request checks out its reference in the hardened way; since v0.45.
    pub hardened_non_pr_ref_checkout: bool,
    /// Who opened it.
    pub author: String,
    /// Its description, of any length; since v0.45.
    pub body: String,
    /// Whether it is open.
    pub state: PullState,
    /// The repository it goes to; empty in very old records.
    pub base_repo: Repo,
    /// Members that a later Atlantis may have added.
    pub other: OtherMembers,
}

numbered! {
    /// Whether a pull request is open, which Atlantis stores as a number.
    PullState {
        /// Open.
        Open = 0,
        /// Closed or merged.
        Closed = 1,
    }
}

impl Pull {
    pub(crate) fn read(&mut self, value: Value<'_>) -> Result<(), RecordError> {
        const NAMES: &[&str] = &[
            "Num",
            "HeadCommit",
            "URL",
            "HeadBranch",
            "BaseBranch",
            "HardenedNonPRRefCheckout",
            "Author",
            "Body",
            "State",
            "BaseRepo",
        ];
        let mut other = std::mem::take(&mut self.other);
        let read = decode::object(value, "Pull", NAMES, Some(&mut other), |member, value| match member {
            "Num" => decode::whole(value, "Pull.Num", &mut self.number),
            "HeadCommit" => decode::text(value, "Pull.HeadCommit", &mut self.head_commit),
            "URL" => decode::text(value, "Pull.URL", &mut self.url),
            "HeadBranch" => decode::text(value, "Pull.HeadBranch", &mut self.head_branch),
            "BaseBranch" => decode::text(value, "Pull.BaseBranch", &mut self.base_branch),
            "HardenedNonPRRefCheckout" => {
                decode::flag(value, "Pull.HardenedNonPRRefCheckout", &mut self.hardened_non_pr_ref_checkout)
            }
            "Author" => decode::text(value, "Pull.Author", &mut self.author),
            "Body" => decode::text(value, "Pull.Body", &mut self.body),
            "State" => self.state.read(value, "Pull.State"),
            _ => self.base_repo.read(value),
        });
        self.other = other;
        read
    }
}

impl Serialize for Shown<'_, Pull> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(pull, show) = *self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("Num", &pull.number)?;
        map.serialize_entry("HeadCommit", &pull.head_commit)?;
        map.serialize_entry("URL", &pull.url)?;
        map.serialize_entry("HeadBranch", &pull.head_branch)?;
        map.serialize_entry("BaseBranch", &pull.base_branch)?;
        map.serialize_entry("HardenedNonPRRefCheckout", &pull.hardened_non_pr_ref_checkout)?;
        map.serialize_entry("Author", &pull.author)?;
        map.serialize_entry("Body", &pull.body)?;
        map.serialize_entry("State", &pull.state)?;
        map.serialize_entry("BaseRepo", &Shown(&pull.base_repo, show))?;
        pull.other.write(&mut map, show)?;
        map.end()
    }
}

serialize_without_secrets!(Pull);

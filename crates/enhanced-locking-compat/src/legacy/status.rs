//! Statuses of pull requests. Owns how results are merged into them, and that no update is lost.

use super::error::LegacyError;
use super::locks::LegacyLocks;
use super::status_json::{PolicySet, Project, Status};
use crate::key::PullKey;
use crate::record::{PlanStatus, Pull, PullStatus, Stored};

/// How often a status is tried to be written while others change it.
const ATTEMPTS: usize = 100;

/// What a command came to for one project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProjectResult {
    /// The workspace.
    pub workspace: String,
    /// The directory in the repository.
    pub repo_rel_dir: String,
    /// The name of the project, empty if it has none.
    pub project_name: String,
    /// How far it is now.
    pub status: PlanStatus,
    /// The policies that were checked or approved; `None` if the command was not about policies.
    pub policies: Option<Vec<PolicySet>>,
}

impl LegacyLocks {
    /// The status of a pull request.
    ///
    /// # Errors
    /// [`LegacyError::Record`] if what is stored is none, [`LegacyError::Store`].
    pub async fn pull_status(&self, pull: &Pull) -> Result<Option<Stored<PullStatus>>, LegacyError> {
        let raw = self.value_of_key(&PullKey::of(pull)?.text()).await?;
        Ok(raw.map(Stored::<PullStatus>::read).transpose()?)
    }

    /// Merges the results of a command into the status of a pull request, and answers the new one.
    ///
    /// A status of another commit or base branch is replaced; only the policies of its projects are kept, because
    /// approvals outlive a push until the policies are checked again. What cannot be read is replaced as well.
    ///
    /// # Errors
    /// [`LegacyError::Contended`] if others change it all the time, [`LegacyError::Store`].
    pub async fn update_with_results(
        &self,
        pull: &Pull,
        results: &[ProjectResult],
    ) -> Result<Stored<PullStatus>, LegacyError> {
        let key = PullKey::of(pull)?.text();
        let merged = self.change(&key, |raw| {
            let current = raw.and_then(|raw| Status::read(raw).ok());
            Ok(Some(merge(current, pull, results)))
        });
        // It always changes something.
        merged.await?.ok_or(LegacyError::Contended { attempts: ATTEMPTS })
    }

    /// Sets how far one project is, if the pull request has a status; the project's name does not count, as in Atlantis.
    ///
    /// # Errors
    /// As [`Self::update_with_results`], and [`LegacyError::Record`] if what is stored cannot be read.
    pub async fn update_project(
        &self,
        pull: &Pull,
        workspace: &str,
        repo_rel_dir: &str,
        status: PlanStatus,
    ) -> Result<(), LegacyError> {
        let key = PullKey::of(pull)?.text();
        let changed = self.change(&key, |raw| {
            let Some(raw) = raw else { return Ok(None) };
            let mut current = Status::read(raw)?;
            let mut projects = current.projects.iter_mut();
            let found = projects.find(|one| one.workspace == workspace && one.repo_rel_dir == repo_rel_dir);
            found.into_iter().for_each(|project| project.status = status);
            Ok(Some(current))
        });
        changed.await.map(drop)
    }

    /// Deletes the status of a pull request; whether there was one.
    ///
    /// # Errors
    /// [`LegacyError::Store`].
    pub async fn delete_pull_status(&self, pull: &Pull) -> Result<bool, LegacyError> {
        self.set_key(&PullKey::of(pull)?.text(), None).await
    }

    /// Reads, changes and writes until nobody came in between. `None` changes nothing.
    async fn change(
        &self,
        key: &str,
        change: impl Fn(Option<&[u8]>) -> Result<Option<Status>, LegacyError>,
    ) -> Result<Option<Stored<PullStatus>>, LegacyError> {
        let mut found = self.value_of_key(key).await?;
        for _ in 0..ATTEMPTS {
            let Some(status) = change(found.as_deref())? else { return Ok(None) };
            let raw = status.to_json()?;
            match self.compare_and_set_key(key, found, raw.clone()).await {
                Ok(Ok(())) => return Ok(Some(Stored::<PullStatus>::read(raw)?)),
                Ok(Err(there)) => found = there,
                // Read again: if it is what was to be written, it was written, and merging once more changes nothing.
                Err(error) if error.is_indeterminate() => found = self.value_of_key(key).await?,
                Err(error) => return Err(error),
            }
        }
        Err(LegacyError::Contended { attempts: ATTEMPTS })
    }
}

fn merge(current: Option<Status>, pull: &Pull, results: &[ProjectResult]) -> Status {
    match current {
        Some(mut status) if !is_outdated(&status.pull, pull) => {
            for result in results {
                match status.projects.iter_mut().find(|project| is_for(result, project)) {
                    Some(project) => update(project, result),
                    None => status.projects.push(new_project(result)),
                }
            }
            status
        }
        current => {
            let old = current.map(|status| status.projects).unwrap_or_default();
            let projects = results.iter().map(|result| {
                let mut project = new_project(result);
                let kept = old.iter().find(|old| is_for(result, old) && has_policies(old));
                if let Some(kept) = kept {
                    project.policies.clone_from(&kept.policies);
                }
                project
            });
            Status { projects: projects.collect(), pull: pull.clone(), ..Status::default() }
        }
    }
}

/// A status without a base branch, from before there was one in it, is outdated for a pull request with one.
fn is_outdated(stored: &Pull, now: &Pull) -> bool {
    stored.head_commit != now.head_commit
        || !now.base_branch.is_empty() && stored.base_branch != now.base_branch
}

fn is_for(result: &ProjectResult, project: &Project) -> bool {
    result.workspace == project.workspace
        && result.repo_rel_dir == project.repo_rel_dir
        && result.project_name == project.name
}

fn has_policies(project: &Project) -> bool {
    project.policies.as_ref().is_some_and(|policies| !policies.is_empty())
}

/// Only the policy sets of the result are replaced: a command may be about some of them.
fn update(project: &mut Project, result: &ProjectResult) {
    project.status = result.status;
    match &mut project.policies {
        Some(policies) if !policies.is_empty() => {
            for policy in policies {
                let mut new = result.policies.iter().flatten().filter(|new| new.name() == policy.name());
                if let Some(new) = new.next_back() {
                    *policy = new.clone();
                }
            }
        }
        none => none.clone_from(&result.policies),
    }
}

fn new_project(result: &ProjectResult) -> Project {
    Project {
        workspace: result.workspace.clone(),
        repo_rel_dir: result.repo_rel_dir.clone(),
        name: result.project_name.clone(),
        policies: result.policies.clone(),
        status: result.status,
        ..Project::default()
    }
}

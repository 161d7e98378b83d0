//! The key of a lock on a project. Owns the joined forms and Atlantis' way of taking them apart.

use enhanced_locking_foundation::{ProjectKey, ValueError};

use super::path::clean_path;
use crate::record::ProjectLock;

/// The four parts of which Atlantis joins the key of a lock.
///
/// Two different ones may have the same [`text`](Self::text): Atlantis takes them for one project, and whoever stands
/// in for it has to let both exclude each other under that text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockKey {
    /// Full name of the repository.
    pub repo: String,
    /// Directory in the repository.
    pub path: String,
    /// Workspace.
    pub workspace: String,
    /// Name of the project, empty if it has none.
    pub project: String,
}

/// A text that is not a key of four parts.
///
/// The first line of its text is what Atlantis says, word for word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid key format; a lock key is {{repo}}/{{path}}/{{workspace}}/{{project}} with at least four slashes"
)]
#[non_exhaustive]
pub struct NotALockKey;

impl NotALockKey {
    /// What Atlantis answers.
    pub const ATLANTIS: &'static str = "invalid key format";
}

impl LockKey {
    /// Where lock keys begin in Redis.
    pub const REDIS_PREFIX: &'static str = "pr/";

    /// The key of a project; the path is cleaned as Atlantis does.
    #[must_use]
    pub fn new(repo: &str, path: &str, workspace: &str, project: &str) -> Self {
        Self {
            repo: repo.to_owned(),
            path: clean_path(path),
            workspace: workspace.to_owned(),
            project: project.to_owned(),
        }
    }

    /// The key that a stored lock belongs under, from what it says, as it says it.
    #[must_use]
    pub fn of(lock: &ProjectLock) -> Self {
        Self {
            repo: lock.project.repo.clone(),
            path: lock.project.path.clone(),
            workspace: lock.workspace.clone(),
            project: lock.project.name.clone(),
        }
    }

    /// The key of v0.40 and later: four parts, ending in `/` if the project has no name.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { repo, path, workspace, project } = self;
        format!("{repo}/{path}/{workspace}/{project}")
    }

    /// The key up to v0.39: three parts.
    #[must_use]
    pub fn old_text(&self) -> String {
        let Self { repo, path, workspace, .. } = self;
        format!("{repo}/{path}/{workspace}")
    }

    /// The key in Redis.
    #[must_use]
    pub fn redis(&self) -> String {
        format!("{}{}", Self::REDIS_PREFIX, self.text())
    }

    /// Takes a key of four parts apart as Atlantis does: the shortest `x/y` is the repository, the last two slashes
    /// part the workspace and the project's name.
    ///
    /// A guess: for repositories of GitLab sub-groups and Azure DevOps, and for names with a slash, the parts are wrong.
    /// The [`text`](Self::text) is always that which was given. Old keys with a path of two or more parts are taken
    /// for new ones.
    ///
    /// # Errors
    /// [`NotALockKey`] with less than four slashes, or with a line feed, which Atlantis' pattern does not match.
    pub fn parse(text: &str) -> Result<Self, NotALockKey> {
        if text.contains('\n') {
            return Err(NotALockKey);
        }
        let second = text.match_indices('/').nth(1).ok_or(NotALockKey)?.0;
        let (repo, rest) = text.split_at(second);
        // Behind the repository and its slash there have to be two slashes more.
        let rest = rest.get(1..).unwrap_or_default();
        let (rest, project) = rest.rsplit_once('/').ok_or(NotALockKey)?;
        let (path, workspace) = rest.rsplit_once('/').ok_or(NotALockKey)?;
        let [repo, path, workspace, project] = [repo, path, workspace, project].map(str::to_owned);
        Ok(Self { repo, path, workspace, project })
    }

    /// The key of the same project inside this system, which tells apart what Atlantis does not. `host` may be empty.
    ///
    /// One difference is lost: `/a` and `a` are the same directory here.
    ///
    /// # Errors
    /// [`ValueError`] if the repository or the workspace is empty.
    pub fn project(&self, host: &str) -> Result<ProjectKey, ValueError> {
        Ok(ProjectKey::new(&self.repo, &self.path, &self.workspace)?.host(host).name(&self.project))
    }
}

impl From<&ProjectKey> for LockKey {
    /// The parts without the host, which Atlantis' keys do not have.
    fn from(project: &ProjectKey) -> Self {
        Self::new(&project.repo, &project.path, &project.workspace, &project.project)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> [String; 4] {
        let LockKey { repo, path, workspace, project } = LockKey::parse(text).unwrap();
        [repo, path, workspace, project]
    }

    // The cases of Atlantis' own tests (contract §5.3).

    #[test]
    fn a_key_of_five_parts_is_current() {
        let want = ["owner/repo", "path", "workspace", "projectName"];
        assert_eq!(parsed("owner/repo/path/workspace/projectName"), want);
    }

    #[test]
    fn a_key_with_a_nested_path_is_current() {
        let want = ["owner/repo", "parent/child/path", "workspace", "projectName"];
        assert_eq!(parsed("owner/repo/parent/child/path/workspace/projectName"), want);
    }

    #[test]
    fn old_short_and_empty_keys_are_not_current() {
        for text in ["owner/repo/path/workspace", "invalidkey", "", "///", "o/r/p/w/n\n", "o/r/p\n/w/"] {
            assert_eq!(LockKey::parse(text), Err(NotALockKey), "{text:?}");
        }
        assert!(NotALockKey.to_string().starts_with(NotALockKey::ATLANTIS));
    }

    // What Atlantis confuses (contract §2.1).

    #[test]
    fn sub_groups_and_names_with_slashes_are_taken_apart_wrongly() {
        assert_eq!(parsed("g/s/repo/./default/"), ["g/s", "repo/.", "default", ""]);
        assert_eq!(parsed("owner/repo/path/ws/a/b"), ["owner/repo", "path/ws", "a", "b"]);
        assert_eq!(parsed("////"), ["/", "", "", ""]);
    }

    #[test]
    fn an_old_key_with_a_nested_path_is_taken_for_a_new_one() {
        assert_eq!(parsed("acme/infra/parent/child/default"), ["acme/infra", "parent", "child", "default"]);
    }

    #[test]
    fn projects_that_atlantis_confuses_share_a_text_and_nothing_else() {
        for (one, two) in [
            (LockKey::new("o/r", "a", "w", "b/c"), LockKey::new("o/r", "a/w", "b", "c")),
            (LockKey::new("g/s/r", "x", "w", ""), LockKey::new("g/s", "r/x", "w", "")),
        ] {
            assert_eq!(one.text(), two.text());
            assert_ne!(one, two);
            assert_ne!(one.project("h").unwrap().key(), two.project("h").unwrap().key());
        }
    }

    #[test]
    fn the_own_key_leads_back_to_the_parts() {
        let key = LockKey::new("g/s/r", "a/b", "w", "n/m");
        assert_eq!(LockKey::from(&key.project("host").unwrap()), key);
        assert!(LockKey::new("", "a", "w", "").project("h").is_err());
    }

    proptest! {
        #[test]
        fn a_text_that_is_taken_apart_is_put_together_again(text in "[ab/.]{0,16}") {
            match LockKey::parse(&text) {
                Ok(key) => prop_assert_eq!(key.text(), text),
                Err(_) => prop_assert!(text.matches('/').count() < 4),
            }
        }
    }
}

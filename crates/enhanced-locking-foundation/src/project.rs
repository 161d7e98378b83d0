//! Projects of infrastructure code as keys. Owns the full-fidelity encoding; Atlantis' own ambiguous keys belong to the compatibility layer.

use crate::{ResourceKey, ValueError};

/// Scheme in front of every key that names a project.
const SCHEME: &str = "project";

/// What Atlantis locks: a directory of a repository in a workspace, with host and project name.
///
/// Atlantis joins the parts with `/`, leaves the host out and escapes nothing, so that two projects can share a
/// key. Here the five parts are joined with `:` and escaped, so that two different projects never do.
///
/// ```
/// use enhanced_locking_foundation::ProjectKey;
/// let project = ProjectKey::new("acme/infra", "./envs//prod/", "default")?.host("github.com").name("net");
/// assert_eq!(project.key()?.as_str(), "project:github.com:acme/infra:envs/prod:default:net");
/// assert_eq!(ProjectKey::parse(&project.key()?), Some(project));
/// # Ok::<(), enhanced_locking_foundation::ValueError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct ProjectKey {
    /// Host name of the version control system; empty when it is not known.
    pub host: String,
    /// Full name of the repository, for example `acme/infra`.
    pub repo: String,
    /// Directory in the repository, cleaned as Atlantis does: `.` is the root, no trailing slash.
    pub path: String,
    /// Terraform workspace.
    pub workspace: String,
    /// Name of the project; empty when it has none.
    pub project: String,
}

impl ProjectKey {
    /// A project of a repository's directory and workspace, with neither host nor name.
    ///
    /// # Errors
    /// [`ValueError::Empty`] if the repository or the workspace is empty.
    pub fn new(repo: &str, path: &str, workspace: &str) -> Result<Self, ValueError> {
        for (what, value) in [("repo", repo), ("workspace", workspace)] {
            if value.is_empty() {
                return Err(ValueError::Empty { what });
            }
        }
        Ok(Self {
            host: String::new(),
            repo: repo.to_owned(),
            path: clean(path),
            workspace: workspace.to_owned(),
            project: String::new(),
        })
    }

    /// Sets the host.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// Sets the project's name.
    #[must_use]
    pub fn name(mut self, project: &str) -> Self {
        project.clone_into(&mut self.project);
        self
    }

    /// The canonical key.
    ///
    /// # Errors
    /// [`ValueError`] if the parts together are too long for a key or have control characters.
    pub fn key(&self) -> Result<ResourceKey, ValueError> {
        let mut key = String::from(SCHEME);
        for part in [&self.host, &self.repo, &self.path, &self.workspace, &self.project] {
            key.push(':');
            for c in part.chars() {
                match c {
                    ':' => key.push_str("%3A"),
                    '%' => key.push_str("%25"),
                    c => key.push(c),
                }
            }
        }
        ResourceKey::new(key)
    }

    /// The project a key names; `None` if it is not the canonical key of a project.
    #[must_use]
    pub fn parse(key: &ResourceKey) -> Option<Self> {
        let mut parts = key.as_str().split(':');
        if parts.next() != Some(SCHEME) {
            return None;
        }
        let mut next = || parts.next().map(|part| part.replace("%3A", ":").replace("%25", "%"));
        let project =
            Self { host: next()?, repo: next()?, path: next()?, workspace: next()?, project: next()? };
        // Encoding again settles every other question: a sixth part, a stray escape, an unclean path.
        (project.path == clean(&project.path) && project.key().as_ref() == Ok(key)).then_some(project)
    }
}

/// Cleans a path as Go's `path.Clean` does for the relative paths that Atlantis stores.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_atlantis_cleans_them() {
        for (given, want) in [
            ("", "."),
            ("/", "."),
            ("./a", "a"),
            ("a//b", "a/b"),
            ("../a", "../a"),
            ("a/../b/", "b"),
            (".", "."),
        ] {
            assert_eq!(clean(given), want, "{given:?}");
        }
    }

    #[test]
    fn projects_that_atlantis_confuses_have_different_keys() {
        let one = ProjectKey::new("o/r", "a", "w").unwrap().name("b/c").key().unwrap();
        let two = ProjectKey::new("o/r", "a/w", "b").unwrap().name("c").key().unwrap();
        assert_ne!(one, two);
    }

    #[test]
    fn separators_inside_parts_survive_the_round_trip() {
        let project = ProjectKey::new("o:r%3A", "a%", "w:").unwrap().host("h:1").name("%25");
        assert_eq!(ProjectKey::parse(&project.key().unwrap()), Some(project));
    }

    #[test]
    fn other_keys_are_not_projects() {
        for key in ["demo", "project:a", "project:h:r:p:w:n:x", "project::r:./p:w:"] {
            assert_eq!(ProjectKey::parse(&ResourceKey::new(key).unwrap()), None, "{key}");
        }
    }
}

//! Who asks and what is locked, as given on the command line or by the variables of Atlantis.
//!
//! Owns the defaults: a `run` is an owner of its own, every other command speaks for the user on this host.

use std::collections::BTreeMap;

use clap::Args;
use enhanced_locking_foundation::{
    Metadata, OwnerId, ProjectKey, PullRequest, RequestId, ResourceKey, ValueError,
};

use crate::failure::Failure;
use crate::repository;
use crate::session::Session;

/// What is locked: keys as they are, or the parts of a project.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct KeyArgs {
    /// What to lock: any name, for example prod/network
    #[arg(long = "key", short = 'k', value_name = "KEY")]
    pub keys: Vec<String>,
    /// A project instead of a key: its name
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
    /// The project's repository, for example acme/infra [default: that of Atlantis, or the git remote `origin`]
    #[arg(long, value_name = "OWNER/NAME")]
    pub repo: Option<String>,
    /// The project's directory in the repository [default: .]
    #[arg(long, value_name = "DIR")]
    pub path: Option<String>,
    /// The project's workspace [default: default]
    #[arg(long, value_name = "NAME")]
    pub workspace: Option<String>,
    /// The host of the project's repository, for example github.com
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Read project, owner, user and pull request from the variables Atlantis gives to hooks and workflow steps
    #[arg(long)]
    pub from_atlantis_env: bool,
}

/// Who asks.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct OwnerArgs {
    /// Who holds the lock
    #[arg(long, value_name = "OWNER")]
    pub owner: Option<String>,
    /// The person behind the owner, for people to read [default: the user's name]
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// The pull request the owner stands for; needs --repo
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub pull: Option<i64>,
}

/// Where variables come from: the environment, or a test.
pub(crate) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads the environment of this process; an empty variable counts as none.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl KeyArgs {
    /// Fills what was not given from the surroundings: the variables of Atlantis if that was asked for, and the
    /// repository of a project that names none, which is told unless `quiet`.
    ///
    /// # Errors
    /// A [`Failure`] that says what is missing.
    pub(crate) fn settle(
        &mut self,
        owner: &mut OwnerArgs,
        session: &Session,
        quiet: bool,
    ) -> Result<(), Failure> {
        self.complete(owner, &environment)?;
        if self.repo.is_none() && self.names_a_project() {
            let found = repository::find(&environment)?;
            if !quiet {
                session.tell("repository", &format!("repository {}, from {}", found.repo, found.source));
            }
            self.repo = Some(found.repo);
        }
        Ok(())
    }

    fn names_a_project(&self) -> bool {
        self.project.is_some() || self.path.is_some() || self.workspace.is_some() || self.host.is_some()
    }

    /// Fills what was not given from the variables of Atlantis, if that was asked for.
    ///
    /// # Errors
    /// A [`Failure`] that names the variables that are missing.
    fn complete(&mut self, owner: &mut OwnerArgs, variables: Variables<'_>) -> Result<(), Failure> {
        if !self.from_atlantis_env {
            return Ok(());
        }
        if self.repo.is_none() {
            match (variables("BASE_REPO_OWNER"), variables("BASE_REPO_NAME")) {
                (Some(organisation), Some(name)) => self.repo = Some(format!("{organisation}/{name}")),
                _ => {
                    return Err(Failure::usage("BASE_REPO_OWNER and BASE_REPO_NAME are not set").hint(
                        "--from-atlantis-env works in hooks and custom workflow steps of Atlantis only",
                    ));
                }
            }
        }
        fn fill(field: &mut Option<String>, value: Option<String>) {
            if field.is_none() {
                *field = value;
            }
        }
        fill(&mut self.path, variables("REPO_REL_DIR"));
        fill(&mut self.workspace, variables("WORKSPACE"));
        fill(&mut self.project, variables("PROJECT_NAME"));
        fill(&mut owner.user, variables("USER_NAME"));
        if owner.pull.is_none()
            && let Some(number) = variables("PULL_NUM")
        {
            let number = number
                .parse()
                .map_err(|_| Failure::usage(format!("PULL_NUM is {number:?}, not a number")))?;
            owner.pull = Some(number);
        }
        if owner.owner.is_none()
            && let (Some(repo), Some(number)) = (&self.repo, owner.pull)
        {
            let host = self.host.as_ref().map(|host| format!("{host}/")).unwrap_or_default();
            owner.owner = Some(format!("{host}{repo}#{number}"));
        }
        Ok(())
    }

    /// The keys that are meant, in the order given; a project comes last.
    ///
    /// # Errors
    /// A [`Failure`] if none is given, one is not allowed, or one is given twice.
    pub(crate) fn resolve(&self) -> Result<Vec<ResourceKey>, Failure> {
        let mut keys: Vec<ResourceKey> = self.keys.iter().map(ResourceKey::new).collect::<Result<_, _>>()?;
        let parts = self.names_a_project();
        match &self.repo {
            Some(repo) if parts || keys.is_empty() => {
                let path = self.path.as_deref().unwrap_or(".");
                let workspace = self.workspace.as_deref().unwrap_or("default");
                let mut project = ProjectKey::new(repo, path, workspace)?;
                project = project.host(self.host.as_deref().unwrap_or_default());
                keys.push(project.name(self.project.as_deref().unwrap_or_default()).key()?);
            }
            None if parts => {
                return Err(Failure::usage("a project needs its repository")
                    .hint("add --repo OWNER/NAME, or name what to lock with --key"));
            }
            _ => {}
        }
        if keys.is_empty() {
            return Err(Failure::usage("what to lock is missing")
                .hint("give --key KEY, or --repo OWNER/NAME with --project, --path and --workspace"));
        }
        for (at, key) in keys.iter().enumerate() {
            if keys.iter().take(at).any(|earlier| earlier == key) {
                return Err(Failure::usage(format!("{key} is given twice")));
            }
        }
        Ok(keys)
    }

    /// The one key that is meant.
    ///
    /// # Errors
    /// As [`Self::resolve`], and if there are several.
    pub(crate) fn one(&self) -> Result<ResourceKey, Failure> {
        let keys = self.resolve()?;
        match <[ResourceKey; 1]>::try_from(keys) {
            Ok([key]) => Ok(key),
            Err(keys) => {
                Err(Failure::usage(format!("{} keys are given, this command takes one", keys.len())))
            }
        }
    }
}

impl OwnerArgs {
    /// The pull request, which needs a repository.
    ///
    /// # Errors
    /// A [`Failure`] if there is a number but no repository.
    pub(crate) fn pull(&self, keys: &KeyArgs) -> Result<Option<PullRequest>, Failure> {
        match (self.pull, &keys.repo) {
            (None, _) => Ok(None),
            (Some(number), Some(repo)) => Ok(Some(PullRequest::new(repo, number)?)),
            (Some(number), None) => {
                Err(Failure::usage(format!("pull request {number} of which repository?"))
                    .hint("add --repo OWNER/NAME"))
            }
        }
    }

    /// The owner, or the user on this host.
    ///
    /// # Errors
    /// If the owner is not allowed.
    pub(crate) fn owner(&self) -> Result<OwnerId, ValueError> {
        OwnerId::new(self.owner.clone().unwrap_or_else(user_at_host))
    }

    /// The owner, or one that no other invocation has: two `run`s of one user exclude each other.
    ///
    /// # Errors
    /// If the owner is not allowed.
    pub(crate) fn owner_of_a_run(&self) -> Result<OwnerId, ValueError> {
        let unique = || {
            let id = RequestId::generate();
            let tail = id.as_str().rsplit('-').next().unwrap_or_default().to_owned();
            format!("{}/{}/{tail}", user_at_host(), std::process::id())
        };
        OwnerId::new(self.owner.clone().unwrap_or_else(unique))
    }

    /// The person to show.
    #[must_use]
    pub(crate) fn user(&self) -> Option<String> {
        self.user.clone().or_else(|| Some(user()))
    }
}

/// Reads `--meta name=value`.
///
/// # Errors
/// A sentence that says what would be right.
pub(crate) fn parse_meta(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as name=value".to_owned()),
    }
}

/// Makes labels of `--meta`.
///
/// # Errors
/// [`ValueError`] if they are too many or too long.
pub(crate) fn metadata(pairs: &[(String, String)]) -> Result<Metadata, ValueError> {
    Metadata::new(pairs.iter().cloned().collect::<BTreeMap<_, _>>())
}

fn user() -> String {
    environment("USER")
        .or_else(|| environment("LOGNAME"))
        .unwrap_or_else(|| format!("uid-{}", rustix::process::getuid().as_raw()))
}

fn user_at_host() -> String {
    format!("{}@{}", user(), rustix::system::uname().nodename().to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(repo: Option<&str>, name: Option<&str>) -> KeyArgs {
        KeyArgs { repo: repo.map(Into::into), project: name.map(Into::into), ..KeyArgs::default() }
    }

    #[test]
    fn keys_and_projects_can_be_mixed() {
        let keys = KeyArgs { keys: vec!["a".into()], ..project(Some("o/r"), Some("net")) };
        let got: Vec<String> = keys.resolve().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(got, ["a", "project::o/r:.:default:net"]);
        // With a key, a repository alone is there for the pull request.
        let keys = KeyArgs { keys: vec!["a".into()], ..project(Some("o/r"), None) };
        assert_eq!(keys.resolve().unwrap().len(), 1);
        assert_eq!(project(Some("o/r"), None).one().unwrap().as_str(), "project::o/r:.:default:");
    }

    #[test]
    fn what_is_missing_or_given_twice_is_said() {
        assert_eq!(KeyArgs::default().resolve().unwrap_err().code, 2);
        assert!(project(None, Some("net")).resolve().unwrap_err().hint.unwrap().contains("--repo"));
        let twice = KeyArgs { keys: vec!["a".into(), "a".into()], ..KeyArgs::default() };
        assert_eq!(twice.resolve().unwrap_err().message, "a is given twice");
    }

    #[test]
    fn the_variables_of_atlantis_name_project_owner_and_pull_request() {
        let variables = |name: &str| {
            let value = match name {
                "BASE_REPO_OWNER" => "acme",
                "BASE_REPO_NAME" => "infra",
                "PULL_NUM" => "42",
                "PROJECT_NAME" => "net",
                "REPO_REL_DIR" => "envs/prod",
                "WORKSPACE" => "blue",
                "USER_NAME" => "alice",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let mut keys = KeyArgs { from_atlantis_env: true, ..KeyArgs::default() };
        let mut owner = OwnerArgs::default();
        keys.complete(&mut owner, &variables).unwrap();
        assert_eq!(keys.one().unwrap().as_str(), "project::acme/infra:envs/prod:blue:net");
        assert_eq!(owner.owner.as_deref(), Some("acme/infra#42"));
        assert_eq!(owner.user.as_deref(), Some("alice"));
        assert_eq!(owner.pull(&keys).unwrap(), Some(PullRequest::new("acme/infra", 42).unwrap()));

        let mut keys = KeyArgs { from_atlantis_env: true, ..KeyArgs::default() };
        let failure = keys.complete(&mut OwnerArgs::default(), &|_| None).unwrap_err();
        assert!(failure.message.contains("BASE_REPO_OWNER"), "{failure}");
    }

    #[test]
    fn every_run_is_an_owner_of_its_own_and_other_commands_are_the_user() {
        let owner = OwnerArgs::default();
        assert_ne!(owner.owner_of_a_run().unwrap(), owner.owner_of_a_run().unwrap());
        assert_eq!(owner.owner().unwrap(), owner.owner().unwrap());
        let named = OwnerArgs { owner: Some("me".into()), ..OwnerArgs::default() };
        assert_eq!(named.owner_of_a_run().unwrap().as_str(), "me");
    }

    #[test]
    fn a_pull_request_needs_its_repository() {
        let owner = OwnerArgs { pull: Some(7), ..OwnerArgs::default() };
        assert!(owner.pull(&KeyArgs::default()).is_err());
    }

    #[test]
    fn labels_are_pairs() {
        assert_eq!(parse_meta("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(parse_meta("=x").is_err());
        assert!(parse_meta("x").is_err());
    }
}

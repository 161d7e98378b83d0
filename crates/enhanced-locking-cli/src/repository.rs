//! Which repository a command means that names none: the one Atlantis works for, or the one it is run in. Owns reading
//! the addresses that git keeps of it.

use std::process::{Command, Stdio};

use crate::failure::Failure;
use crate::identity::Variables;

/// What every command that needs a repository can be told instead.
const HINT: &str = "add --repo OWNER/NAME, or name what to lock with --key";

/// A repository that was found, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its name, `OWNER/NAME`.
    pub repo: String,
    /// What says so.
    pub source: &'static str,
}

/// Finds the repository.
///
/// # Errors
/// A [`Failure`] that says why there is none.
pub(crate) fn find(variables: Variables<'_>) -> Result<Found, Failure> {
    if let (Some(owner), Some(name)) = (variables("BASE_REPO_OWNER"), variables("BASE_REPO_NAME")) {
        return Ok(Found { repo: format!("{owner}/{name}"), source: "BASE_REPO_OWNER and BASE_REPO_NAME" });
    }
    let address = origin().ok_or_else(|| {
        Failure::usage("a project needs its repository, and the working directory has no git remote `origin`")
            .hint(HINT)
    })?;
    match parse(&address) {
        Some(repo) => Ok(Found { repo, source: "the git remote `origin`" }),
        None => Err(Failure::usage(format!(
            "a project needs its repository, and the git remote `origin` ({}) does not say its owner and name",
            without_password(&address)
        ))
        .hint(HINT)),
    }
}

/// The address of the remote `origin` of the working directory; none if there is no git, either.
fn origin() -> Option<String> {
    let mut git = Command::new("git");
    git.args(["remote", "get-url", "origin"]).stdin(Stdio::null()).stderr(Stdio::null());
    let output = git.output().ok().filter(|output| output.status.success())?;
    let address = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!address.is_empty()).then_some(address)
}

/// Owner and name in an address like `https://HOST/OWNER/NAME.git`, `ssh://git@HOST/OWNER/NAME` or
/// `git@HOST:OWNER/NAME.git`. Owners may be nested, as groups are at GitLab.
fn parse(address: &str) -> Option<String> {
    let path = match address.split_once("://") {
        Some(("http" | "https" | "ssh" | "git" | "git+ssh", rest)) => rest.split_once('/')?.1,
        Some(_) => return None,
        // A colon behind a slash belongs to the name of a file.
        None => address.split_once(':').filter(|(host, _)| !host.contains('/') && !host.is_empty())?.1,
    };
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let mut parts = path.split('/');
    let whole = parts.clone().count() >= 2 && parts.all(|part| !part.is_empty() && !part.starts_with('~'));
    whole.then(|| path.to_owned())
}

/// An address as it may be shown: runners put tokens into theirs.
fn without_password(address: &str) -> String {
    match address.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.split_once('@')?.1))) {
        Some((scheme, rest)) => format!("{scheme}://{rest}"),
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_every_form_name_owner_and_repository() {
        for address in [
            "https://github.com/acme/infra",
            "https://github.com/acme/infra.git",
            "https://user:token@git.example:8443/acme/infra.git/",
            "http://git.example/acme/infra",
            "ssh://git@git.example:2222/acme/infra.git",
            "git@github.com:acme/infra.git",
            "github.com:acme/infra",
            "git@git.example:/acme/infra.git",
            "git://git.example/acme/infra.git",
        ] {
            assert_eq!(parse(address).as_deref(), Some("acme/infra"), "{address}");
        }
        assert_eq!(parse("git@gitlab.com:acme/ops/infra.git").as_deref(), Some("acme/ops/infra"));
    }

    #[test]
    fn what_is_a_path_or_has_no_owner_names_none() {
        for address in [
            "/srv/git/infra.git",
            "../infra",
            "file:///srv/acme/infra",
            "https://h",
            "https://h/infra",
            "h:infra",
            "",
        ] {
            assert_eq!(parse(address), None, "{address}");
        }
        assert_eq!(parse("./a:b/c"), None);
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(without_password("https://x:secret@h/infra"), "https://h/infra");
        assert_eq!(without_password("/srv/infra"), "/srv/infra");
    }

    #[test]
    fn the_variables_of_atlantis_come_first() {
        let variables = |name: &str| match name {
            "BASE_REPO_OWNER" => Some("acme".to_owned()),
            "BASE_REPO_NAME" => Some("infra".to_owned()),
            _ => None,
        };
        assert_eq!(find(&variables).unwrap().repo, "acme/infra");
    }
}

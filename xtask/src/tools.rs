//! Programs of the machine that tests need: checks for them, and installs them where that is easy.
//!
//! Tests of the Redis store start servers of their own; [`ensure_redis`] sees to the program. Sentinels and clusters
//! are the same program.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use xshell::{Shell, cmd};

use crate::ui::{Failure, Result, yellow};

/// Set to anything, it keeps [`ensure`] from installing packages.
const NO_INSTALL_ENV: &str = "ENHANCED_LOCKING_NO_INSTALL";

/// Names the server program that tests start instead of the one in `PATH`; the testkit reads it, too.
const REDIS_ENV: &str = "REDIS_SERVER";

/// What this machine offers for installing a Debian package.
#[derive(Debug, Clone, Copy)]
struct Means {
    apt: bool,
    root: bool,
    /// `sudo` works without asking for a password.
    sudo: bool,
    /// The person said no by [`NO_INSTALL_ENV`].
    forbidden: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Plan {
    Install { with_sudo: bool },
    Tell(String),
}

/// Makes sure that `program` can be started.
///
/// If it is missing, installs `package` with apt-get when this process is root or has a `sudo` that asks
/// nothing; otherwise fails with the command for the person to run.
pub(crate) fn ensure(program: &str, package: &str) -> Result<()> {
    if present(program)? {
        return Ok(());
    }
    match plan(program, package, means()?) {
        Plan::Tell(what) => Err(Failure::new(what)),
        Plan::Install { with_sudo } => {
            println!("{} {program} is missing: installing the Debian package {package}", yellow("note:"));
            install(package, with_sudo)?;
            if present(program)? {
                return Ok(());
            }
            Err(Failure::new(format!("installed the package {package}, but {program} is still not in PATH")))
        }
    }
}

/// Makes sure that tests find a Redis or Valkey server; returns which.
///
/// `REDIS_SERVER` names one to use, for tests on other versions; otherwise it is the one in `PATH`, installed by
/// [`ensure`] where there is none.
pub(crate) fn ensure_redis() -> Result<String> {
    let program = redis_server()?;
    describe_redis(&program)
}

/// The program of the Redis or Valkey server, as for [`ensure_redis`].
pub(crate) fn redis_server() -> Result<String> {
    Ok(match chosen_server(std::env::var_os(REDIS_ENV))? {
        Some(program) => program,
        None if !present("redis-server")? && present("valkey-server")? => "valkey-server".to_owned(),
        None => {
            ensure("redis-server", "redis-server")?;
            "redis-server".to_owned()
        }
    })
}

/// Name and version of a server, or why it does not start.
pub(crate) fn describe_redis(program: &str) -> Result<String> {
    let sh = Shell::new()?;
    let text = cmd!(sh, "{program} --version").quiet().read().map_err(|error| {
        Failure::new(format!(
            "{error}: {REDIS_ENV} or PATH must lead to a Redis or Valkey server that starts"
        ))
    })?;
    Ok(server_version(program, &text))
}

/// The program that `REDIS_SERVER` names, if it names one.
fn chosen_server(value: Option<OsString>) -> Result<Option<String>> {
    let Some(path) = value.filter(|path| !path.is_empty()) else { return Ok(None) };
    let shown = Path::new(&path).display().to_string();
    if Path::new(&path).is_file() {
        return Ok(Some(shown));
    }
    Err(Failure::new(format!(
        "{REDIS_ENV} names {shown}, which is no file: give the full path of a server, or unset it"
    )))
}

/// The program's name with the version it told.
fn server_version(program: &str, text: &str) -> String {
    let name = Path::new(program).file_name().and_then(OsStr::to_str).unwrap_or(program);
    let version =
        text.split_whitespace().find_map(|word| word.strip_prefix("v=")).unwrap_or("of unknown version");
    format!("{name} {version}")
}

/// Whether `program` is found in `PATH`.
pub(crate) fn present(program: &str) -> Result<bool> {
    let sh = Shell::new()?;
    let found = cmd!(sh, "sh -c 'command -v \"$1\"' sh {program}")
        .quiet()
        .ignore_stdout()
        .ignore_stderr()
        .ignore_status()
        .output()?;
    Ok(found.status.success())
}

fn means() -> Result<Means> {
    let sh = Shell::new()?;
    let root = cmd!(sh, "id -u").quiet().ignore_stderr().read().is_ok_and(|id| id == "0");
    let sudo = !root
        && present("sudo")?
        && cmd!(sh, "sudo -n true").quiet().ignore_stdout().ignore_stderr().run().is_ok();
    let forbidden = std::env::var_os(NO_INSTALL_ENV).is_some();
    Ok(Means { apt: present("apt-get")?, root, sudo, forbidden })
}

fn plan(program: &str, package: &str, means: Means) -> Plan {
    if means.apt && (means.root || means.sudo) && !means.forbidden {
        return Plan::Install { with_sudo: !means.root };
    }
    let how = if means.apt {
        format!("run `sudo apt-get install {package}`")
    } else {
        format!("install it with your system's package manager (on Debian the package is {package})")
    };
    Plan::Tell(format!("{program} is needed and was not found in PATH: {how}, then run this again"))
}

fn install(package: &str, with_sudo: bool) -> Result<()> {
    let sh = Shell::new()?;
    let sudo: &[&str] = if with_sudo { &["sudo", "-n"] } else { &[] };
    let attempt = || {
        cmd!(sh, "env {sudo...} env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends {package}")
            .run()
    };
    if attempt().is_ok() {
        return Ok(());
    }
    // A machine whose package lists are empty or old knows no package: refresh them and try once more.
    cmd!(sh, "env {sudo...} apt-get update").run()?;
    attempt().map_err(|error| {
        Failure::new(format!("{error}; install the package {package} by hand and run this again"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: Means = Means { apt: true, root: true, sudo: false, forbidden: false };

    #[test]
    fn a_shell_is_present_and_nonsense_is_not() {
        assert!(present("sh").unwrap());
        assert!(!present("no-such-program-anywhere").unwrap());
    }

    #[test]
    fn root_installs_directly_and_others_through_a_silent_sudo() {
        assert_eq!(plan("p", "k", ROOT), Plan::Install { with_sudo: false });
        let user = Means { root: false, sudo: true, ..ROOT };
        assert_eq!(plan("p", "k", user), Plan::Install { with_sudo: true });
    }

    #[test]
    fn a_person_who_must_act_is_told_the_command() {
        let user = Means { root: false, ..ROOT };
        let Plan::Tell(text) = plan("redis-server", "redis-server", user) else {
            panic!("a user without sudo must not install")
        };
        assert!(text.contains("sudo apt-get install redis-server"), "{text}");
        let Plan::Tell(text) = plan("redis-server", "redis-server", Means { apt: false, ..ROOT }) else {
            panic!("there is no apt to install with")
        };
        assert!(text.contains("package manager"), "{text}");
    }

    #[test]
    fn a_chosen_server_must_be_there() {
        assert!(chosen_server(None).unwrap().is_none());
        assert!(chosen_server(Some("".into())).unwrap().is_none());
        let text = chosen_server(Some("no/such/server".into())).unwrap_err().to_string();
        assert!(text.contains("no/such/server"), "{text}");
    }

    #[test]
    fn the_version_of_a_server_is_shown() {
        let shown = server_version("/usr/bin/redis-server", "Redis server v=7.0.15 sha=0");
        assert_eq!(shown, "redis-server 7.0.15");
        assert_eq!(server_version("valkey-server", "?"), "valkey-server of unknown version");
    }

    #[test]
    fn the_opt_out_is_respected() {
        assert!(matches!(plan("p", "k", Means { forbidden: true, ..ROOT }), Plan::Tell(_)));
    }
}

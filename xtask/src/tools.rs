//! Programs of the machine that tests need: checks for them, and installs them where that is easy.
//!
//! `ensure("redis-server", "redis-server")` is how a test that needs a real server will ask for it.

use xshell::{Shell, cmd};

use crate::ui::{Failure, Result, yellow};

/// Set to anything, it keeps [`ensure`] from installing packages.
const NO_INSTALL_ENV: &str = "ENHANCED_LOCKING_NO_INSTALL";

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
    fn the_opt_out_is_respected() {
        assert!(matches!(plan("p", "k", Means { forbidden: true, ..ROOT }), Plan::Tell(_)));
    }
}

//! Starting the command. Owns what it inherits, its process group, and that it does not outlive this process.
//!
//! Standard input, output and error are inherited untouched. On Linux the command is started through this very
//! program (`__exec`), which asks the kernel to be told when its parent dies and then becomes the command: so the
//! command gets SIGTERM when this process is killed, without any `unsafe` code between `fork` and `exec`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};

use super::Grouping;
use crate::failure::Failure;

/// The hidden first argument that turns this program into the command's launcher.
pub(crate) const EXEC: &str = "__exec";

/// Exit code for a command that was found but cannot be run, as shells have it.
pub(crate) const NOT_EXECUTABLE: u8 = 126;
/// Exit code for a command that was not found, as shells have it.
pub(crate) const NOT_FOUND: u8 = 127;

/// Tells the launcher to speak to a program.
const JSON: &str = "json";

/// This program, even if its file was replaced or removed since it started.
const SELF: &str = "/proc/self/exe";

/// A command to run.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// The program and its arguments; never empty.
    pub command: Vec<OsString>,
    /// Variables added to the environment.
    pub environment: Vec<(&'static str, String)>,
    /// Its process group.
    pub grouping: Grouping,
    /// Whether it is a program that reads why the command could not be started.
    pub json: bool,
    /// Whether to go through [`EXEC`]. Needs that this process *is* `enhanced-locks`.
    pub tied: bool,
}

impl Launch {
    /// Starts it. Must be called on a thread that lives as long as the command: the kernel takes the end of the
    /// thread for the end of the parent.
    ///
    /// # Errors
    /// The operating system's. A command that does not exist is only found out by the launcher, see [`exec`].
    pub(crate) fn start(&self) -> io::Result<Child> {
        let (program, arguments) = self.command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = if self.tied && cfg!(target_os = "linux") && Path::new(SELF).exists() {
            let mut command = Command::new(SELF);
            command.arg0("enhanced-locks").arg(EXEC).arg(std::process::id().to_string());
            command.arg(if self.json { JSON } else { "text" }).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.args(arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        if self.grouping == Grouping::Own {
            command.process_group(0);
        }
        command.spawn()
    }
}

/// The launcher: becomes the command of `arguments` (`PARENT FORMAT PROGRAM ARGUMENTS…`). Returns only if that fails,
/// with the exit code.
pub(crate) fn exec(mut arguments: impl Iterator<Item = OsString>) -> u8 {
    let parent = arguments.next().and_then(|parent| parent.to_str()?.parse::<i32>().ok());
    let format = arguments.next();
    let (Some(parent), Some(program)) = (parent, arguments.next()) else { return 2 };
    #[cfg(target_os = "linux")]
    {
        let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM));
        // The parent may have died before the kernel was asked to tell us.
        if rustix::process::getppid().map(|pid| pid.as_raw_pid()) != Some(parent) {
            return 143;
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = parent;
    let error = Command::new(&program).args(arguments).exec();
    let (code, message) = describe(&program, &error);
    if format.is_some_and(|format| format == JSON) {
        eprintln!("{}", Failure::new(message).code(code).json());
    } else {
        eprintln!("enhanced-locks: {message}");
    }
    code
}

/// The exit code and message for a command that could not be started.
pub(crate) fn describe(program: &OsStr, error: &io::Error) -> (u8, String) {
    let program = program.to_string_lossy();
    match error.kind() {
        io::ErrorKind::NotFound => (NOT_FOUND, format!("{program}: command not found")),
        io::ErrorKind::PermissionDenied => (NOT_EXECUTABLE, format!("{program}: not executable")),
        _ => (NOT_EXECUTABLE, format!("{program}: cannot be run: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(program: &str) -> io::Error {
        let launch = Launch {
            command: vec![program.into()],
            environment: Vec::new(),
            grouping: Grouping::Own,
            json: false,
            tied: false,
        };
        launch.start().unwrap_err()
    }

    #[test]
    fn a_missing_command_and_one_that_cannot_run_have_the_codes_of_shells() {
        assert_eq!(describe(OsStr::new("x"), &launch("no-such-command-anywhere")).0, 127);
        assert_eq!(describe(OsStr::new("/"), &launch("/")).0, 126);
    }
}

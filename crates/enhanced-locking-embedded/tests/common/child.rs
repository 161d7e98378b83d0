//! Runs one test of the running test program in a process of its own: what it must survive may end a process.

use std::process::Command;

/// The command that runs one ignored test of this program, which is written to be run like that.
pub(crate) fn worker(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the test program has a path"));
    command.args([test, "--exact", "--ignored", "--nocapture"]);
    command
}

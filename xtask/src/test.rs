//! `cargo xtask test`: every test of the workspace, with what they need, stage by stage.
//!
//! Benches are not tests: `cargo xtask bench` runs them, `cargo xtask ci` checks that they compile.

use std::cell::RefCell;
use std::time::Duration;

use xshell::{Cmd, Shell, cmd};

use crate::process::{self, Tally};
use crate::tools;
use crate::ui::{Failure, Result, Stages, red};
use crate::workspace::{BINARY_ENV, CLI, TESTS, Workspace};

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Leave out the end-to-end tests and the documentation examples: for the loop of editing
    #[arg(long)]
    fast: bool,
}

/// Programs that tests start besides a Redis server, each with the Debian package that has it.
const NEEDED: &[(&str, &str)] = &[("git", "git")];

/// The tests of one stage take a quarter of an hour on two cores, compiling them included.
const LONGEST: Duration = Duration::from_secs(45 * 60);

/// How many stages [`stages`] adds at most.
pub(crate) const STAGES: usize = 4;

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let mut all = Stages::new(if args.fast { STAGES - 2 } else { STAGES });
    let tally = stages(workspace, args, &mut all)?;
    let finished = all.finish();
    report(&tally);
    finished
}

/// Adds the stages of the tests to `all`; returns what the tests said.
pub(crate) fn stages(workspace: &Workspace, args: &Args, all: &mut Stages) -> Result<Tally> {
    let sh = workspace.shell()?;
    let total = RefCell::new(Tally::default());
    all.run("tools for the tests", || {
        for (program, package) in NEEDED {
            tools::ensure(program, package)?;
        }
        let redis = tools::ensure_redis()?;
        let programs = NEEDED.iter().map(|(program, _)| *program).chain([redis.as_str()]);
        Ok(programs.collect::<Vec<_>>().join(", "))
    });
    let signals = default_signals(&sh);
    if args.fast {
        let tests = cmd!(
            sh,
            "env {signals...} cargo test --workspace --exclude {TESTS} --no-fail-fast --lib --bins --tests --examples"
        );
        all.run("tests of the crates", || counted(tests, &total));
        return Ok(total.into_inner());
    }
    // The end-to-end tests drive the real command; building it first keeps its build out of their time.
    let built = all.run("build enhanced-locks", || build_binary(workspace, &sh));
    if built {
        let tests = cmd!(
            sh,
            "env {signals...} cargo test --workspace --no-fail-fast --lib --bins --tests --examples"
        );
        all.run("tests", || counted(tests.env(BINARY_ENV, workspace.debug_binary()), &total));
    } else {
        all.skip("tests", "the command does not build");
    }
    let examples = cmd!(sh, "cargo test --workspace --no-fail-fast --doc");
    all.run("documentation examples", || counted(examples, &total));
    Ok(total.into_inner())
}

/// What makes `env` start a program with the usual answers to signals, where the system's can.
///
/// A job in the background of a script is started with INT and QUIT ignored, one of `nohup` with HUP; what a program
/// ignores from the start its children cannot trap, and tests of signals would wait for ever.
fn default_signals(sh: &Shell) -> Option<&'static str> {
    const OPTION: &str = "--default-signal=INT,QUIT,HUP";
    let works = cmd!(sh, "env {OPTION} true").quiet().ignore_stdout().ignore_stderr().run().is_ok();
    works.then_some(OPTION)
}

/// Builds the command that end-to-end tests drive.
pub(crate) fn build_binary(workspace: &Workspace, sh: &Shell) -> Result<String> {
    cmd!(sh, "cargo build -p {CLI}").run()?;
    let binary = workspace.debug_binary();
    if !binary.is_file() {
        return Err(Failure::new(format!("`cargo build -p {CLI}` left no {}", workspace.relative(&binary))));
    }
    Ok(workspace.relative(&binary))
}

/// The closing lines: which tests failed, and the plain count that build systems look for.
pub(crate) fn report(tally: &Tally) {
    for name in &tally.failed_names {
        println!("{} {name}", red("failed:"));
    }
    println!("tests: {} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.ignored);
}

fn counted(cmd: Cmd<'_>, total: &RefCell<Tally>) -> Result<String> {
    let (tally, success) = process::tests(cmd, LONGEST)?;
    let note = format!("{} passed, {} failed, {} ignored", tally.passed, tally.failed, tally.ignored);
    let verdict = judge(&tally, success, note);
    total.borrow_mut().add(tally);
    verdict
}

fn judge(tally: &Tally, success: bool, note: String) -> Result<String> {
    match (success, tally.passed + tally.failed) {
        (false, _) if tally.failed == 0 => Err(Failure::new(format!("{note}, and cargo failed: see above"))),
        (false, _) => Err(Failure::new(note)),
        (true, 0) => Err(Failure::new("no test ran: a green run that checks nothing is refused")),
        (true, _) => Ok(note),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(passed: u64, failed: u64) -> Tally {
        Tally { passed, failed, ..Tally::default() }
    }

    #[test]
    fn passing_tests_pass_and_failing_ones_fail() {
        assert!(judge(&tally(3, 0), true, "note".into()).is_ok());
        assert_eq!(judge(&tally(3, 1), false, "note".into()).unwrap_err().to_string(), "note");
    }

    #[test]
    fn a_crate_that_does_not_compile_is_a_failure_although_no_test_failed() {
        assert!(judge(&tally(3, 0), false, "note".into()).unwrap_err().to_string().contains("cargo failed"));
    }

    #[test]
    fn a_run_without_any_test_is_refused() {
        assert!(judge(&tally(0, 0), true, "note".into()).is_err());
    }
}

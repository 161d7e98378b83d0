//! `cargo xtask crash`: the crash test of the end-to-end package, long and with a seed one can repeat.
//!
//! Owns the parameters only; what is killed and what must hold afterwards is in the test itself.

use std::time::{SystemTime, UNIX_EPOCH};

use xshell::cmd;

use crate::test::build_binary;
use crate::ui::{Failure, Result};
use crate::workspace::{BINARY_ENV, TESTS, Workspace};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many times the service is killed
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    kills: u64,
    /// Repeat the run with this seed; without it a new one is chosen and printed
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
}

/// The test target that this chore runs.
const TARGET: &str = "crash";

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    if !workspace.package(TESTS)?.targets_of_kind("test").any(|name| name == TARGET) {
        return Err(Failure::new(format!(
            "the package {TESTS} has no test target `{TARGET}`: add it, then run this again"
        )));
    }
    let sh = workspace.shell()?;
    let kills = args.kills;
    let seed = args.seed.unwrap_or_else(fresh_seed);
    let again = format!("cargo xtask crash --kills {kills} --seed {seed}");
    println!("crash: {kills} kills, seed {seed}; again with: {again}");
    build_binary(workspace, &sh)?;
    cmd!(sh, "cargo test -p {TESTS} --test {TARGET} -- --nocapture")
        .env("CRASH_KILLS", kills.to_string())
        .env("CRASH_SEED", seed.to_string())
        .env(BINARY_ENV, workspace.debug_binary())
        .run()
        .map_err(|error| Failure::new(format!("{error}\nrepeat it with: {again}")))
}

#[expect(clippy::disallowed_methods, reason = "only picks a seed, which is printed; nothing is timed by it")]
pub(crate) fn fresh_seed() -> u64 {
    // Microseconds differ from run to run and stay short enough to type.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(1, |since| u64::from(since.subsec_micros()) + since.as_secs() % 1000)
}

//! `cargo xtask chaos`: the fault tests of the Redis store, long and with a seed one can repeat.
//!
//! Owns the parameters and how the time is shared out; the faults, and what must hold meanwhile, are in the tests.

use xshell::cmd;

use crate::crash::fresh_seed;
use crate::ui::{Failure, Result};
use crate::workspace::{REDIS, Workspace};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long all faults together go on
    #[arg(long, value_name = "M", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// Repeat the run with this seed; without it a new one is chosen and printed
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Only the faults whose names contain this
    #[arg(long, value_name = "NAME", default_value = "")]
    only: String,
}

/// The test target that this chore runs.
const TARGET: &str = "chaos";

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let sh = workspace.shell()?;
    let (minutes, only) = (args.minutes, args.only.as_str());
    let filter = if only.is_empty() { &[][..] } else { &[only][..] };
    let list = cmd!(sh, "cargo test --quiet -p {REDIS} --test {TARGET} -- --list {filter...}").read()?;
    let faults = count(&list);
    if faults == 0 {
        return Err(Failure::new(format!("no fault is called {only}; leave --only away for all of them")));
    }
    // One after the other: faults that run side by side slow each other down, and hide what is slow by itself.
    let seconds = (minutes * 60).div_ceil(faults);
    let seed = args.seed.unwrap_or_else(fresh_seed);
    let mut again = format!("cargo xtask chaos --minutes {minutes} --seed {seed}");
    if !only.is_empty() {
        again = format!("{again} --only {only}");
    }
    println!("chaos: {faults} faults of {seconds} s each, seed {seed}; again with: {again}");
    cmd!(sh, "cargo test -p {REDIS} --test {TARGET} -- --nocapture --test-threads=1 {filter...}")
        .env("CHAOS_SECONDS", seconds.to_string())
        .env("CHAOS_SEED", seed.to_string())
        .run()
        .map_err(|error| Failure::new(format!("{error}\nrepeat it with: {again}")))
}

/// How many tests a list of cargo names.
fn count(list: &str) -> u64 {
    list.lines().filter(|line| line.ends_with(": test")).map(|_| 1).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tests_are_counted() {
        assert_eq!(count("single::a: test\ncluster::b: test\n\n2 tests, 0 benchmarks\n"), 2);
        assert_eq!(count("\n0 tests, 0 benchmarks\n"), 0);
    }
}

//! `cargo xtask differential`: the differential test of the Redis store, long and with seeds one can repeat.
//!
//! Owns the parameters only; what is compared with what is in the test itself.

use std::time::Duration;

use xshell::cmd;

use crate::crash::fresh_seed;
use crate::ui::{Failure, Result, now};
use crate::workspace::{REDIS, Workspace};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Begin with this seed; without it a new one is chosen and printed
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Go on with the next seed until so many minutes are over; 0 for one seed only
    #[arg(long, value_name = "M", default_value_t = 10)]
    minutes: u64,
    /// Scripts per seed
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    cases: u32,
}

/// The test target that this chore runs.
const TARGET: &str = "differential";

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let sh = workspace.shell()?;
    let (started, cases) = (now(), args.cases);
    let limit = Duration::from_secs(args.minutes.saturating_mul(60));
    let first = args.seed.unwrap_or_else(fresh_seed);
    let mut seed = first;
    loop {
        let again = again(seed, cases);
        println!("differential: seed {seed}, {cases} scripts; again with: {again}");
        cmd!(sh, "cargo test -p {REDIS} --test {TARGET}")
            .env("PROPTEST_CASES", cases.to_string())
            .env("PROPTEST_RNG_SEED", seed.to_string())
            .run()
            .map_err(|error| Failure::new(format!("{error}\nrepeat it with: {again}")))?;
        seed += 1;
        if started.elapsed() >= limit {
            println!("differential: {} seeds from {first} on, no difference", seed - first);
            return Ok(());
        }
    }
}

/// The command that repeats one seed.
fn again(seed: u64, cases: u32) -> String {
    format!("cargo xtask differential --seed {seed} --minutes 0 --cases {cases}")
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    #[test]
    fn a_failure_names_the_command_that_repeats_it() {
        let command = again(7, 5);
        let words = command.split(' ').skip(2);
        let matches = Args::augment_args(clap::Command::new("x")).get_matches_from(words);
        let args = Args::from_arg_matches(&matches).unwrap();
        assert_eq!((args.seed, args.minutes, args.cases), (Some(7), 0, 5));
    }
}

//! `cargo xtask`: every chore of this workspace in one program that needs nothing but Rust.
//!
//! This file owns the command line and nothing else; each command is one module. House rules that a
//! program can check live in [`tidy`], so that reviews are about the change and not about its manners.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use workspace::Workspace;

mod background;
mod bench;
mod chaos;
mod ci;
mod crash;
mod differential;
mod features;
mod interop;
mod mutants;
mod process;
mod release;
mod test;
mod tidy;
mod tools;
mod ui;
mod workspace;

/// The chores of the Enhanced Locking workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run every test: unit, integration, end to end on the real binary, documentation examples
    Test(test::Args),
    /// Run everything that must pass before a change lands; `.ci/run` calls this
    Ci,
    /// Check layers, manifests, module docs, file sizes and forbidden words
    Tidy,
    /// Build every crate that has cargo features without any, with each alone, and optionally in pairs
    Features(features::Args),
    /// Kill the service at random moments under load and check that no acknowledged change is lost
    Crash(crash::Args),
    /// Hold the Redis store against the reference with many random scripts, seed after seed
    Differential(differential::Args),
    /// Kill, stop, cut off and move Redis servers under load, and check what the clients saw
    Chaos(chaos::Args),
    /// Run Atlantis' own locking code against the Atlantis port and a Redis server, and compare (needs Go)
    Interop(interop::Args),
    /// Plant known bugs one by one and check that the tests catch each of them
    Mutants(mutants::Args),
    /// Run the criterion benches
    Bench(bench::Args),
    /// Check, build and pack a release; tag it unless --dry-run
    Release(release::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{} {failure}", ui::red("error:"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> ui::Result<()> {
    let workspace = Workspace::load()?;
    match command {
        Command::Test(args) => test::run(&workspace, &args),
        Command::Ci => ci::run(&workspace),
        Command::Tidy => tidy::run(&workspace).map(drop),
        Command::Features(args) => features::run(&workspace, &args),
        Command::Crash(args) => crash::run(&workspace, &args),
        Command::Differential(args) => differential::run(&workspace, &args),
        Command::Chaos(args) => chaos::run(&workspace, &args),
        Command::Interop(args) => interop::run(&workspace, &args),
        Command::Mutants(args) => mutants::run(&workspace, &args),
        Command::Bench(args) => bench::run(&workspace, &args),
        Command::Release(args) => release::run(&workspace, &args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}

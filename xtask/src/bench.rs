//! `cargo xtask bench`: the criterion benches, with one switch for a quick look.

use xshell::cmd;

use crate::ui::{Failure, Result};
use crate::workspace::{BENCHES, Workspace};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Stop measuring as soon as the numbers are plausible: for a look, not for docs/performance.md
    #[arg(long)]
    quick: bool,
    /// Only benches whose name contains this
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    // Named one by one: a bare `cargo bench` also starts the unit-test harness of the library, which does
    // not understand criterion's flags.
    let benches: Vec<&str> = workspace.package(BENCHES)?.targets_of_kind("bench").collect();
    if benches.is_empty() {
        return Err(Failure::new(format!(
            "the package {BENCHES} has no bench target yet: add one under benches/"
        )));
    }
    let targets = benches.iter().flat_map(|name| ["--bench", *name]);
    let quick = args.quick.then_some("--quick");
    let filter = &args.filter;
    let sh = workspace.shell()?;
    cmd!(sh, "cargo bench -p {BENCHES} {targets...} -- {filter...} {quick...}").run()?;
    Ok(())
}

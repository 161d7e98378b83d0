//! `cargo xtask ci`: everything that must pass before a change lands, cheapest first.
//!
//! `.ci/run` calls this and nothing else, so what a build machine runs and what a person runs is one thing.

use xshell::{Cmd, Shell, cmd};

use crate::ui::{Failure, Result, Stages};
use crate::workspace::{BENCHES, Workspace};
use crate::{features, test, tidy};

/// How many stages come before those of the tests.
const OWN_STAGES: usize = 7;

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let sh = workspace.shell()?;
    let mut all = Stages::new(OWN_STAGES + test::STAGES);
    all.run("format", || passes(cmd!(sh, "cargo fmt --all --check"), "run `cargo fmt --all`"));
    all.run("tidy", || tidy::run(workspace));
    all.run("clippy", || {
        passes(cmd!(sh, "cargo clippy --workspace --all-targets -- -D warnings"), "fix what it names above")
    });
    all.run("features", || features::check(workspace, &features::Args::default()));
    all.run("rustdoc", || {
        passes(
            cmd!(sh, "cargo doc --no-deps --workspace").env("RUSTDOCFLAGS", "-D warnings"),
            "fix the documentation above",
        )
    });
    all.run("benches compile", || {
        passes(cmd!(sh, "cargo check --benches -p {BENCHES}"), "fix the benches above")
    });
    if has_deny(&sh) {
        all.run("deny", || {
            passes(
                cmd!(sh, "cargo deny check bans licenses sources"),
                "deny.toml says what is allowed and why",
            )
        });
    } else {
        all.skip("deny", "cargo-deny is not installed; `cargo install --locked cargo-deny` adds this check");
    }
    let tally = test::stages(workspace, &test::Args::default(), &mut all)?;
    let finished = all.finish();
    test::report(&tally);
    finished
}

/// Runs a command; a failure ends with what to do about it.
fn passes(cmd: Cmd<'_>, remedy: &str) -> Result<String> {
    cmd.run().map_err(|error| Failure::new(format!("{error}: {remedy}")))?;
    Ok(String::new())
}

fn has_deny(sh: &Shell) -> bool {
    cmd!(sh, "cargo deny --version").quiet().ignore_stdout().ignore_stderr().run().is_ok()
}

//! `cargo xtask mutants`: plants known bugs one by one, and checks that the tests catch each of them.
//!
//! A test suite is worth what it catches. Each entry of [`MUTANTS`] is one small textual change that breaks
//! one rule of the design, with the tests that must fail because of it. The change is made in a copy of the
//! tree under `target/mutants`, never in the tree itself. The table, and how to add to it, is in `table`.

mod redis;
mod table;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use xshell::{Shell, cmd};

use self::redis::REDIS;
use self::table::{MUTANTS, Mutant};
use crate::process::{Ended, limited};
use crate::ui::{Context as _, Failure, Result, human, now, red, yellow};
use crate::workspace::{BINARY, BINARY_ENV, CLI, Workspace};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only the mutant of this name, or those whose names begin with it: `redis-`
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

/// A bug that makes the tests hang is caught too, after this long.
const LIMIT: Duration = Duration::from_secs(300);
/// Building the tree for the first time takes longer than any test.
const BUILD_LIMIT: Duration = Duration::from_secs(1800);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Caught,
    Hung,
    Survived,
    /// The entry itself is wrong; the text says how.
    Invalid,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let chosen = choose(&all(), args.only.as_deref())?;
    if chosen.is_empty() {
        println!(
            "{} the table of mutants in xtask/src/mutants.rs is empty: nothing to check",
            yellow("note:")
        );
        return Ok(());
    }
    let bench = Bench::prepare(workspace)?;
    bench.check_unchanged(&chosen)?;
    let mut rows = Vec::new();
    for (index, mutant) in chosen.iter().enumerate() {
        let started = now();
        println!("({}/{}) {} …", index + 1, chosen.len(), mutant.name);
        let (verdict, detail) = bench.try_one(mutant)?;
        println!("      {} ({})", verdict.shown(), human(started.elapsed()));
        if !detail.is_empty() {
            println!("{detail}");
        }
        rows.push((mutant.name, verdict, human(started.elapsed())));
    }
    let width = rows.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
    println!();
    for (name, verdict, time) in &rows {
        println!("{name:width$}  {time:>7}  {}", verdict.shown());
    }
    let missed = rows.iter().filter(|(_, verdict, _)| !verdict.is_caught()).count();
    println!("mutants: {} caught, {missed} not", rows.len() - missed);
    if missed == 0 {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{missed} of {} planted bugs were not caught: strengthen the tests (or correct the entry in xtask/src/mutants.rs)",
        rows.len()
    )))
}

impl Verdict {
    fn is_caught(self) -> bool {
        matches!(self, Self::Caught | Self::Hung)
    }

    fn shown(self) -> String {
        match self {
            Self::Caught => "caught".to_owned(),
            Self::Hung => "caught (the tests did not end)".to_owned(),
            Self::Survived => red("SURVIVED"),
            Self::Invalid => red("INVALID"),
        }
    }
}

/// All tables, one after the other.
fn all() -> Vec<Mutant> {
    [MUTANTS, REDIS].concat()
}

fn choose(table: &[Mutant], only: Option<&str>) -> Result<Vec<Mutant>> {
    let Some(name) = only else { return Ok(table.to_vec()) };
    let mut chosen: Vec<Mutant> = table.iter().copied().filter(|m| m.name == name).collect();
    if chosen.is_empty() {
        chosen = table.iter().copied().filter(|m| m.name.starts_with(name)).collect();
    }
    if chosen.is_empty() {
        let known: Vec<&str> = table.iter().map(|m| m.name).collect();
        return Err(Failure::new(format!("no mutant is called {name}; there are: {}", known.join(", "))));
    }
    Ok(chosen)
}

/// The text with the bug in it. `find` must occur exactly once: else the entry no longer fits the code.
fn apply(mutant: &Mutant, text: &str) -> Result<String> {
    match text.matches(mutant.find).count() {
        1 if mutant.find == mutant.replace => {
            Err(Failure::new(format!("{}: `find` and `replace` are the same", mutant.name)))
        }
        1 => Ok(text.replacen(mutant.find, mutant.replace, 1)),
        count => Err(Failure::new(format!(
            "{}: its `find` text occurs {count} times in {}, not once: update the entry in xtask/src/mutants.rs",
            mutant.name, mutant.file
        ))),
    }
}

/// The copy of the tree in which bugs are planted.
struct Bench {
    tree: PathBuf,
    target: PathBuf,
    sh: Shell,
}

impl Bench {
    fn prepare(workspace: &Workspace) -> Result<Self> {
        let home = workspace.target_dir.join("mutants");
        let (tree, target) = (home.join("tree"), home.join("target"));
        let files = workspace.files()?;
        println!("copying {} files to {}", files.len(), workspace.relative(&tree));
        mirror(&workspace.root, &tree, &files)?;
        let sh = Shell::new()?;
        sh.change_dir(&tree);
        Ok(Self { tree, target, sh })
    }

    /// Every chosen set of tests must pass without a bug, or its failing would prove nothing.
    fn check_unchanged(&self, chosen: &[Mutant]) -> Result<()> {
        let mut seen = BTreeSet::new();
        for mutant in chosen.iter().filter(|m| seen.insert((m.tests, m.filter, m.needs_binary))) {
            println!("without a bug: cargo test {} {} …", mutant.tests.join(" "), mutant.filter.join(" "));
            let failed = match self.build(mutant)? {
                Some(output) => Some(output),
                None => {
                    let (ended, output) = self.test(mutant)?;
                    (ended != Ended::Success).then_some(output)
                }
            };
            if let Some(output) = failed {
                return Err(Failure::new(format!(
                    "the tests of {} fail without any bug planted; make them pass first\n{}",
                    mutant.name,
                    tail(&output)
                )));
            }
        }
        Ok(())
    }

    fn try_one(&self, mutant: &Mutant) -> Result<(Verdict, String)> {
        let path = self.tree.join(mutant.file);
        let original =
            std::fs::read_to_string(&path).context(format!("{}: reading {}", mutant.name, mutant.file))?;
        let broken = match apply(mutant, &original) {
            Ok(broken) => broken,
            Err(failure) => return Ok((Verdict::Invalid, failure.to_string())),
        };
        std::fs::write(&path, broken).context(format!("planting {}", mutant.name))?;
        let verdict = self.judge(mutant);
        std::fs::write(&path, original).context(format!("restoring {}", mutant.file))?;
        verdict
    }

    fn judge(&self, mutant: &Mutant) -> Result<(Verdict, String)> {
        if let Some(output) = self.build(mutant)? {
            // The compiler caught it, not the tests: that says nothing about the tests.
            return Ok((Verdict::Invalid, format!("it does not compile:\n{}", tail(&output))));
        }
        Ok(match self.test(mutant)?.0 {
            Ended::Failure => (Verdict::Caught, String::new()),
            Ended::TimedOut => (Verdict::Hung, String::new()),
            Ended::Success => {
                let detail =
                    format!("      `{}` passed with the bug in {}", mutant.tests.join(" "), mutant.file);
                (Verdict::Survived, detail)
            }
        })
    }

    /// Builds what the tests need; returns the output if that failed.
    fn build(&self, mutant: &Mutant) -> Result<Option<String>> {
        let sh = &self.sh;
        let tests = mutant.tests;
        if mutant.needs_binary {
            let build = cmd!(sh, "cargo build --quiet -p {CLI}").env("CARGO_TARGET_DIR", &self.target);
            let (ended, output) = limited(build, BUILD_LIMIT)?;
            if ended != Ended::Success {
                return Ok(Some(output));
            }
        }
        let build = cmd!(sh, "cargo test --quiet --no-run {tests...}").env("CARGO_TARGET_DIR", &self.target);
        let (ended, output) = limited(build, BUILD_LIMIT)?;
        Ok((ended != Ended::Success).then_some(output))
    }

    fn test(&self, mutant: &Mutant) -> Result<(Ended, String)> {
        let (sh, tests, filter) = (&self.sh, mutant.tests, mutant.filter);
        let run = cmd!(sh, "cargo test --quiet {tests...} -- {filter...}")
            .env("CARGO_TARGET_DIR", &self.target)
            .env(BINARY_ENV, self.target.join("debug").join(BINARY));
        limited(run, LIMIT)
    }
}

/// Makes `to` hold exactly `files` of `from`. Leaves equal files alone, so that cargo rebuilds only changes.
fn mirror(from: &Path, to: &Path, files: &[String]) -> Result<()> {
    let wanted: BTreeSet<PathBuf> = files.iter().map(|f| to.join(f)).collect();
    for file in files {
        let (source, copy) = (from.join(file), to.join(file));
        let content = std::fs::read(&source).context(format!("reading {file}"))?;
        if std::fs::read(&copy).is_ok_and(|old| old == content) {
            continue;
        }
        if let Some(folder) = copy.parent() {
            std::fs::create_dir_all(folder).context(format!("creating {}", folder.display()))?;
        }
        std::fs::write(&copy, content).context(format!("writing {}", copy.display()))?;
    }
    remove_others(to, &wanted)
}

fn remove_others(folder: &Path, wanted: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).context(format!("listing {}", folder.display()))? {
        let path = entry.context(format!("listing {}", folder.display()))?.path();
        if path.is_dir() {
            remove_others(&path, wanted)?;
        } else if !wanted.contains(&path) && path.file_name().is_none_or(|name| name != "Cargo.lock") {
            std::fs::remove_file(&path).context(format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

/// The end of a long output, indented.
fn tail(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    lines[lines.len().saturating_sub(40)..].iter().map(|line| format!("      {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEMO: Mutant = Mutant {
        name: "drop-owner-check",
        file: "crates/x/src/a.rs",
        find: "if owner != holder",
        replace: "if false",
        tests: &["-p", "x"],
        filter: &[],
        needs_binary: false,
    };

    #[test]
    fn a_bug_is_planted_where_its_text_occurs_once() {
        assert_eq!(apply(&DEMO, "a; if owner != holder { b }").unwrap(), "a; if false { b }");
    }

    #[test]
    fn an_entry_that_no_longer_fits_the_code_says_so() {
        for (text, count) in [("", "0 times"), ("if owner != holder if owner != holder", "2 times")] {
            let failure = apply(&DEMO, text).unwrap_err().to_string();
            assert!(failure.contains(count) && failure.contains("update the entry"), "{failure}");
        }
        assert!(apply(&Mutant { replace: DEMO.find, ..DEMO }, DEMO.find).is_err());
    }

    #[test]
    fn one_mutant_can_be_chosen_by_name() {
        assert_eq!(choose(&[DEMO], Some(DEMO.name)).unwrap(), [DEMO]);
        assert_eq!(choose(&[DEMO], Some("drop-")).unwrap(), [DEMO]);
        assert!(choose(&[DEMO], Some("other")).unwrap_err().to_string().contains(DEMO.name));
    }

    #[test]
    fn every_entry_of_the_table_fits_the_code() {
        let workspace = Workspace::load().unwrap();
        let mut names = BTreeSet::new();
        for mutant in &all() {
            assert!(names.insert(mutant.name), "{} is listed twice", mutant.name);
            let text = workspace.text(mutant.file).unwrap().unwrap();
            apply(mutant, &text).unwrap();
        }
    }

    #[test]
    fn the_copy_holds_the_listed_files_and_loses_the_others() {
        let sh = Shell::new().unwrap();
        let temp = sh.create_temp_dir().unwrap();
        let (from, to) = (temp.path().join("from"), temp.path().join("to"));
        std::fs::create_dir_all(from.join("a")).unwrap();
        std::fs::create_dir_all(&to).unwrap();
        std::fs::write(from.join("a/b.rs"), "new").unwrap();
        std::fs::write(from.join("untracked"), "x").unwrap();
        std::fs::write(to.join("stale.rs"), "old").unwrap();
        mirror(&from, &to, &["a/b.rs".to_owned()]).unwrap();
        assert_eq!(std::fs::read_to_string(to.join("a/b.rs")).unwrap(), "new");
        assert!(!to.join("untracked").exists() && !to.join("stale.rs").exists());
    }

    #[test]
    fn a_tree_with_a_planted_bug_is_judged_by_its_tests() {
        let sh = Shell::new().unwrap();
        let temp = sh.create_temp_dir().unwrap();
        let tree = temp.path().join("tree");
        std::fs::create_dir_all(tree.join("src")).unwrap();
        std::fs::write(tree.join("Cargo.toml"), "[package]\nname = \"x\"\nedition = \"2024\"\n[workspace]\n")
            .unwrap();
        let code = "//! Demo.\npub fn one() -> u8 { 1 }\npub fn free() -> u8 { 2 }\n\
                    #[test]\nfn one_is_one() { assert_eq!(one(), 1) }\n";
        std::fs::write(tree.join("src/lib.rs"), code).unwrap();
        sh.change_dir(&tree);
        let bench = Bench { tree, target: temp.path().join("target"), sh };
        let mutant = Mutant { file: "src/lib.rs", find: "{ 1 }", replace: "{ 3 }", ..DEMO };
        bench.check_unchanged(&[mutant]).unwrap();
        assert_eq!(bench.try_one(&mutant).unwrap().0, Verdict::Caught);
        let unseen = Mutant { find: "{ 2 }", ..mutant };
        assert_eq!(bench.try_one(&unseen).unwrap().0, Verdict::Survived);
        let nonsense = Mutant { replace: "{ nonsense }", ..mutant };
        assert_eq!(bench.try_one(&nonsense).unwrap().0, Verdict::Invalid);
        assert_eq!(std::fs::read_to_string(bench.tree.join("src/lib.rs")).unwrap(), code);
    }
}

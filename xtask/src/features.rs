//! `cargo xtask features`: a cargo feature is a switch, so every position of every switch must build.
//!
//! `cargo test --workspace` unites the features of all crates and hides code that misses one; this does not.

use std::collections::{BTreeMap, BTreeSet};

use xshell::cmd;

use crate::ui::{Failure, Result, human, now};
use crate::workspace::{Package, Workspace};

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Each feature alone (this is the default; the flag only says so)
    #[arg(long, conflicts_with = "pairs")]
    each: bool,
    /// Also every pair of features of which neither includes the other, and all together
    #[arg(long)]
    pairs: bool,
    /// Only this package
    #[arg(short, long, value_name = "NAME")]
    package: Option<String>,
}

/// The facade has a row even without features: it must build bare.
const FACADE: &str = "enhanced-locking";

type Features = BTreeMap<String, Vec<String>>;

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    check(workspace, args).map(drop)
}

/// Builds every combination; the note says how many there were.
pub(crate) fn check(workspace: &Workspace, args: &Args) -> Result<String> {
    let chosen: Vec<&Package> = match &args.package {
        Some(name) => vec![workspace.package(name)?],
        None => workspace.packages.iter().filter(|p| p.name == FACADE || !p.features.is_empty()).collect(),
    };
    let jobs: Vec<(&Package, Vec<String>)> = chosen
        .into_iter()
        .flat_map(|package| {
            combinations(&package.features, args.pairs).into_iter().map(move |c| (package, c))
        })
        .collect();
    let sh = workspace.shell()?;
    let mut failed = Vec::new();
    for (index, (package, features)) in jobs.iter().enumerate() {
        let name = &package.name;
        let list = features.join(",");
        let shown = if list.is_empty() { "no features".to_owned() } else { list.clone() };
        let started = now();
        let built =
            cmd!(sh, "cargo check --quiet -p {name} --no-default-features --features {list}").quiet().run();
        let verdict = if built.is_ok() { "ok" } else { "FAILED" };
        println!("({}/{}) {name}: {shown} … {verdict} ({})", index + 1, jobs.len(), human(started.elapsed()));
        if built.is_err() {
            failed.push(format!("cargo check -p {name} --no-default-features --features \"{list}\""));
        }
    }
    if failed.is_empty() {
        return Ok(format!("{} combinations", jobs.len()));
    }
    let count = failed.len();
    Err(Failure::new(format!(
        "{count} of {} feature combinations do not build:\n  {}",
        jobs.len(),
        failed.join("\n  ")
    )))
}

/// The feature sets to build: none, each alone, and with `pairs` the useful pairs and all together.
fn combinations(features: &Features, pairs: bool) -> Vec<Vec<String>> {
    let names: Vec<&String> = features.keys().filter(|name| *name != "default").collect();
    let mut sets: Vec<Vec<String>> = vec![Vec::new()];
    // What `default` turns on together is what most people build.
    if features.get("default").is_some_and(|default| !default.is_empty()) {
        sets.push(vec!["default".to_owned()]);
    }
    sets.extend(names.iter().map(|name| vec![(*name).clone()]));
    if pairs {
        // A feature that only unites others adds nothing in a pair: its members meet each other already.
        let single: Vec<&String> = names.iter().copied().filter(|name| !is_union(features, name)).collect();
        for (index, one) in single.iter().enumerate() {
            for other in &single[index + 1..] {
                if !closure(features, one).contains(*other) && !closure(features, other).contains(*one) {
                    sets.push(vec![(*one).clone(), (*other).clone()]);
                }
            }
        }
        sets.push(names.into_iter().cloned().collect());
    }
    let mut seen = BTreeSet::new();
    sets.retain(|set| seen.insert(set.clone()));
    sets
}

/// Whether the feature does nothing but turn on other features of the same crate.
fn is_union(features: &Features, name: &str) -> bool {
    features.get(name).is_some_and(|parts| parts.len() > 1 && parts.iter().all(|p| features.contains_key(p)))
}

/// The feature and all features of the same crate that it turns on.
fn closure(features: &Features, name: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![name.to_owned()];
    while let Some(next) = open.pop() {
        if let Some(parts) = features.get(&next)
            && reached.insert(next)
        {
            open.extend(parts.iter().cloned());
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(list: &[(&str, &[&str])]) -> Features {
        list.iter()
            .map(|(n, parts)| ((*n).to_owned(), parts.iter().map(|p| (*p).to_owned()).collect()))
            .collect()
    }

    fn shown(sets: &[Vec<String>]) -> Vec<String> {
        sets.iter().map(|set| set.join("+")).collect()
    }

    #[test]
    fn a_crate_without_features_is_built_once() {
        assert_eq!(shown(&combinations(&Features::new(), true)), [""]);
    }

    #[test]
    fn each_feature_is_built_alone_beside_none_and_the_default() {
        let map = features(&[("default", &["a"]), ("a", &["dep:x"]), ("b", &[])]);
        assert_eq!(shown(&combinations(&map, false)), ["", "default", "a", "b"]);
    }

    #[test]
    fn pairs_leave_out_what_includes_the_other_and_mere_unions() {
        let map = features(&[("a", &[]), ("b", &["c"]), ("c", &["dep:x"]), ("all", &["a", "b"])]);
        let pairs: Vec<String> =
            shown(&combinations(&map, true)).into_iter().filter(|s| s.contains('+')).collect();
        assert_eq!(pairs, ["a+b", "a+c", "a+all+b+c"]);
    }

    #[test]
    fn a_cycle_of_features_ends() {
        let map = features(&[("a", &["b"]), ("b", &["a"])]);
        assert_eq!(closure(&map, "a").len(), 2);
    }
}

//! Which crate may use which: the table of layers, and the check of every arrow against it.
//!
//! Arrows point strictly down (design §2). The few exceptions are in the table with their reasons, so that
//! the table is the whole truth. Dev-dependencies are free, except on the programs at the very top.

use super::{Finding, line_where};
use crate::workspace::Dependency;

/// One crate and its place.
#[derive(Debug, Clone, Copy)]
struct Row {
    name: &'static str,
    layer: Layer,
    /// May be used although it is not below, and why.
    also: &'static [Exception],
    /// Must not be used although it is below, and why.
    never: &'static [Exception],
}

#[derive(Debug, Clone, Copy)]
struct Exception {
    name: &'static str,
    why: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    /// `L0` at the bottom to `L6` at the top: may use what is strictly below.
    L(u8),
    /// For tests only: may use `L0` to `L2`; a normal dependency on it is for [`Layer::Top`] alone.
    Dev,
    /// Test and bench packages: may use everything; nothing may use them.
    Top,
    /// Tools of the repository: use no crate of it, and nothing may use them.
    Tool,
}

use Layer::{Dev, L, Tool, Top};

const THIS_FILE: &str = "xtask/src/tidy/layers.rs";

const BACKENDS_ARRIVE: &str = "backends arrive as the port of foundation, wired by config";

/// The layers of design §2, bottom to top. Crates that come with later parts have their row already.
const CRATES: &[Row] = &[
    row("enhanced-locking-foundation", L(0)),
    row("enhanced-locking-queue", L(1)),
    row("enhanced-locking-deadlock", L(1)),
    row("enhanced-locking-core", L(2)),
    // L3: adapters. Strictly-down keeps them from importing each other.
    row("enhanced-locking-embedded", L(3)),
    Row {
        never: &[except(
            "enhanced-locking-core",
            "the differential test needs two independent implementations",
        )],
        ..row("enhanced-locking-redis", L(3))
    },
    row("enhanced-locking-compat", L(3)),
    row("enhanced-locking-client", L(3)),
    Row {
        never: &[
            except("enhanced-locking-embedded", BACKENDS_ARRIVE),
            except("enhanced-locking-redis", BACKENDS_ARRIVE),
            except("enhanced-locking-compat", BACKENDS_ARRIVE),
            except("enhanced-locking-client", BACKENDS_ARRIVE),
        ],
        ..row("enhanced-locking-manager", L(4))
    },
    // Config sees L3 and L4 together: it wires them.
    row("enhanced-locking-config", L(5)),
    Row {
        also: &[except("enhanced-locking-config", "the service shows and reloads its configuration")],
        // It may use client, below it: the types of the HTTP API live there.
        never: &[
            except("enhanced-locking-embedded", BACKENDS_ARRIVE),
            except("enhanced-locking-redis", BACKENDS_ARRIVE),
        ],
        ..row("enhanced-locking-server", L(5))
    },
    row("enhanced-locking-cli", L(6)),
    row("enhanced-locking", L(6)),
    row("enhanced-locking-testkit", Dev),
    row("enhanced-locking-tests", Top),
    row("enhanced-locking-benches", Top),
    row("xtask", Tool),
];

const fn row(name: &'static str, layer: Layer) -> Row {
    Row { name, layer, also: &[], never: &[] }
}

const fn except(name: &'static str, why: &'static str) -> Exception {
    Exception { name, why }
}

/// What the check needs to know about a crate.
#[derive(Debug)]
pub(super) struct Crate {
    pub(super) name: String,
    /// Path of its manifest from the root, and its text for line numbers.
    pub(super) manifest: String,
    pub(super) text: String,
    pub(super) dependencies: Vec<Dependency>,
}

/// Checks every arrow between crates of the workspace.
pub(super) fn check(crates: &[Crate]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for user in crates {
        let Some(from) = find(&user.name) else {
            let what = format!("the crate {} has no layer", user.name);
            let remedy = format!(
                "add a row for it to CRATES in {THIS_FILE}, and an ADR in docs/adr/ that says why it exists"
            );
            findings.push(Finding::error(&user.manifest, 1, what, remedy));
            continue;
        };
        for dependency in &user.dependencies {
            let Some(to) = find(&dependency.name) else { continue };
            let dev = dependency.kind.as_deref() == Some("dev");
            if let Some((what, remedy)) = judge(from, to, dev) {
                let line = line_where(&user.text, |l| names_dependency(l, to.name));
                findings.push(Finding::error(&user.manifest, line, what, remedy));
            }
        }
    }
    findings
}

/// Checks that `architecture` mentions every crate under `crates/` by its full name.
pub(super) fn check_mentioned(crates: &[Crate], architecture: &str) -> Vec<Finding> {
    crates
        .iter()
        .filter(|c| c.manifest.starts_with("crates/") && !mentions(architecture, &c.name))
        .map(|c| {
            let what = format!("the crate {} is not mentioned", c.name);
            Finding::error(
                super::ARCHITECTURE,
                1,
                what,
                "say in the code map what it owns and what it does not",
            )
        })
        .collect()
}

fn find(name: &str) -> Option<&'static Row> {
    CRATES.iter().find(|row| row.name == name)
}

/// What is wrong with `from` using `to`, and what to do; `None` if the arrow is allowed.
fn judge(from: &Row, to: &Row, dev: bool) -> Option<(String, String)> {
    let arrow =
        format!("{} ({}) depends on {} ({})", from.name, from.layer.label(), to.name, to.layer.label());
    match to.layer {
        Top | Tool => {
            let remedy = format!("nothing may use {}: move what is shared into a crate below", to.name);
            return Some((arrow, remedy));
        }
        _ if dev => return None,
        Dev if from.layer != Top => {
            return Some((arrow, "it is for tests: move it to [dev-dependencies]".to_owned()));
        }
        _ => {}
    }
    if let Some(rule) = from.never.iter().find(|e| e.name == to.name) {
        return Some((arrow, format!("not allowed because {}: use it through a lower crate", rule.why)));
    }
    if from.layer.may_use(to.layer) || from.also.iter().any(|e| e.name == to.name) {
        return None;
    }
    let remedy = format!(
        "arrows point strictly down: move the shared part below both, or write an ADR and change CRATES in {THIS_FILE}"
    );
    Some((arrow, remedy))
}

impl Layer {
    fn may_use(self, other: Self) -> bool {
        match (self, other) {
            (Top, L(_) | Dev) => true,
            (L(from), L(to)) => to < from,
            (Dev, L(to)) => to <= 2,
            _ => false,
        }
    }

    fn label(self) -> String {
        match self {
            L(number) => format!("L{number}"),
            Dev => "for tests".to_owned(),
            Top => "tests and benches".to_owned(),
            Tool => "tool".to_owned(),
        }
    }
}

/// Whether a line of a manifest is the entry of dependency `name`.
fn names_dependency(line: &str, name: &str) -> bool {
    line.trim_start().strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
}

/// Whether `text` contains `name` as a whole name: `enhanced-locking` is not in `enhanced-locking-core`.
fn mentions(text: &str, name: &str) -> bool {
    let part_of_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + name.len()..].chars().next();
        !before.is_some_and(part_of_name) && !after.is_some_and(part_of_name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn krate(name: &str, dependencies: &[(&str, Option<&str>)]) -> Crate {
        let text = dependencies.iter().map(|(d, _)| format!("{d}.workspace = true\n")).collect();
        let dependencies = dependencies
            .iter()
            .map(|(name, kind)| Dependency { name: (*name).to_owned(), kind: kind.map(str::to_owned) })
            .collect();
        Crate { name: name.to_owned(), manifest: format!("crates/{name}/Cargo.toml"), text, dependencies }
    }

    fn verdict(user: &str, used: &str) -> Vec<Finding> {
        check(&[krate(&format!("enhanced-locking-{user}"), &[(&format!("enhanced-locking-{used}"), None)])])
    }

    #[test]
    fn arrows_that_point_down_are_fine() {
        for (user, used) in [
            ("queue", "foundation"),
            ("core", "queue"),
            ("embedded", "core"),
            ("redis", "queue"),
            ("config", "embedded"),
            ("config", "manager"),
            ("cli", "server"),
            ("tests", "cli"),
            ("benches", "testkit"),
            ("testkit", "core"),
        ] {
            assert_eq!(verdict(user, used), [], "{user} -> {used}");
        }
    }

    #[test]
    fn arrows_that_point_up_or_sideways_are_refused() {
        for (user, used) in [
            ("foundation", "core"),
            ("queue", "deadlock"),
            ("embedded", "client"),
            ("embedded", "redis"),
            ("core", "manager"),
            ("config", "server"),
            ("testkit", "embedded"),
            ("server", "cli"),
        ] {
            assert_eq!(verdict(user, used).len(), 1, "{user} -> {used}");
        }
    }

    #[test]
    fn the_exceptions_of_the_table_hold() {
        assert_eq!(verdict("server", "config"), []);
        assert_eq!(verdict("server", "client"), []);
        let redis = verdict("redis", "core");
        assert!(redis[0].remedy.contains("independent implementations"), "{redis:?}");
        for adapter in ["embedded", "redis", "compat", "client"] {
            assert_eq!(verdict("manager", adapter).len(), 1, "{adapter}");
        }
    }

    #[test]
    fn the_testkit_is_for_tests_and_the_top_for_nobody() {
        let testkit = "enhanced-locking-testkit";
        assert_eq!(check(&[krate("enhanced-locking-core", &[(testkit, Some("dev"))])]), []);
        assert_eq!(check(&[krate("enhanced-locking-core", &[(testkit, None)])]).len(), 1);
        assert_eq!(check(&[krate("enhanced-locking-core", &[(testkit, Some("build"))])]).len(), 1);
        assert_eq!(check(&[krate("enhanced-locking-core", &[("xtask", Some("dev"))])]).len(), 1);
        assert_eq!(check(&[krate("xtask", &[("enhanced-locking-foundation", None)])]).len(), 1);
    }

    #[test]
    fn a_finding_points_at_the_line_of_the_dependency() {
        let user = krate("enhanced-locking-queue", &[("serde", None), ("enhanced-locking-core", None)]);
        let findings = check(&[user]);
        assert_eq!(
            (findings[0].path.as_str(), findings[0].line),
            ("crates/enhanced-locking-queue/Cargo.toml", 2)
        );
    }

    #[test]
    fn an_unknown_crate_is_told_where_to_register() {
        let findings = check(&[krate("enhanced-locking-utils", &[])]);
        assert!(findings[0].remedy.contains(THIS_FILE), "{findings:?}");
    }

    #[test]
    fn the_table_lists_each_crate_once_and_names_only_its_own() {
        for (index, row) in CRATES.iter().enumerate() {
            assert!(
                !CRATES[..index].iter().any(|other| other.name == row.name),
                "{} is listed twice",
                row.name
            );
            for exception in row.also.iter().chain(row.never) {
                assert!(find(exception.name).is_some(), "{} names {}", row.name, exception.name);
            }
        }
    }

    #[test]
    fn the_architecture_must_mention_each_crate_by_its_whole_name() {
        let crates = [krate("enhanced-locking", &[]), krate("enhanced-locking-core", &[])];
        let missing = check_mentioned(&crates, "only `enhanced-locking-core` here");
        assert_eq!(missing.len(), 1);
        assert_eq!(missing[0].what, "the crate enhanced-locking is not mentioned");
        assert_eq!(check_mentioned(&crates, "enhanced-locking\nenhanced-locking-core\n"), []);
    }
}

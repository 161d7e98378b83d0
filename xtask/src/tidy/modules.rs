//! Rules for every Rust file: it says what it is, stays small, and its crate forbids unsafe code.

use super::Finding;

/// No source file may be longer, in lines.
const LINES_MAX: usize = 800;
/// No test file may be longer, in lines.
const TEST_LINES_MAX: usize = 1200;
/// A file that is longer is listed, in lines; 150 to 400 is the aim.
const LINES_WARN: usize = 500;

/// Crates whose roots need not forbid unsafe code, with the reason.
const UNSAFE_ALLOWED: &[(&str, &str)] =
    &[("enhanced-locking-embedded", "opening an LMDB environment is unsafe in heed's API")];

/// Checks one Rust file. `path` is relative to the root.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(starts_with_docs(path, text));
    findings.extend(size(path, text.lines().count()));
    findings.extend(forbids_unsafe(path, text));
    findings
}

fn starts_with_docs(path: &str, text: &str) -> Option<Finding> {
    let documented = text
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("//!"))
        .is_some_and(|doc| !doc.trim().is_empty());
    (!documented).then(|| {
        let remedy =
            "begin line 1 with `//!` and one honest sentence: what the module owns, and what it does not";
        Finding::error(path, 1, "the module does not start with its documentation", remedy)
    })
}

fn size(path: &str, lines: usize) -> Option<Finding> {
    let max = if is_test(path) { TEST_LINES_MAX } else { LINES_MAX };
    let remedy = "split it by concept: one main type per file, 150 to 400 lines";
    if lines > max {
        return Some(Finding::error(
            path,
            lines,
            format!("{lines} lines; at most {max} are allowed"),
            remedy,
        ));
    }
    (lines > LINES_WARN).then(|| Finding::warning(path, lines, format!("{lines} lines"), remedy))
}

fn is_test(path: &str) -> bool {
    path.starts_with("tests/")
        || path.starts_with("benches/")
        || path.contains("/tests/")
        || path.contains("/benches/")
        || path.ends_with("/tests.rs")
        || path.ends_with("_test.rs")
        || path.ends_with("_tests.rs")
}

fn forbids_unsafe(path: &str, text: &str) -> Option<Finding> {
    let crate_name = crate_of_root(path)?;
    if UNSAFE_ALLOWED.iter().any(|(name, _)| *name == crate_name) {
        return None;
    }
    let forbidden = text.lines().any(|line| line.trim() == "#![forbid(unsafe_code)]");
    (!forbidden).then(|| {
        let remedy = "add `#![forbid(unsafe_code)]` below the module documentation";
        Finding::error(path, 1, format!("{crate_name} does not forbid unsafe code"), remedy)
    })
}

/// The name of the crate if `path` is a root of one under `crates/` (or of this tool).
fn crate_of_root(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("crates/").unwrap_or(path);
    let (name, rest) = inside.split_once('/')?;
    let is_member = path.starts_with("crates/") || name == "xtask";
    (is_member && matches!(rest, "src/lib.rs" | "src/main.rs")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "crates/enhanced-locking-core/src/lib.rs";

    #[test]
    fn a_documented_root_that_forbids_unsafe_is_fine() {
        assert_eq!(check(ROOT, "//! The lock table.\n#![forbid(unsafe_code)]\n"), []);
    }

    #[test]
    fn documentation_must_be_on_the_first_line_and_say_something() {
        for bad in ["", "\n//! Late.\n", "use a;\n", "//!\n", "// Not a doc.\n"] {
            assert!(starts_with_docs("crates/x/src/a.rs", bad).is_some(), "{bad:?}");
        }
    }

    #[test]
    fn long_files_warn_and_longer_ones_fail() {
        assert_eq!(size("crates/x/src/a.rs", 500), None);
        assert_eq!(size("crates/x/src/a.rs", 501).unwrap().severity, super::super::Severity::Warning);
        assert_eq!(size("crates/x/src/a.rs", 801).unwrap().severity, super::super::Severity::Error);
    }

    #[test]
    fn tests_may_be_longer() {
        for path in ["crates/x/tests/a.rs", "tests/tests/crash.rs", "crates/x/src/a/tests.rs"] {
            assert_eq!(size(path, 1200).unwrap().severity, super::super::Severity::Warning, "{path}");
            assert_eq!(size(path, 1201).unwrap().severity, super::super::Severity::Error, "{path}");
        }
    }

    #[test]
    fn only_roots_of_crates_must_forbid_unsafe_and_only_where_it_is_possible() {
        let text = "//! Docs.\n";
        assert_eq!(check(ROOT, text).len(), 1);
        assert_eq!(check("crates/enhanced-locking-cli/src/main.rs", text).len(), 1);
        assert_eq!(check("xtask/src/main.rs", text).len(), 1);
        assert_eq!(check("crates/enhanced-locking-core/src/table.rs", text), []);
        assert_eq!(check("crates/enhanced-locking-embedded/src/lib.rs", text), []);
        assert_eq!(check("tests/src/lib.rs", text), []);
    }

    #[test]
    fn a_mention_of_the_attribute_is_not_the_attribute() {
        assert_eq!(check(ROOT, "//! Docs.\n// #![forbid(unsafe_code)]\n").len(), 1);
    }
}

//! What no file may contain: unfinished code, silenced lints without a reason, paths of one machine.
//!
//! The needles are put together at compile time so that this file does not contain them itself.

use super::Finding;

/// A needle, why it is refused and what to write instead.
struct Rule {
    needle: &'static str,
    what: &'static str,
    remedy: &'static str,
}

/// Refused in Rust files.
const IN_RUST: &[Rule] = &[
    Rule { needle: concat!("to", "do!("), what: "unfinished code", remedy: FINISH },
    Rule { needle: concat!("unimple", "mented!("), what: "unfinished code", remedy: FINISH },
    Rule { needle: concat!("db", "g!("), what: "a debugging aid", remedy: "remove it, or use `tracing`" },
    Rule { needle: concat!("FIX", "ME"), what: "a known defect left in place", remedy: FIX },
    Rule { needle: concat!("X", "XX"), what: "a known defect left in place", remedy: FIX },
    Rule { needle: concat!("#[al", "low("), what: "a lint silenced for ever", remedy: EXPECT },
    Rule { needle: concat!("#![al", "low("), what: "a lint silenced for ever", remedy: EXPECT },
];

/// Refused in every text file.
const ANYWHERE: &[Rule] = &[
    Rule { needle: concat!("/wo", "rk/"), what: MACHINE, remedy: RELATIVE },
    Rule { needle: concat!("/ro", "ot/"), what: MACHINE, remedy: RELATIVE },
];

const FINISH: &str = "finish it, or leave it out and return a typed error";
const FIX: &str =
    "fix it, or open an issue and say in a sentence what is missing and why that is right for now";
const EXPECT: &str = "write `#[expect(lint, reason = \"…\")]`, which speaks up when it is no longer needed";
const MACHINE: &str = "an absolute path of somebody's machine";
const RELATIVE: &str = "name the path from the root of the repository, or let the user choose it";

/// Checks one text file. `path` is relative to the root.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let rust = path.ends_with(".rs");
    for (index, line) in text.lines().enumerate() {
        let rules = IN_RUST.iter().filter(|_| rust).chain(ANYWHERE);
        for rule in rules.filter(|rule| contains_word(line, rule.needle)) {
            let what = format!("`{}` is {}", rule.needle, rule.what);
            findings.push(Finding::error(path, index + 1, what, rule.remedy));
        }
    }
    findings
}

/// Whether `line` contains `needle` and not merely as the middle of a longer word or path.
fn contains_word(line: &str, needle: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '~' | '$' | '}');
    let needle_ends_in_letter = needle.ends_with(|c: char| c.is_alphanumeric());
    line.match_indices(needle).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + needle.len()..].chars().next();
        let joined_after = needle_ends_in_letter && after.is_some_and(char::is_alphanumeric);
        !joined_after && !before.is_some_and(joins)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_needle_is_found_on_its_line_in_rust_files() {
        for rule in IN_RUST {
            let findings = check("crates/x/src/a.rs", &format!("//! Docs.\n    {} rest\n", rule.needle));
            assert_eq!(findings.len(), 1, "{}", rule.needle);
            assert_eq!(findings[0].line, 2);
        }
    }

    #[test]
    fn other_files_may_speak_about_code() {
        for rule in IN_RUST {
            assert_eq!(check("CONTRIBUTING.md", &format!("never write {}\n", rule.needle)), []);
        }
    }

    #[test]
    fn machine_paths_are_found_in_every_text_file() {
        for rule in ANYWHERE {
            assert_eq!(check("docs/a.md", &format!("see {}x\n", rule.needle)).len(), 1, "{}", rule.needle);
        }
    }

    #[test]
    fn parts_of_longer_words_and_paths_are_left_alone() {
        let (work, marks) = (concat!("/wo", "rk/"), concat!("X", "XX"));
        for line in [
            format!("docs{work}x"),
            format!("./a{work}x"),
            format!("$HOME{work}x"),
            format!("name-{marks}XX"),
        ] {
            assert_eq!(check("crates/x/src/a.rs", &line), [], "{line}");
        }
    }

    #[test]
    fn expecting_a_lint_with_a_reason_is_the_way() {
        assert_eq!(
            check("crates/x/src/a.rs", "#[expect(dead_code, reason = \"filled by the next part\")]\n"),
            []
        );
    }
}

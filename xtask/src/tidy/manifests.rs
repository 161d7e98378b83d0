//! Rules for every member's `Cargo.toml`: everything shared is inherited from the workspace.
//!
//! Reads manifests line by line: `cargo metadata` no longer shows what was inherited, and the rules need
//! only sections, keys and values.

use super::Finding;

/// Keys of `[package]` that must be inherited.
const INHERITED: &[&str] = &["version", "edition", "rust-version", "license", "publish"];

/// Checks one manifest. `path` is relative to the root, `name` the name of the package.
pub(super) fn check(path: &str, name: &str, text: &str) -> Vec<Finding> {
    let entries = parse(text);
    let mut findings = Vec::new();
    let package_line = section_line(text, "[package]");
    for key in INHERITED {
        let inherited = entries.iter().any(|e| e.section == "package" && e.inherits(key));
        if !inherited {
            let own = entries.iter().find(|e| e.section == "package" && e.key == *key);
            let line = own.map_or(package_line, |e| e.line);
            let what = format!("{name} does not inherit `{key}`");
            findings.push(Finding::error(path, line, what, format!("write `{key}.workspace = true`")));
        }
    }
    let described = entries
        .iter()
        .any(|e| e.section == "package" && e.key == "description" && e.value.trim_matches('"').len() > 1);
    if !described {
        let what = format!("{name} has no description");
        findings.push(Finding::error(path, package_line, what, "say in one sentence what it is for"));
    }
    if !entries.iter().any(|e| e.section == "lints" && e.key == "workspace" && e.value == "true") {
        let what = format!("{name} does not use the lints of the workspace");
        findings.push(Finding::error(
            path,
            package_line,
            what,
            "add a section `[lints]` with `workspace = true`",
        ));
    }
    if let Some(directory) = path.strip_prefix("crates/").and_then(|rest| rest.strip_suffix("/Cargo.toml"))
        && directory != name
    {
        let what = format!("the package {name} lives in crates/{directory}");
        findings.push(Finding::error(
            path,
            package_line,
            what,
            format!("rename the directory to crates/{name}"),
        ));
    }
    findings.extend(dependencies(path, &entries));
    findings
}

/// One `key = value` with its section; a value that spans lines is joined.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    section: String,
    key: String,
    value: String,
    line: usize,
}

impl Entry {
    fn inherits(&self, key: &str) -> bool {
        (self.key == format!("{key}.workspace") && self.value == "true")
            || (self.key == key && has_workspace_true(&self.value))
    }
}

fn dependencies(path: &str, entries: &[Entry]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut complain = |line: usize, dependency: &str| {
        let what = format!("the dependency {dependency} is not inherited from the workspace");
        let remedy =
            format!("list it under [workspace.dependencies] and write `{dependency}.workspace = true`");
        findings.push(Finding::error(path, line, what, remedy));
    };
    let mut tables: Vec<(&str, usize, bool)> = Vec::new();
    for entry in entries {
        match dependency_section(&entry.section) {
            Some("") => {
                let dependency = entry.key.split('.').next().unwrap_or_default();
                // `serde.features = [..]` beside `serde.workspace = true` is one dependency on two lines.
                let inherited = entries.iter().any(|e| e.section == entry.section && e.inherits(dependency));
                if !inherited {
                    complain(entry.line, dependency);
                }
            }
            Some(dependency) => {
                let inherits = entry.key == "workspace" && entry.value == "true";
                match tables.iter_mut().find(|(name, ..)| *name == dependency) {
                    Some(table) => table.2 |= inherits,
                    None => tables.push((dependency, entry.line, inherits)),
                }
            }
            None => {}
        }
    }
    for (dependency, line, _) in tables.iter().filter(|(_, _, inherits)| !inherits) {
        complain(*line, dependency);
    }
    findings
}

/// `Some("")` for `[dependencies]` and its like, `Some("serde")` for `[dependencies.serde]`, else `None`.
fn dependency_section(section: &str) -> Option<&str> {
    const KINDS: [&str; 3] = ["dev-dependencies", "build-dependencies", "dependencies"];
    let section = match section.strip_prefix("target.") {
        // `target.'cfg(unix)'.dependencies`: the kind starts after the quoted or plain target.
        Some(rest) => {
            KINDS.iter().filter_map(|kind| rest.find(&format!(".{kind}"))).min().map(|at| &rest[at + 1..])?
        }
        None => section,
    };
    KINDS.iter().find_map(|kind| match section.strip_prefix(kind)? {
        "" => Some(""),
        rest => rest.strip_prefix('.'),
    })
}

fn has_workspace_true(value: &str) -> bool {
    let compact: String = value.chars().filter(|c| !c.is_whitespace()).collect();
    compact.contains("{workspace=true") || compact.contains(",workspace=true")
}

fn section_line(text: &str, header: &str) -> usize {
    super::line_where(text, |line| line.trim() == header)
}

fn parse(text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut section = String::new();
    let mut open = 0;
    for (index, raw) in text.lines().enumerate() {
        let (line, change) = strip_comment(raw);
        let line = line.trim();
        if open > 0 {
            if let Some(entry) = entries.last_mut() {
                entry.value.push_str(line);
            }
            open += change;
        } else if line.starts_with('[') {
            section = line.trim_matches(['[', ']']).trim().to_owned();
        } else if let Some((key, value)) = line.split_once('=') {
            let key = key.trim().trim_matches('"').to_owned();
            entries.push(Entry {
                section: section.clone(),
                key,
                value: value.trim().to_owned(),
                line: index + 1,
            });
            open += change;
        }
    }
    entries
}

/// The line without its comment, and by how much it opens more brackets than it closes.
fn strip_comment(line: &str) -> (&str, i32) {
    let mut quote = None;
    let mut open = 0;
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') => return (&line[..at], open),
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '{') => open += 1,
            (None, ']' | '}') => open -= 1,
            (Some(q), _) if q == c => quote = None,
            _ => {}
        }
    }
    (line, open)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"[package]
name = "demo"
description = "Shows a manifest that follows the rules."
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
publish.workspace = true

[dependencies]
serde.workspace = true
tokio = { workspace = true, features = [
    "time", # for timeouts
] }
heed = { optional = true, workspace = true }
uuid.workspace = true
uuid.features = ["v4"]

[target.'cfg(unix)'.dependencies]
rustix.workspace = true

[dev-dependencies.tempfile]
features = ["x"]
workspace = true

[features]
default = ["embedded"]

[lints]
workspace = true
"#;

    fn remedies(path: &str, text: &str) -> Vec<String> {
        check(path, "demo", text).into_iter().map(|f| f.remedy).collect()
    }

    #[test]
    fn a_manifest_that_inherits_everything_is_fine() {
        assert_eq!(check("crates/demo/Cargo.toml", "demo", GOOD), []);
    }

    #[test]
    fn a_value_of_its_own_is_found_on_its_line() {
        let text = GOOD.replace("edition.workspace = true", "edition = \"2021\"");
        let findings = check("crates/demo/Cargo.toml", "demo", &text);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].line, 5);
        assert_eq!(findings[0].remedy, "write `edition.workspace = true`");
    }

    #[test]
    fn missing_lints_and_description_are_found() {
        let text = GOOD
            .replace("[lints]\nworkspace = true\n", "")
            .replace("Shows a manifest that follows the rules.", "");
        let all = remedies("crates/demo/Cargo.toml", &text).join("\n");
        assert!(all.contains("[lints]") && all.contains("one sentence"), "{all}");
    }

    #[test]
    fn the_directory_must_have_the_name_of_the_package() {
        assert_eq!(remedies("crates/other/Cargo.toml", GOOD), ["rename the directory to crates/demo"]);
        assert_eq!(check("tests/Cargo.toml", "demo", GOOD), []);
    }

    #[test]
    fn a_version_beside_a_dependency_is_found_in_every_notation() {
        for bad in [
            "[dependencies]\nserde = \"1\"\n",
            "[dependencies]\nserde = { version = \"1\", features = [\"derive\"] }\n",
            "[build-dependencies]\nserde.version = \"1\"\n",
            "[dev-dependencies.serde]\nversion = \"1\"\n",
            "[target.'cfg(unix)'.dependencies]\nserde = \"1\"\n",
            "[target.'cfg(unix)'.dev-dependencies.serde]\nversion = \"1\"\n",
        ] {
            let findings = dependencies("Cargo.toml", &parse(bad));
            assert_eq!(findings.len(), 1, "{bad}");
            assert_eq!(findings[0].line, 2, "{bad}");
            assert!(findings[0].what.contains("serde"), "{bad}");
        }
    }

    #[test]
    fn sections_that_are_no_dependencies_are_left_alone() {
        assert_eq!(
            dependencies("Cargo.toml", &parse("[features]\nserde = []\n[package.metadata.x]\ny = \"1\"\n")),
            []
        );
    }
}

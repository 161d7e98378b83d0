//! The documentation says nothing that does not load, and its reference is the schema's.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::path::{Path, PathBuf};

use enhanced_locking_config::{Loader, ProblemKind, reference_markdown};

const BEGIN: &str = "<!-- reference:begin -->\n";
const END: &str = "<!-- reference:end -->";
/// Set to 1 to write the reference into the page instead of comparing.
const UPDATE: &str = "UPDATE_REFERENCE";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn pages() -> Vec<PathBuf> {
    let mut found = vec![root().join("README.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.retain(|path| path.exists());
    found.sort();
    found
}

/// The blocks that start with exactly "```yaml", with the line they start in.
fn yaml_blocks(page: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut current: Option<(usize, String)> = None;
    for (number, line) in page.lines().enumerate() {
        match (line.trim_start(), &mut current) {
            ("```yaml", None) => current = Some((number + 1, String::new())),
            (line, Some(_)) if line.starts_with("```") => blocks.extend(current.take()),
            (_, Some((_, text))) => {
                text.push_str(line);
                text.push('\n');
            }
            _ => {}
        }
    }
    blocks
}

/// Every variable that the text names without a default gets a value.
fn variables(text: &str) -> Vec<(String, String)> {
    text.split("${")
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .filter(|(name, _)| !name.contains(":-"))
        .map(|(name, _)| (name.to_owned(), "value".to_owned()))
        .collect()
}

#[test]
fn every_configuration_in_the_documentation_loads() {
    let mut checked = 0;
    for path in pages() {
        let page = std::fs::read_to_string(&path).unwrap();
        for (line, text) in
            yaml_blocks(&page).into_iter().filter(|(_, text)| text.contains("enhanced-locking:"))
        {
            let name = format!("{}:{line}", path.display());
            if let Err(error) = Loader::new().text(name, text.as_str()).environment(variables(&text)).load() {
                // The files with secrets that a page names are not on this machine.
                let real = error.problems().iter().find(|problem| problem.kind != ProblemKind::Unreadable);
                assert!(real.is_none(), "{error}");
            }
            checked += 1;
        }
    }
    assert!(checked >= 5, "only {checked} blocks found");
}

#[test]
fn the_reference_in_the_documentation_is_the_one_of_the_schema() {
    let path = root().join("docs/examples/configuration-examples.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (reference, after) = rest.split_once(END).unwrap();
    if std::env::var_os(UPDATE).is_some_and(|value| value == "1") {
        std::fs::write(&path, format!("{before}{BEGIN}{}{END}{after}", reference_markdown())).unwrap();
        return;
    }
    assert_eq!(
        reference,
        reference_markdown(),
        "run `{UPDATE}=1 cargo test -p enhanced-locking-config --test docs`"
    );
}

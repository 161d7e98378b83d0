//! `cargo xtask tidy`: the house rules that a program can check.
//!
//! This file gathers the inputs and prints the findings. The rules are pure functions over names and text,
//! one subject per file: [`layers`] (which crate may use which), [`manifests`] (every `Cargo.toml`),
//! [`modules`] (every source file) and [`words`] (what no file may contain).

use std::fmt;

use crate::ui::{Failure, Result, bold, red, yellow};
use crate::workspace::Workspace;

mod layers;
mod manifests;
mod modules;
mod words;

/// One broken rule: where, what, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    path: String,
    line: usize,
    what: String,
    remedy: String,
    severity: Severity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Severity {
    Warning,
    Error,
}

impl Finding {
    fn error(path: &str, line: usize, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        let severity = Severity::Error;
        Self { path: path.to_owned(), line, what: what.into(), remedy: remedy.into(), severity }
    }

    fn warning(path: &str, line: usize, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(path, line, what, remedy) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", bold(&format!("{}:{}", self.path, self.line)), self.what, self.remedy)
    }
}

/// Checks everything and prints what it found. Fails if there is an error; warnings only show.
pub(crate) fn run(workspace: &Workspace) -> Result<String> {
    let files = workspace.files()?;
    let findings = gather(workspace, &files)?;
    for finding in &findings {
        let mark = match finding.severity {
            Severity::Warning => yellow("warning:"),
            Severity::Error => red("error:"),
        };
        println!("{mark} {finding}");
    }
    let errors = findings.iter().filter(|f| f.severity == Severity::Error).count();
    let warnings = findings.len() - errors;
    let summary = format!("{} files: {errors} errors, {warnings} warnings", files.len());
    println!("tidy: {summary}");
    if errors == 0 { Ok(summary) } else { Err(Failure::new(format!("tidy: {summary}"))) }
}

fn gather(workspace: &Workspace, files: &[String]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut crates = Vec::new();
    for package in &workspace.packages {
        let manifest = workspace.relative(&package.manifest_path);
        let text = workspace.text(&manifest)?.unwrap_or_default();
        findings.extend(manifests::check(&manifest, &package.name, &text));
        let dependencies = package.dependencies.clone();
        crates.push(layers::Crate { name: package.name.clone(), manifest, text, dependencies });
    }
    findings.extend(layers::check(&crates));
    if let Some(text) = files.iter().find(|f| *f == ARCHITECTURE).map(|f| workspace.text(f)).transpose()? {
        findings.extend(layers::check_mentioned(&crates, &text.unwrap_or_default()));
    }
    for file in files {
        let Some(text) = workspace.text(file)? else { continue };
        findings.extend(words::check(file, &text));
        if file.ends_with(".rs") {
            findings.extend(modules::check(file, &text));
        }
    }
    findings.sort_by(|a, b| (a.severity as u8, &a.path, a.line).cmp(&(b.severity as u8, &b.path, b.line)));
    Ok(findings)
}

/// The document that must mention every crate.
const ARCHITECTURE: &str = "ARCHITECTURE.md";

/// The number of the first line that satisfies `found`, or 1.
fn line_where(text: &str, found: impl FnMut(&str) -> bool) -> usize {
    text.lines().position(found).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_where_what_and_what_to_do() {
        let finding = Finding::error("a/b.rs", 7, "it is wrong", "make it right");
        assert_eq!(finding.to_string(), "a/b.rs:7: it is wrong; make it right");
    }

    #[test]
    fn a_line_that_is_nowhere_is_the_first() {
        assert_eq!(line_where("a\nb\n", |l| l == "b"), 2);
        assert_eq!(line_where("a\nb\n", |l| l == "c"), 1);
    }
}

//! `cargo xtask release`: checks that the tree may become a release, builds and packs it, and tags it.
//!
//! Pushes nothing anywhere: the last line says what a person does next.

use std::path::Path;

use xshell::{Shell, cmd};

use crate::ui::{Context as _, Failure, Result, Stages, yellow};
use crate::workspace::{BINARY, CLI, Workspace};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Do everything except the tag; a tree that is not clean is then only a warning
    #[arg(long)]
    dry_run: bool,
}

/// Shells whose completions are packed, with the conventional file name of each.
const COMPLETIONS: &[(&str, &str)] =
    &[("bash", "enhanced-locks.bash"), ("zsh", "_enhanced-locks"), ("fish", "enhanced-locks.fish")];

/// Where archives go; git ignores it.
const DIST: &str = "dist";

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let sh = workspace.shell()?;
    let version = uniform_version(workspace)?;
    let target = host(&cmd!(sh, "rustc -vV").quiet().read()?)?;
    let name = format!("{BINARY}-{version}-{target}");
    let tag = format!("v{version}");
    println!("release {version} for {target}");

    let mut all = Stages::new(5);
    let ready = all.run("changelog", || changelog(workspace, &version))
        & all.run("git tree", || git_tree(&sh, &tag, args.dry_run));
    // A dry run goes on, to show every problem at once; a real one must not build what it may not ship.
    if ready || args.dry_run {
        let built = all.run("build", || {
            cmd!(sh, "cargo build --release -p {CLI}").run()?;
            Ok(String::new())
        });
        let packed = built && all.run("archive", || pack(workspace, &sh, &name));
        if packed {
            all.run("archive works", || unpack_and_try(&sh, &name, &version));
        }
    }
    all.finish()?;
    if args.dry_run {
        println!("dry run: {DIST}/{name}.tar.gz is made, the tag {tag} is not");
        return Ok(());
    }
    cmd!(sh, "git tag -a {tag} -m {BINARY}' '{version}").run()?;
    println!(
        "tagged {tag}; publish it with `git push origin {tag}` and upload {DIST}/{name}.tar.gz with its .sha256"
    );
    Ok(())
}

/// The version that all packages share.
fn uniform_version(workspace: &Workspace) -> Result<String> {
    let first = workspace.packages.first().ok_or_else(|| Failure::new("the workspace has no packages"))?;
    let odd: Vec<String> = workspace
        .packages
        .iter()
        .filter(|p| p.version != first.version)
        .map(|p| format!("{} has {}", p.name, p.version))
        .collect();
    if odd.is_empty() {
        return Ok(first.version.clone());
    }
    Err(Failure::new(format!(
        "the packages do not share one version: {} has {}, but {}; inherit it with `version.workspace = true`",
        first.name,
        first.version,
        odd.join(", ")
    )))
}

fn changelog(workspace: &Workspace, version: &str) -> Result<String> {
    let text =
        std::fs::read_to_string(workspace.root.join("CHANGELOG.md")).context("reading CHANGELOG.md")?;
    let lines = section(&text, version).ok_or_else(|| {
        Failure::new(format!(
            "CHANGELOG.md has no section `## [{version}]`: write what changed for users under it"
        ))
    })?;
    if lines.trim().is_empty() {
        return Err(Failure::new(format!(
            "the section {version} of CHANGELOG.md is empty: write what changed for users"
        )));
    }
    Ok(format!("{} lines", lines.lines().filter(|l| !l.trim().is_empty()).count()))
}

/// The text of the section of `version` (`## [0.1.0] - 2026-01-31`, brackets and date optional).
fn section<'a>(changelog: &'a str, version: &str) -> Option<&'a str> {
    let is_heading = |line: &str| {
        line.strip_prefix("## ").is_some_and(|title| {
            let first = title.split_whitespace().next().unwrap_or_default();
            first.trim_start_matches('[').trim_start_matches('v').trim_end_matches(']') == version
        })
    };
    let mut at = 0;
    let mut start = None;
    for line in changelog.split_inclusive('\n') {
        match start {
            None if is_heading(line) => start = Some(at + line.len()),
            Some(from) if line.starts_with("## ") => return Some(&changelog[from..at]),
            _ => {}
        }
        at += line.len();
    }
    start.map(|from| &changelog[from..])
}

fn git_tree(sh: &Shell, tag: &str, dry_run: bool) -> Result<String> {
    let exists =
        cmd!(sh, "git rev-parse --verify --quiet refs/tags/{tag}").quiet().ignore_stdout().run().is_ok();
    let changed = cmd!(sh, "git status --porcelain").quiet().read()?;
    let problem = match (exists, changed.lines().count()) {
        (true, _) => format!("the tag {tag} exists already: raise the version in Cargo.toml"),
        (false, 0) => return Ok("clean".to_owned()),
        (false, count) => format!("{count} files are not committed: commit or remove them first"),
    };
    if dry_run {
        println!("{} {problem}", yellow("warning:"));
        return Ok(format!("warning: {problem}"));
    }
    Err(Failure::new(problem))
}

fn pack(workspace: &Workspace, sh: &Shell, name: &str) -> Result<String> {
    let folder = workspace.root.join(DIST).join(name);
    sh.remove_path(&folder)?;
    sh.create_dir(&folder)?;
    let binary = workspace.release_binary();
    sh.copy_file(&binary, &folder)?;
    for file in ["LICENSE", "README.md"] {
        sh.copy_file(file, &folder)
            .map_err(|error| Failure::new(format!("{error}; every archive contains {file}")))?;
    }
    let mut missing = Vec::new();
    for (shell, file) in COMPLETIONS {
        let path = folder.join("completions").join(file);
        if !printed(sh, &binary, &["completions", shell], &path)? {
            missing.push(format!("completions for {shell}"));
        }
    }
    if !printed(sh, &binary, &["man"], &folder.join("man").join(format!("{BINARY}.1")))? {
        missing.push("the manual page".to_owned());
    }
    if !missing.is_empty() {
        println!(
            "{} the archive has not: {} (the command does not print them)",
            yellow("warning:"),
            missing.join(", ")
        );
    }
    // The archive of one commit is the same bytes wherever and whenever it is packed.
    let time = cmd!(sh, "git log -1 --format=@%ct").quiet().read()?;
    let archive = format!("{name}.tar.gz");
    let dist = sh.push_dir(DIST);
    cmd!(sh, "tar --sort=name --owner=0 --group=0 --numeric-owner --mtime={time} -cf {name}.tar {name}")
        .run()?;
    cmd!(sh, "gzip -9nf {name}.tar").run()?;
    let sum = cmd!(sh, "sha256sum {archive}").read()?;
    sh.write_file(format!("{archive}.sha256"), format!("{sum}\n"))?;
    sh.remove_path(name)?;
    drop(dist);
    let bytes =
        std::fs::metadata(workspace.root.join(DIST).join(&archive)).context("measuring the archive")?.len();
    Ok(format!("{DIST}/{archive}, {:.1} MiB", bytes as f64 / f64::from(1024 * 1024)))
}

/// Writes what the command prints to `path`; `false` if it failed or printed nothing.
fn printed(sh: &Shell, binary: &Path, args: &[&str], path: &Path) -> Result<bool> {
    let output = cmd!(sh, "{binary} {args...}").quiet().ignore_status().ignore_stderr().output()?;
    if !output.status.success() || output.stdout.is_empty() {
        return Ok(false);
    }
    sh.write_file(path, output.stdout)?;
    Ok(true)
}

/// Unpacks the archive elsewhere, checks its sum, and asks the command in it for its version.
fn unpack_and_try(sh: &Shell, name: &str, version: &str) -> Result<String> {
    let temp = sh.create_temp_dir()?;
    let folder = temp.path();
    let _dist = sh.push_dir(DIST);
    cmd!(sh, "sha256sum --check --quiet {name}.tar.gz.sha256").run()?;
    cmd!(sh, "tar -xzf {name}.tar.gz -C {folder}").run()?;
    let binary = folder.join(name).join(BINARY);
    let said = cmd!(sh, "{binary} --version").read()?;
    if said.split_whitespace().any(|word| word == version) {
        return Ok(said);
    }
    Err(Failure::new(format!("`{BINARY} --version` in the archive says {said:?}, not {version}")))
}

fn host(rustc_says: &str) -> Result<String> {
    rustc_says
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .ok_or_else(|| Failure::new("`rustc -vV` names no host"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Package;

    fn package(name: &str, version: &str) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            manifest_path: "Cargo.toml".into(),
            dependencies: Vec::new(),
            features: std::collections::BTreeMap::new(),
            targets: Vec::new(),
        }
    }

    #[test]
    fn the_section_of_a_version_ends_at_the_next_one() {
        let text = "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-02-01\n- new\n\n## 0.1.0\n- first\n";
        assert_eq!(section(text, "0.2.0"), Some("- new\n\n"));
        assert_eq!(section(text, "0.1.0"), Some("- first\n"));
        assert_eq!(section(text, "0.1"), None);
        assert_eq!(section(text, "0.3.0"), None);
    }

    #[test]
    fn packages_must_share_one_version() {
        let mut workspace = Workspace {
            root: "/".into(),
            target_dir: "/target".into(),
            packages: vec![package("a", "0.1.0"), package("b", "0.1.0")],
        };
        assert_eq!(uniform_version(&workspace).unwrap(), "0.1.0");
        workspace.packages.push(package("c", "0.2.0"));
        assert!(uniform_version(&workspace).unwrap_err().to_string().contains("c has 0.2.0"));
    }

    #[test]
    fn the_host_is_read_from_the_compiler() {
        assert_eq!(
            host("rustc 1.95.0\nhost: x86_64-unknown-linux-gnu\n").unwrap(),
            "x86_64-unknown-linux-gnu"
        );
        assert!(host("rustc 1.95.0").is_err());
    }
}

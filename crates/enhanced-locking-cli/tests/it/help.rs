//! The help of every command, word for word: what people and scripts rely on does not change unnoticed.
//!
//! After a change that is meant, run the test with `UPDATE_HELP=1` and look at what git shows.
use std::path::Path;

use crate::common::{Done, bare};

const COMMANDS: [&str; 26] = [
    "",
    "serve",
    "run",
    "lock",
    "unlock",
    "renew",
    "transfer",
    "force-unlock",
    "get",
    "list",
    "queue",
    "watch",
    "config",
    "config validate",
    "config show",
    "config check-features",
    "health",
    "bench",
    "demo",
    "import",
    "export",
    "verify",
    "backup",
    "check",
    "completions",
    "man",
];

#[test]
fn the_help_is_as_it_was() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/help");
    let mut differ = Vec::new();
    for command in COMMANDS {
        let mut arguments: Vec<&str> = command.split_whitespace().collect();
        arguments.push("--help");
        let help = Done::of(bare(&arguments).output().unwrap()).expect_code(0).out;
        assert!(!help.contains('\u{1b}'), "{command}");
        let name = if command.is_empty() { "enhanced-locks".to_owned() } else { command.replace(' ', "-") };
        let file = directory.join(format!("{name}.txt"));
        if std::env::var_os("UPDATE_HELP").is_some() {
            std::fs::create_dir_all(&directory).unwrap();
            std::fs::write(&file, &help).unwrap();
        } else if std::fs::read_to_string(&file).ok().as_ref() != Some(&help) {
            differ.push(name);
        }
    }
    assert!(
        differ.is_empty(),
        "the help differs from tests/it/help: {differ:?}; run with UPDATE_HELP=1 if that is meant"
    );
}

#[test]
fn every_command_has_its_help_in_this_test() {
    let help = Done::of(bare(&["--help"]).output().unwrap()).expect_code(0).out;
    let listed: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(listed.len() > 10, "{help}");
    for name in listed {
        assert!(COMMANDS.contains(&name), "{name} is not in the list");
    }
}

#[test]
fn a_wrong_command_suggests_the_right_one() {
    let done = Done::of(bare(&["lst"]).output().unwrap()).expect_code(2);
    assert!(done.err.contains("'list'"), "{}", done.err);
    Done::of(bare(&[]).output().unwrap()).expect_code(2);
    let done = Done::of(bare(&["--version"]).output().unwrap()).expect_code(0);
    assert!(done.out.starts_with("enhanced-locks "), "{}", done.out);
}

//! The command under test as a file. Owns finding it, building it once, and what it said when it was done.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// Names the file to test; set by `cargo xtask`.
pub const BINARY_ENV: &str = "ENHANCED_LOCKS_BIN";

/// The command under test.
///
/// # Panics
/// If there is none and it cannot be built.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| match std::env::var_os(BINARY_ENV) {
        Some(given) => {
            let given = PathBuf::from(given);
            assert!(given.is_file(), "{BINARY_ENV} names {}, which is not a file", given.display());
            given
        }
        None => built(),
    })
}

/// `target/debug/enhanced-locks`, beside `target/debug/deps/` where tests run.
fn built() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it is");
    let beside = test.parent().and_then(Path::parent).expect("tests are in a directory of the target");
    let program = beside.join("enhanced-locks");
    if !program.is_file() {
        // Doctests and unusual layouts: cargo knows where it belongs.
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "-p", "enhanced-locking-cli"]).current_dir(repository());
        let status = build.status().expect("cargo can be started");
        assert!(status.success(), "`cargo build -p enhanced-locking-cli` failed");
    }
    assert!(program.is_file(), "there is no {}; set {BINARY_ENV}", program.display());
    program
}

/// The root of the repository.
///
/// # Panics
/// If this package was moved out of it.
#[must_use]
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the tests are in the repository").to_owned()
}

/// The command with arguments, knowing no service and nothing of the user who runs the tests.
pub fn bare(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).stdin(Stdio::null());
    clean(&mut command);
    command
}

/// Takes out of an environment what would change what the command does.
pub fn clean(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("ENHANCED_LOCK") || text.starts_with("ATLANTIS_") || text == "NO_COLOR" {
            command.env_remove(&name);
        }
    }
    command.env("USER", "tester");
}

/// What a command did.
#[derive(Clone, Debug)]
pub struct Done {
    /// Its exit code; 128 and the number of the signal if one ended it.
    pub code: i32,
    /// What it wrote to its output.
    pub out: String,
    /// What it wrote to its error output.
    pub err: String,
}

impl Done {
    /// Runs a command to its end.
    ///
    /// # Panics
    /// If it cannot be started.
    #[track_caller]
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot start: {error}"));
        Self::from(output)
    }

    /// Checks the exit code; shows what was said if it is another one.
    ///
    /// # Panics
    /// If it is another one.
    #[track_caller]
    #[must_use]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n--- output\n{}\n--- errors\n{}", self.out, self.err);
        self
    }
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        let signal = || output.status.signal().map_or(-1, |signal| 128 + signal);
        Self {
            code: output.status.code().unwrap_or_else(signal),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

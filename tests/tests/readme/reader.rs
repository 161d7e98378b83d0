//! A reader who types in what a page says, in a directory of their own, beside a service. Owns what is pretended: the
//! address, programs that are not ours, and the length of a sleep.

use std::fmt::Write as _;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use enhanced_locking_tests::poll::pause;
use enhanced_locking_tests::program::{clean, program};
use enhanced_locking_tests::service::{ask, own_host};
use enhanced_locking_tests::{Deadline, until};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::page::Block;

/// How long a block may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// `enhanced-locks` as found by the shell: what would go on for ever is ended after a moment, if it still runs.
const COMMAND: &str = r#"#!/bin/sh
if [ "${1:-}" = watch ]; then
    timeout 0.7 "$DOCS_PROGRAM" "$@" || { code=$?; [ $code -eq 124 ] || exit $code; }
    exit 0
fi
exec "$DOCS_PROGRAM" "$@"
"#;

/// `cargo run [options] -- …` is the command; nothing else of cargo is for here.
const CARGO: &str = r#"#!/bin/sh
all="$*"
if [ "${1:-}" = run ]; then
    shift
    while [ $# -gt 0 ]; do
        case "$1" in
        --) shift; exec enhanced-locks "$@" ;;
        -q | --quiet | --release) shift ;;
        *) break ;;
        esac
    done
fi
echo "cargo $all: cannot run here; say so with <!-- not-run: reason -->" >&2
exit 97
"#;

/// Nobody has the time to wait for an example.
const SLEEP: &str = "#!/bin/sh\nexec /bin/sleep 0.1\n";

/// A program that is not ours, and does nothing.
const STUB: &str = "#!/bin/sh\nexit 0\n";

/// What Atlantis gives to hooks and steps.
const ATLANTIS: [(&str, &str); 8] = [
    ("BASE_REPO_OWNER", "acme"),
    ("BASE_REPO_NAME", "infra"),
    ("PULL_NUM", "42"),
    ("PROJECT_NAME", "network"),
    ("REPO_REL_DIR", "."),
    ("WORKSPACE", "default"),
    ("USER_NAME", "alice"),
    ("PLANFILE", "plan.tfplan"),
];

/// Somebody who follows a page from its beginning.
pub(crate) struct Reader {
    directory: tempfile::TempDir,
    address: String,
    service: Option<Running>,
    others: Vec<Running>,
}

/// What became of a block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It does what the page says.
    Works,
    /// It cannot be tried.
    Skipped(String),
    /// It does not do what the page says.
    Fails(String),
}

impl Reader {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let host = own_host();
        // A port of the address that is this reader's own: nobody else takes it.
        let port = TcpListener::bind((host.as_str(), 0)).unwrap().local_addr().unwrap().port();
        let reader = Self { directory, address: format!("{host}:{port}"), service: None, others: Vec::new() };
        std::fs::create_dir(reader.programs()).unwrap();
        std::fs::create_dir(reader.place()).unwrap();
        for (name, text) in [("enhanced-locks", COMMAND), ("cargo", CARGO), ("sleep", SLEEP)] {
            executable(&reader.programs().join(name), text);
        }
        reader
    }

    /// Where the programs are that the shell finds first.
    fn programs(&self) -> PathBuf {
        self.directory.path().join("bin")
    }

    /// Where the commands are typed in.
    fn place(&self) -> PathBuf {
        self.directory.path().join("place")
    }

    /// Does what a block says.
    pub(crate) fn follow(&mut self, block: &Block) -> Outcome {
        if let Some(reason) = &block.not_run {
            return Outcome::Skipped(reason.clone());
        }
        for program in ["curl", "jq"] {
            let wanted = block.script.split(|c: char| !c.is_alphanumeric()).any(|word| word == program);
            if wanted && !is_installed(program) {
                return Outcome::Skipped(format!("there is no {program} on this machine"));
            }
        }
        for name in &block.with {
            let directory = if name.contains('/') { self.place() } else { self.programs() };
            executable(&directory.join(name), STUB);
        }
        if block.serves() { self.serve(block) } else { self.run(block) }
    }

    /// Runs commands beside a service.
    fn run(&mut self, block: &Block) -> Outcome {
        if self.service.is_none() {
            let serve = Block { script: "enhanced-locks serve".to_owned(), ..Block::default() };
            if let Outcome::Fails(why) = self.serve(&serve) {
                return Outcome::Fails(why);
            }
        }
        let mut running = self.start(&block.script);
        let deadline = Deadline::after(PATIENCE);
        loop {
            if let Some(code) = running.ended() {
                let said = running.said();
                // What it left in the background stays until the reader has finished.
                self.others.push(running);
                return if code == block.code {
                    Outcome::Works
                } else {
                    Outcome::Fails(format!("ended with {code} instead of {}:\n{said}", block.code))
                };
            }
            if deadline.is_over() {
                return Outcome::Fails(format!("not done within {PATIENCE:?}:\n{}", running.said()));
            }
            pause(Duration::from_millis(5));
        }
    }

    /// Starts a service that stays.
    fn serve(&mut self, block: &Block) -> Outcome {
        let elsewhere = block.script.contains("--listen");
        if !elsewhere {
            self.service = None;
        }
        let mut running = self.start(&block.script);
        let deadline = Deadline::after(PATIENCE);
        while !running.said().contains("listening on http://") {
            if let Some(code) = running.ended() {
                let said = running.said();
                return if code == block.code && code != 0 {
                    Outcome::Works
                } else {
                    Outcome::Fails(format!("the service ended with {code}:\n{said}"))
                };
            }
            if deadline.is_over() {
                return Outcome::Fails(format!("the service does not listen:\n{}", running.said()));
            }
            pause(Duration::from_millis(5));
        }
        if elsewhere {
            self.others.push(running);
            return Outcome::Works;
        }
        until("the service answers", || {
            ask(&self.address, "/healthz").is_ok_and(|(status, _)| status == 200)
        });
        self.service = Some(running);
        Outcome::Works
    }

    fn start(&self, script: &str) -> Running {
        let mut shell = Command::new("sh");
        clean(&mut shell);
        let path = std::env::var("PATH").unwrap_or_default();
        shell.args(["-e", "-c", &self.here(script)]).current_dir(self.place());
        shell.env("PATH", format!("{}:{path}", self.programs().display())).env("DOCS_PROGRAM", program());
        shell.env("ENHANCED_LOCKS_SERVER", format!("http://{}", self.address));
        if !script.contains("--listen") {
            shell.env("ATLANTIS_ENHANCED_LOCKING_SERVER_LISTEN", &self.address);
        }
        shell.envs(ATLANTIS);
        Running::start(shell)
    }

    /// The script with the addresses that pages use turned into the one that is here.
    fn here(&self, script: &str) -> String {
        let mut text = script.to_owned();
        for address in ["127.0.0.1:4141", "localhost:4141", "locks.internal:4141"] {
            text = text.replace(address, &self.address);
        }
        text
    }
}

fn executable(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// A shell with all that it started; ends with it.
struct Running {
    shell: Child,
    output: std::fs::File,
    code: Option<i32>,
}

impl Running {
    fn start(mut shell: Command) -> Self {
        let output = tempfile::NamedTempFile::new().unwrap();
        let to = || std::fs::File::options().append(true).open(output.path()).unwrap();
        // A group of its own, so that nothing outlives the test.
        shell.stdin(Stdio::null()).stdout(to()).stderr(to()).process_group(0);
        let child = shell.spawn().unwrap();
        Self { shell: child, output: output.reopen().unwrap(), code: None }
    }

    /// The exit code, if the shell is done.
    fn ended(&mut self) -> Option<i32> {
        use std::os::unix::process::ExitStatusExt as _;
        if self.code.is_none() {
            let status = self.shell.try_wait().unwrap();
            self.code =
                status.map(|status| status.code().unwrap_or(128 + status.signal().unwrap_or_default()));
        }
        self.code
    }

    /// Everything that was written so far.
    fn said(&self) -> String {
        use std::io::Seek as _;
        let (mut file, mut bytes) = (&self.output, Vec::new());
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).lines().fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "    {line}");
            text
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.shell), Signal::KILL);
        let _ = self.shell.wait();
    }
}

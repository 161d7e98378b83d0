//! A real service and real commands for the tests of the program.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use enhanced_locking_testkit::redis::{RedisServer, ServerOptions};
use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Says `redis` to run the tests on Redis instead of on files.
const STORE_ENV: &str = "ENHANCED_LOCKS_TEST_STORE";

/// Whether the tests run on Redis; those about files have nothing to test then.
pub(crate) fn on_redis() -> bool {
    std::env::var_os(STORE_ENV).is_some_and(|store| store == "redis")
}

/// The program under test.
pub(crate) fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_enhanced-locks"))
}

/// A service with a store of its own.
pub(crate) struct Service {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) url: String,
    child: Option<Child>,
    arguments: Vec<String>,
    /// Shell commands before it is started.
    before: &'static str,
}

impl Service {
    /// Starts one on a free port.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with more arguments.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        Self::start_after("", arguments)
    }

    /// Starts one from a shell that does something before.
    pub(crate) fn start_after(before: &'static str, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let mut service = Self { directory, url: String::new(), child: None, arguments, before };
        service.launch("127.0.0.1:0");
        service
    }

    fn launch(&mut self, listen: &str) {
        let ready = self.ready_file();
        let _ = std::fs::remove_file(&ready);
        let log = std::fs::File::options().create(true).append(true).open(self.log()).unwrap();
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!("{}; exec \"$0\" \"$@\"", if self.before.is_empty() { ":" } else { self.before }));
        command.arg(program());
        command.args(["serve", "--listen", listen, "--data-dir"]).arg(self.directory.path().join("data"));
        command.arg("--ready-file").arg(&ready);
        // What a test says itself wins, so it comes last.
        if on_redis() && !self.chooses_its_store() {
            command.args(self.redis());
        }
        command.args(&self.arguments);
        command.current_dir(&self.directory).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut child = command.spawn().unwrap();
        until("the service is ready", || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "the service ended: {}", std::fs::read_to_string(self.log()).unwrap());
            ready.exists()
        });
        self.url = std::fs::read_to_string(ready).unwrap().trim().to_owned();
        self.child = Some(child);
    }

    fn chooses_its_store(&self) -> bool {
        self.arguments.iter().any(|argument| {
            argument.starts_with("backend=") || argument == "--backend" || argument == "--config"
        })
    }

    /// A namespace of its own on one server for all of them.
    fn redis(&self) -> Vec<String> {
        static SERVER: OnceLock<RedisServer> = OnceLock::new();
        let options = ServerOptions::default().append_only();
        let server = SERVER.get_or_init(|| RedisServer::start(&options).unwrap());
        let namespace: String =
            self.directory.path().file_name().unwrap().to_str().unwrap().trim_matches('.').to_owned();
        let settings = [
            "backend=redis".to_owned(),
            format!("redis.addresses=unix:{}", server.socket().display()),
            format!("redis.namespace={namespace}"),
        ];
        settings.into_iter().flat_map(|setting| ["--set".to_owned(), setting]).collect()
    }

    pub(crate) fn ready_file(&self) -> PathBuf {
        self.directory.path().join("ready")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Kills it, as a failing machine would.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits for its end; its exit code.
    pub(crate) fn ended(&mut self) -> i32 {
        let mut child = self.child.take().unwrap();
        until("the service ends", || child.try_wait().unwrap().is_some());
        child.wait().unwrap().code().unwrap()
    }

    /// Starts it again at the same address, on the same store.
    pub(crate) fn restart(&mut self) {
        let address = self.url.trim_start_matches("http://").to_owned();
        self.launch(&address);
    }

    /// The program, talking to this service.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare(arguments);
        command.env("ENHANCED_LOCKS_SERVER", &self.url).current_dir(&self.directory);
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        Done::of(self.command(arguments).output().unwrap())
    }

    /// Runs the program to its end and reads its result as JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let done = Done::of(self.command(arguments).args(["--output", "json"]).output().unwrap());
        assert_eq!(done.code, 0, "{}", done.err);
        serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {}", done.out))
    }

    /// Starts the program in the background.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Running {
        Running::start(self.command(arguments))
    }

    /// A path in the service's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Waits until so many locks are held.
    pub(crate) fn until_held(&self, count: usize) {
        until("locks are held", || self.json(&["list"])["locks"].as_array().unwrap().len() == count);
    }

    /// Waits until so many requests stand in line.
    pub(crate) fn until_waiting(&self, count: usize) {
        until("requests wait", || self.json(&["queue"])["depth"].as_u64() == Some(count as u64));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

/// The program, without a service in its environment.
pub(crate) fn bare(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).stdin(Stdio::null());
    for name in ["ENHANCED_LOCKS_SERVER", "ENHANCED_LOCKS_TOKEN", "NO_COLOR", "COLUMNS", "USER", "LOGNAME"] {
        command.env_remove(name);
    }
    command.env("USER", "tester");
    command
}

/// What a program did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().expect("the program itself is never killed by a signal"),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Checks the exit code and shows what was said if it is another one.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }
}

/// A program in the background; killed when it goes out of scope.
pub(crate) struct Running(Option<Child>);

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        Self(Some(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()))
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(self.0.as_ref().unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.0.as_mut().unwrap().try_wait().unwrap().is_none()
    }

    /// Waits for its end, and reads what it wrote.
    #[track_caller]
    pub(crate) fn end(mut self) -> Done {
        let mut child = self.0.take().unwrap();
        let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let read_out = std::thread::spawn(move || {
            let mut text = String::new();
            out.read_to_string(&mut text).map(|_| text).unwrap()
        });
        let read_err = std::thread::spawn(move || {
            let mut text = String::new();
            err.read_to_string(&mut text).map(|_| text).unwrap()
        });
        until("the program ends", || child.try_wait().unwrap().is_some());
        let code = child.wait().unwrap().code().expect("the program itself is never killed by a signal");
        Done { code, out: read_out.join().unwrap(), err: read_err.join().unwrap() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits until something is so; a test that waits for ever would tell nothing.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let clock = enhanced_locking_foundation::SteadyClock::new();
    let begun = enhanced_locking_foundation::Clock::now(&clock);
    while !is_so() {
        let waited = enhanced_locking_foundation::Clock::now(&clock).since(begun);
        assert!(waited < PATIENCE, "not within {PATIENCE:?}: {what}");
        let _ = rustix::thread::nanosleep(&rustix::thread::Timespec { tv_sec: 0, tv_nsec: 10_000_000 });
    }
}

/// Waits until a file is there, and reads it.
#[track_caller]
pub(crate) fn file(path: &Path) -> String {
    until(&format!("{} is there", path.display()), || path.exists());
    std::fs::read_to_string(path).unwrap()
}

/// Whether a process lives; a zombie does not.
pub(crate) fn lives(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}

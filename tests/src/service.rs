//! A real service: started, killed, started again at the same address. Owns its directory, its log and its end.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::poll::{PATIENCE, pause};
use crate::program::{bare, clean, program};
use crate::{Deadline, Done};

/// A service of the command under test, with a directory of its own. Killed when it goes out of scope; shows its log
/// if that happens because a test failed.
///
/// ```no_run
/// use enhanced_locking_tests::Service;
/// let mut service = Service::start();
/// service.kill();
/// service.restart();
/// assert_eq!(service.ask("/healthz").unwrap().0, 200);
/// ```
#[derive(Debug)]
pub struct Service {
    directory: tempfile::TempDir,
    address: String,
    arguments: Vec<String>,
    data: PathBuf,
    before: Option<String>,
    child: Option<Child>,
}

impl Service {
    /// Starts one on the embedded store.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with more arguments for `serve`.
    #[must_use]
    pub fn start_with(arguments: &[&str]) -> Self {
        let mut service = Self::prepare();
        service.arguments = arguments.iter().map(ToString::to_string).collect();
        service.restart();
        service
    }

    /// A service that is not started yet.
    ///
    /// # Panics
    /// If there is no place for temporary files.
    #[must_use]
    pub fn prepare() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data");
        let address = format!("{}:0", own_host());
        Self { directory, address, arguments: Vec::new(), data, before: None, child: None }
    }

    /// Keeps the store elsewhere than in the service's own directory.
    #[must_use]
    pub fn data_dir(mut self, directory: &Path) -> Self {
        directory.clone_into(&mut self.data);
        self
    }

    /// Runs this in the shell before the service, in the same process: limits, ignored signals.
    #[must_use]
    pub fn after(mut self, shell: &str) -> Self {
        self.before = Some(shell.to_owned());
        self
    }

    /// From the next start on, runs nothing before the service.
    pub fn no_longer_after(&mut self) {
        self.before = None;
    }

    /// Starts it, again or for the first time, and waits until it answers.
    ///
    /// # Panics
    /// If it ends, or does not answer in time.
    #[track_caller]
    pub fn restart(&mut self) {
        self.spawn();
        self.until_answering();
    }

    /// Starts it without waiting for anything.
    ///
    /// # Panics
    /// If it runs already or the command cannot be started.
    #[track_caller]
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let _ = std::fs::remove_file(self.ready_file());
        let log = std::fs::File::options().create(true).append(true).open(self.log_file()).expect("a log");
        let mut command = match &self.before {
            None => Command::new(program()),
            Some(before) => {
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(format!("{before}\nexec \"$0\" \"$@\"")).arg(program());
                shell
            }
        };
        clean(&mut command);
        command.args(["serve", "--listen", &self.address, "--data-dir"]).arg(&self.data);
        command.arg("--ready-file").arg(self.ready_file()).args(&self.arguments);
        command.current_dir(&self.directory).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")));
    }

    /// Waits until it answers.
    ///
    /// # Panics
    /// If it ends, or does not answer in time.
    #[track_caller]
    pub fn until_answering(&mut self) {
        let deadline = Deadline::after(PATIENCE);
        loop {
            let ended = self.child.as_mut().expect("it was started").try_wait().expect("its state");
            assert!(ended.is_none(), "the service ended with {ended:?}:\n{}", self.log_tail());
            if let Ok(url) = std::fs::read_to_string(self.ready_file()) {
                // From now on always the same: clients stay with the address they know.
                url.trim().trim_start_matches("http://").clone_into(&mut self.address);
                if self.ask("/healthz").is_ok_and(|(status, _)| status == 200) {
                    return;
                }
            }
            assert!(!deadline.is_over(), "the service does not answer:\n{}", self.log_tail());
            pause(Duration::from_millis(2));
        }
    }

    /// Kills it, as a failing machine would.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it can be killed");
        child.wait().expect("its end");
    }

    /// Stops it in good order.
    ///
    /// # Panics
    /// If it does not run, does not end in time or ends with a failure.
    #[track_caller]
    pub fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        kill_process(Pid::from_child(&child), Signal::TERM).expect("it can be told to stop");
        let deadline = Deadline::after(PATIENCE);
        let status = loop {
            if let Some(status) = child.try_wait().expect("its state") {
                break status;
            }
            if deadline.is_over() {
                let _ = child.kill();
                let _ = child.wait();
                panic!("the service does not stop:\n{}", self.log_tail());
            }
            pause(Duration::from_millis(5));
        };
        assert!(status.success(), "the service ended with {status}:\n{}", self.log_tail());
    }

    /// Its process.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().expect("it runs"))
    }

    /// Its address, for example `http://127.4.5.6:40001`. Known once it has answered.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The directory of its store.
    #[must_use]
    pub fn store(&self) -> &Path {
        &self.data
    }

    /// A directory for the files of the test.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The end of what it has logged.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let log = std::fs::read(self.log_file()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(40)).fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "  {line}");
            text
        })
    }

    /// The command, talking to this service.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare(arguments);
        command.env("ENHANCED_LOCKS_SERVER", self.url()).current_dir(&self.directory);
        command
    }

    /// Runs the command to its end and reads its result as JSON.
    ///
    /// # Panics
    /// If it fails, or writes no JSON.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let done = Done::of(self.command(arguments).args(["--output", "json"])).expect_code(0);
        serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {}", done.out))
    }

    /// Asks with `GET`; the status and the body.
    ///
    /// # Errors
    /// What the system says if nobody answers.
    pub fn ask(&self, path: &str) -> std::io::Result<(u16, String)> {
        ask(&self.address, path)
    }

    fn ready_file(&self) -> PathBuf {
        self.directory.path().join("ready")
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("the service's log ends with:\n{}", self.log_tail());
        }
    }
}

/// Asks a service with `GET`; the status and the body.
///
/// # Errors
/// What the system says if nobody answers.
pub fn ask(address: &str, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or_else(|| std::io::Error::other(format!("no HTTP: {head:?}")))?, body.to_owned()))
}

/// A loopback address of its own for every service, so that nobody takes its port while it is down.
#[must_use]
pub fn own_host() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    if cfg!(not(target_os = "linux")) {
        return "127.0.0.1".to_owned();
    }
    let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    format!("127.{}.{}.{}", 1 + process / 250 % 250, 1 + process % 250, 2 + count % 250)
}

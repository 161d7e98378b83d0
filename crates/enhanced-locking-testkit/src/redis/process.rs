//! One server process: its folder, its log, its signals and its end.
//!
//! Owns that nothing is left behind: a process is killed and its folder removed when it is dropped, and also when
//! the test process itself is killed, by a guardian that notices. Knows nothing of what the server is for.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::error::LaunchError;
use super::wait::poll_until;

/// How long a server may take to start or to end.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// How many lines of a log go into an error or a failed test's output.
const TAIL: usize = 40;

/// The guardian: waits until the process that started it is gone, then ends the server and removes its folder.
const GUARDIAN: &str =
    "trap '' HUP INT QUIT TERM; read -r _; kill -KILL \"$1\" 2>/dev/null; rm -rf -- \"$2\"";

/// What to start.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub(super) binary: PathBuf,
    /// The text of the configuration file.
    pub(super) config: String,
    /// After the name of the configuration file.
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    /// Words in the log that say that it serves.
    pub(super) ready: &'static str,
}

/// A server in a folder of its own; see the module.
#[derive(Debug)]
pub(super) struct ServerProcess {
    spec: Spec,
    dir: TempDir,
    running: Option<Running>,
    log: Arc<Log>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    guardian: Child,
    stopped: bool,
}

/// The lines a server wrote, over all its starts.
#[derive(Debug, Default)]
struct Log {
    lines: Mutex<Lines>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    all: Vec<String>,
    /// How many times it was started.
    run: u32,
    /// Where the lines of the present run begin.
    start: usize,
    /// How many of the present run's outputs are open.
    open: usize,
}

/// A new folder for a server; the name is short since the path of a unix socket may have 107 bytes only.
pub(super) fn folder() -> Result<TempDir, LaunchError> {
    tempfile::Builder::new().prefix("elt").tempdir().map_err(LaunchError::io("making a folder for a server"))
}

impl ServerProcess {
    /// Starts the server and waits until its log says that it serves.
    pub(super) fn start(spec: Spec, dir: TempDir) -> Result<Self, LaunchError> {
        let mut process = Self { spec, dir, running: None, log: Arc::default() };
        process.write_config()?;
        process.run()?;
        Ok(process)
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts again what was killed, in the same folder with the configuration as the server last wrote it.
    pub(super) fn run(&mut self) -> Result<(), LaunchError> {
        if self.running.is_some() {
            return Ok(());
        }
        let run = self.log.begin();
        let what = || format!("starting {}", self.spec.binary.display());
        let mut child = Command::new(&self.spec.binary)
            .arg(self.config_path())
            .args(&self.spec.args)
            .envs(self.spec.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(LaunchError::io(what()))?;
        let outputs: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|out| Box::new(out) as _),
            child.stderr.take().map(|out| Box::new(out) as _),
        ];
        for output in outputs.into_iter().flatten() {
            let log = Arc::clone(&self.log);
            std::thread::spawn(move || log.follow(run, output));
        }
        let guardian = Command::new("sh")
            .args(["-c", GUARDIAN, "sh", &child.id().to_string()])
            .arg(self.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        let guardian = match guardian {
            Ok(guardian) => guardian,
            Err(source) => {
                reap(&mut child);
                return Err(LaunchError::io("starting sh to guard the server")(source));
            }
        };
        self.running = Some(Running { child, guardian, stopped: false });
        let ready = self.spec.ready;
        if self.wait_log(ready, PATIENCE) {
            return Ok(());
        }
        let error = self.not_ready(format!("the server did not write \"{ready}\""));
        self.kill();
        Err(error)
    }

    /// The process id; `None` while it is not running.
    pub(super) fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.child.id())
    }

    /// SIGKILL, and waits for the end. Nothing if it is not running.
    pub(super) fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            // The guardian first: after the server is gone its process id may be another's.
            reap(&mut running.guardian);
            reap(&mut running.child);
        }
    }

    /// SIGTERM, and waits for the end: the server saves what it is configured to save.
    pub(super) fn terminate(&mut self) -> Result<(), LaunchError> {
        self.signal(Signal::TERM)?;
        let ended = poll_until(PATIENCE, || {
            let running = self.running.as_mut()?;
            running.child.try_wait().ok().flatten()
        });
        let error = self.not_ready("the server did not end on SIGTERM".into());
        self.kill();
        ended.map(drop).ok_or(error)
    }

    /// SIGSTOP: it holds its connections and answers nothing.
    pub(super) fn pause(&mut self) -> Result<(), LaunchError> {
        self.signal(Signal::STOP)?;
        if let Some(running) = &mut self.running {
            running.stopped = true;
        }
        Ok(())
    }

    /// SIGCONT.
    pub(super) fn resume(&mut self) -> Result<(), LaunchError> {
        self.signal(Signal::CONT)?;
        if let Some(running) = &mut self.running {
            running.stopped = false;
        }
        Ok(())
    }

    pub(super) fn is_paused(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.stopped)
    }

    fn signal(&self, signal: Signal) -> Result<(), LaunchError> {
        let gone = || LaunchError::io("sending a signal to a server that does not run");
        let Some(running) = &self.running else {
            return Err(gone()(std::io::ErrorKind::NotFound.into()));
        };
        let pid = i32::try_from(running.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| gone()(std::io::ErrorKind::InvalidInput.into()))?;
        kill_process(pid, signal)
            .map_err(|errno| LaunchError::io("sending a signal to a server")(errno.into()))
    }

    /// Waits until the log of the present run has `words`; `false` if it has not in time, or the server ended.
    pub(super) fn wait_log(&self, words: &str, limit: Duration) -> bool {
        let found = |lines: &Lines| lines.all[lines.start..].iter().any(|line| line.contains(words));
        let lines = self.log.lock();
        let (lines, _) = self
            .log
            .news
            .wait_timeout_while(lines, limit, |lines| !found(lines) && lines.open > 0)
            .unwrap_or_else(PoisonError::into_inner);
        found(&lines)
    }

    /// Everything it wrote, over all runs.
    pub(super) fn log(&self) -> String {
        self.log.lock().all.join("\n")
    }

    /// An error about this server with the end of its log.
    pub(super) fn not_ready(&self, what: String) -> LaunchError {
        LaunchError::NotReady { what, log: self.tail() }
    }

    /// Whether the present run wrote that its address was taken.
    pub(super) fn lost_its_port(error: &LaunchError) -> bool {
        matches!(error, LaunchError::NotReady { log, .. } if log.contains("ddress already in use"))
    }

    fn tail(&self) -> String {
        let lines = self.log.lock();
        lines.all[lines.all.len().saturating_sub(TAIL)..].join("\n")
    }

    fn config_path(&self) -> PathBuf {
        self.dir.path().join("server.conf")
    }

    fn write_config(&self) -> Result<(), LaunchError> {
        let path = self.config_path();
        File::create(&path)
            .and_then(|mut file| file.write_all(self.spec.config.as_bytes()))
            .map_err(LaunchError::io(format!("writing {}", path.display())))
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- the end of the log of {}\n{}\n---", self.spec.binary.display(), self.tail());
            if let Some(kept) = std::env::var_os(super::KEEP_LOGS_ENV) {
                let kept = Path::new(&kept);
                let name = self.dir.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
                // Nobody to tell while unwinding, and the end of the log is shown already.
                let _ = fs::create_dir_all(kept)
                    .and_then(|()| fs::write(kept.join(format!("{name}.log")), self.log()));
            }
        }
    }
}

impl Log {
    fn lock(&self) -> std::sync::MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new run; returns its number.
    fn begin(&self) -> u32 {
        let mut lines = self.lock();
        lines.run += 1;
        lines.start = lines.all.len();
        lines.open = 2;
        lines.run
    }

    fn follow(&self, run: u32, output: impl Read) {
        let mut reader = BufReader::new(output);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            self.lock().all.push(String::from_utf8_lossy(&line).trim_end().to_owned());
            self.news.notify_all();
            line.clear();
        }
        let mut lines = self.lock();
        // The last words of one run may come after the next has begun.
        if lines.run == run {
            lines.open -= 1;
        }
        drop(lines);
        self.news.notify_all();
    }
}

fn reap(child: &mut Child) {
    // Both fail only if it is gone already.
    let _ = child.kill();
    let _ = child.wait();
}

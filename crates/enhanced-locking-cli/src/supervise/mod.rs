//! Running a command under a lock (`enhanced-locks run`): signals, exit codes, and stopping it when the lock is lost.
//!
//! Owns the command's process from start to end. Does not own the lock: it is told by a future that it was lost.
//!
//! # Who gets which signal
//! * In the foreground of a terminal the command shares our process group. What the terminal sends (^C, ^\, ^Z,
//!   hang-up) reaches it directly, so it is *not* passed on; the sender tells a key from a `kill`.
//! * Everywhere else (pipelines, services, background jobs) the command has a group of its own, and gets
//!   everything through us, once: the same signal twice within [`TWICE`] is one, because runners like to signal a
//!   process and then its group.
//! * INT, TERM, HUP and QUIT go to the command and what it started, as a terminal's would; USR1 and USR2 to the command alone.
//! * When the lock is lost, everything the command has started gets TERM, and KILL after the grace. To find
//!   all of it, on Linux orphans of the command are handed to this process instead of to `init`.

mod launch;
mod signals;
mod terminal;
mod tree;

use std::future::Future;
use std::io;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions};
use tokio::sync::oneshot;
use tokio::time::Instant;

pub(crate) use launch::{EXEC, Launch, describe, exec};
pub(crate) use signals::{Received, Signals};
pub(crate) use terminal::Grouping;

/// The same signal twice within this time is passed on once.
pub(crate) const TWICE: Duration = Duration::from_millis(100);

/// How often the process table is read while processes are being stopped.
const POLL: Duration = Duration::from_millis(50);
/// How often processes that were handed down to us are looked after.
const REAP: Duration = Duration::from_secs(10);
/// How long processes that were killed have to disappear; one that sits in the kernel may never.
const KILLED: Duration = Duration::from_secs(5);

/// How a supervised command came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It exited with this code.
    Exited(u8),
    /// A signal killed it.
    Killed(Signal),
    /// It was stopped because the lock was lost; whether everything it had started is gone.
    Lost {
        /// Whether any process is still there after `SIGKILL`.
        stuck: usize,
    },
}

impl Ended {
    /// The exit code a shell would show; `lost` for a lost lock.
    #[must_use]
    pub(crate) fn code(self, lost: u8) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Killed(signal) => killed_by(signal),
            Self::Lost { .. } => lost,
        }
    }
}

/// The exit code of a process that a signal ended, as shells have it.
#[must_use]
pub(crate) fn killed_by(signal: Signal) -> u8 {
    u8::try_from(128 + signal.as_raw()).unwrap_or(u8::MAX)
}

/// A command that runs.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pid: Pid,
    grouping: Grouping,
    grace: Duration,
    adopts: bool,
}

impl Supervisor {
    /// Starts a command. `grace` is what it gets between `SIGTERM` and `SIGKILL` when the lock is lost.
    ///
    /// # Errors
    /// The operating system's; see [`describe`].
    pub(crate) fn start(launch: &Launch, grace: Duration, signals: &Signals) -> io::Result<Self> {
        if launch.grouping == Grouping::Own {
            // Before the command is there: a stop in between would otherwise stop us and not the command.
            signals.watch_stops()?;
        }
        #[cfg(target_os = "linux")]
        if launch.tied {
            let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
        }
        let child = launch.start()?;
        let pid = Pid::from_child(&child);
        // Only the id is kept: the command is waited for without the standard library, which would reap it at once.
        Ok(Self { pid, grouping: launch.grouping, grace, adopts: launch.tied })
    }

    /// Waits for the command's end, passing on signals, and stops it when `lost` completes.
    ///
    /// If both happen at once, the command's own end wins: it had finished its work before it was stopped.
    ///
    /// # Errors
    /// The operating system's, if the command cannot be waited for.
    pub(crate) async fn run(
        self,
        signals: &mut Signals,
        lost: impl Future<Output = ()>,
    ) -> io::Result<Ended> {
        let mut exited = self.watch_exit()?;
        let mut last: Option<(Signal, Instant)> = None;
        let mut reap = tokio::time::interval(REAP);
        let mut lost = std::pin::pin!(lost);
        loop {
            tokio::select! {
                biased;
                _ = &mut exited => return self.end(),
                received = signals.next() => {
                    let now = Instant::now();
                    let twice = last.is_some_and(|(signal, at)| signal == received.signal && now - at < TWICE);
                    last = Some((received.signal, now));
                    if !twice {
                        self.pass_on(received);
                    }
                }
                () = &mut lost => break,
                _ = reap.tick(), if self.adopts => tree::reap_orphans(self.pid),
            }
        }
        if self.has_exited() {
            return self.end();
        }
        self.stop(signals, exited).await
    }

    /// Ends everything the command has started: TERM, and after the grace KILL until nothing is left.
    async fn stop(&self, signals: &mut Signals, mut exited: oneshot::Receiver<()>) -> io::Result<Ended> {
        self.signal_everything(Signal::TERM);
        // A stopped process does not see its TERM before it continues.
        self.signal_everything(Signal::CONT);
        let kill_at = Instant::now() + self.grace;
        let give_up_at = kill_at + KILLED;
        let mut gone = false;
        loop {
            tokio::select! {
                biased;
                _ = &mut exited, if !gone => gone = true,
                // Asked to end by somebody else, too: no reason to be any more patient with INT or TERM.
                received = signals.next() => self.pass_on(received),
                () = tokio::time::sleep(POLL) => {}
            }
            if self.adopts {
                tree::reap_orphans(self.pid);
            }
            let left = self.everything();
            let now = Instant::now();
            if (gone && left.is_empty()) || now >= give_up_at {
                if gone {
                    self.end()?;
                }
                return Ok(Ended::Lost { stuck: left.len() + usize::from(!gone) });
            }
            if now >= kill_at {
                tree::signal_all(&left, Signal::KILL);
                if !gone {
                    tree::signal_one(self.pid, Signal::KILL);
                }
            }
        }
    }

    fn pass_on(&self, received: Received) {
        let signal = received.signal;
        match self.grouping {
            Grouping::Shared if received.from_terminal => {}
            Grouping::Shared if signals::asks_to_end(signal) => self.signal_everything(signal),
            Grouping::Own if signal != Signal::USR1 && signal != Signal::USR2 => {
                let _ = rustix::process::kill_process_group(self.pid, signal);
            }
            _ => tree::signal_one(self.pid, signal),
        }
        if signal == Signal::TSTP {
            // Only watched with a group of its own: it has been told, now we stop, too.
            tree::signal_one(rustix::process::getpid(), Signal::STOP);
        }
    }

    /// All living processes of the command but the command itself, as far as the system lets us see them.
    fn everything(&self) -> Vec<Pid> {
        let root = if self.adopts { rustix::process::getpid() } else { self.pid };
        let mut found = tree::descendants(root);
        found.retain(|pid| *pid != self.pid);
        found
    }

    fn signal_everything(&self, signal: Signal) {
        tree::signal_all(&self.everything(), signal);
        if self.grouping == Grouping::Own && !cfg!(target_os = "linux") {
            let _ = rustix::process::kill_process_group(self.pid, signal);
        } else {
            tree::signal_one(self.pid, signal);
        }
    }

    /// Tells when the command has exited, without reaping it: its id stays its own until [`Self::end`].
    fn watch_exit(&self) -> io::Result<oneshot::Receiver<()>> {
        let (sender, receiver) = oneshot::channel();
        let pid = self.pid;
        std::thread::Builder::new().name("command".into()).spawn(move || {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while matches!(rustix::process::waitid(WaitId::Pid(pid), options), Err(rustix::io::Errno::INTR)) {
            }
            let _ = sender.send(());
        })?;
        Ok(receiver)
    }

    fn has_exited(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        matches!(rustix::process::waitid(WaitId::Pid(self.pid), options), Ok(Some(_)))
    }

    /// Reaps the command.
    fn end(&self) -> io::Result<Ended> {
        let status = rustix::process::waitpid(Some(self.pid), WaitOptions::empty())?;
        let (_, status) = status.ok_or(io::ErrorKind::NotFound)?;
        match status.terminating_signal().and_then(Signal::from_named_raw) {
            Some(signal) => Ok(Ended::Killed(signal)),
            None => {
                Ok(Ended::Exited(status.exit_status().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! Many processes at once, each doing its work several times under a lock or without one. Owns starting, waiting and
//! collecting what they said.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::Done;
use crate::poll::pause;

/// The exit code of `run` when nobody answers at the service's address: its command was not started.
pub const UNREACHABLE: i32 = 69;

/// Processes at work: `members` at a time, each `rounds` times one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Crew {
    /// How many at a time.
    pub members: usize,
    /// How often each.
    pub rounds: usize,
    /// How long all of it may take.
    pub limit: Duration,
    /// Whether a round that found no service is begun again: for tests that kill it.
    pub patient: bool,
}

/// What a crew did.
#[derive(Debug)]
pub struct Work {
    /// One for each member and round, with both numbers.
    pub done: Vec<(usize, usize, Done)>,
    /// How many rounds found no service and were begun again.
    pub begun_again: usize,
}

impl Work {
    /// Checks that every round succeeded.
    ///
    /// # Panics
    /// If one did not, with what it said.
    #[track_caller]
    pub fn expect_success(&self) {
        for (member, round, done) in &self.done {
            let Done { code, out, err } = done;
            assert_eq!(*code, 0, "member {member}, round {round}:\n--- output\n{out}\n--- errors\n{err}");
        }
    }

    /// Everything that was said to the error outputs.
    #[must_use]
    pub fn complaints(&self) -> String {
        self.done.iter().map(|(_, _, done)| done.err.as_str()).collect()
    }
}

impl Crew {
    /// Lets all of them work; `command` says what a member does in a round.
    ///
    /// # Panics
    /// If a process cannot be started, or not all are done in time.
    #[must_use]
    pub fn work(&self, command: impl Fn(usize, usize) -> Command + Sync) -> Work {
        let (again, at_work) = (AtomicUsize::new(0), AtWork::default());
        let outputs = tempfile::tempdir().expect("a directory");
        let member = |number: usize| {
            let file = |kind: &str| outputs.path().join(format!("{number}.{kind}"));
            let files = [file("out"), file("err")];
            let mut done = Vec::new();
            for round in 0..self.rounds {
                let end = loop {
                    let end = at_work.run(&mut command(number, round), &files);
                    let late = at_work.too_late.load(Ordering::SeqCst);
                    if !self.patient || end.code != UNREACHABLE || late {
                        break end;
                    }
                    again.fetch_add(1, Ordering::Relaxed);
                    pause(Duration::from_millis(20));
                };
                done.push((number, round, end));
            }
            done
        };
        let done = std::thread::scope(|scope| {
            let (member, at_work) = (&member, &at_work);
            let (all_done, waits) = mpsc::channel::<()>();
            scope.spawn(move || {
                // The end of the channel is the end of the work.
                if waits.recv_timeout(self.limit) == Err(mpsc::RecvTimeoutError::Timeout) {
                    at_work.stop();
                }
            });
            let members: Vec<_> =
                (0..self.members).map(|number| scope.spawn(move || member(number))).collect();
            let ended: Vec<_> = members.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
            drop(all_done);
            ended.into_iter().flat_map(|done| done.expect("a member's thread")).collect()
        });
        let work = Work { done, begun_again: again.into_inner() };
        assert!(!at_work.too_late.into_inner(), "not done within {:?}:\n{}", self.limit, work.complaints());
        work
    }
}

/// The processes at work, so that they end when the time is over. Nobody polls: fifty pollers on two cores would be
/// most of the work.
#[derive(Debug, Default)]
struct AtWork {
    pids: Mutex<BTreeSet<i32>>,
    too_late: AtomicBool,
}

impl AtWork {
    /// Kills all of them, and those to come.
    fn stop(&self) {
        let pids = self.pids.lock().expect("no panic in between");
        self.too_late.store(true, Ordering::SeqCst);
        for pid in pids.iter().filter_map(|pid| Pid::from_raw(*pid)) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    /// Runs one process, writing to files: pipes would have to be read all the time.
    fn run(&self, command: &mut Command, files: &[PathBuf; 2]) -> Done {
        let open = |path: &PathBuf| std::fs::File::create(path).expect("a file for the output");
        command.stdin(Stdio::null()).stdout(open(&files[0])).stderr(open(&files[1]));
        let (mut child, pid) = {
            let mut pids = self.pids.lock().expect("no panic in between");
            let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
            let pid = Pid::from_child(&child);
            pids.insert(pid.as_raw_nonzero().get());
            if self.too_late.load(Ordering::SeqCst) {
                let _ = kill_process(pid, Signal::KILL);
            }
            (child, pid)
        };
        // First out of the set, then reaped: nobody kills a process that has taken over the number.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(pid), options), Err(rustix::io::Errno::INTR)) {}
        self.pids.lock().expect("no panic in between").remove(&pid.as_raw_nonzero().get());
        let status = child.wait().expect("its end");
        let read =
            |path: &PathBuf| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
        let output = std::process::Output { status, stdout: Vec::new(), stderr: Vec::new() };
        Done { out: read(&files[0]), err: read(&files[1]), ..Done::from(output) }
    }
}

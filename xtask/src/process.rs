//! Running commands where plain `xshell` is not enough: counting tests while showing them, and time limits.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use xshell::Cmd;

use crate::ui::{Context as _, Failure, Result};

/// What `cargo test` said about the tests it ran.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
    pub(crate) failed_names: Vec<String>,
}

impl Tally {
    /// Adds what one line of output says, if it says anything.
    pub(crate) fn feed(&mut self, line: &str) {
        if let Some(summary) = line.strip_prefix("test result: ") {
            let counts = summary.split_once(". ").map_or(summary, |(_, counts)| counts);
            for part in counts.split(';') {
                let mut words = part.split_whitespace();
                let Some(count) = words.next().and_then(|n| n.parse::<u64>().ok()) else { continue };
                match words.next() {
                    Some("passed") => self.passed += count,
                    Some("failed") => self.failed += count,
                    Some("ignored") => self.ignored += count,
                    _ => {}
                }
            }
        } else if let Some(name) =
            line.strip_prefix("test ").and_then(|rest| rest.trim_end().strip_suffix(" ... FAILED"))
        {
            self.failed_names.push(name.to_owned());
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.failed_names.extend(other.failed_names);
    }
}

/// Runs a `cargo test` command, shows its output as it comes, and counts. Returns the counts and success.
///
/// Tests that are not through within `limit` are killed: a hanging one must not hold a build machine for ever.
pub(crate) fn tests(cmd: Cmd<'_>, limit: Duration) -> Result<(Tally, bool)> {
    let shown = cmd.to_string();
    println!("$ {shown}");
    let mut child =
        Command::from(cmd).stdout(Stdio::piped()).spawn().context(format!("starting `{shown}`"))?;
    let (through, watched) = channel::<()>();
    let root = child.id();
    let watch = std::thread::spawn(move || {
        let late = watched.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
        if late {
            kill_tree(root);
        }
        late
    });
    let mut tally = Tally::default();
    if let Some(stdout) = child.stdout.take() {
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        // Bytes, not `lines()`: a test may print anything, and that must not stop the run.
        while reader.read_until(b'\n', &mut line).context(format!("reading from `{shown}`"))? > 0 {
            let text = String::from_utf8_lossy(&line);
            tally.feed(text.trim_end());
            let mut out = std::io::stdout().lock();
            out.write_all(&line).and_then(|()| out.flush()).context("writing to the terminal")?;
            line.clear();
        }
    }
    let status = child.wait().context(format!("waiting for `{shown}`"))?;
    drop(through);
    if watch.join().unwrap_or(false) {
        let minutes = limit.as_secs() / 60;
        return Err(Failure::new(format!(
            "a test was not through after {minutes} minutes; those above that have been running for over 60 seconds \
             and have no result are what hung"
        )));
    }
    Ok((tally, status.success()))
}

/// Kills a process and all it started. Not by its process group: that is ours, so that Ctrl-C ends everything.
fn kill_tree(root: u32) {
    // Without `ps` at least the command itself goes.
    let listed = Command::new("ps").args(["-e", "-o", "pid=,ppid="]).output();
    let listed =
        listed.map(|listed| String::from_utf8_lossy(&listed.stdout).into_owned()).unwrap_or_default();
    let pairs: Vec<(u32, u32)> = listed
        .lines()
        .filter_map(|line| {
            let mut numbers = line.split_whitespace().map(str::parse);
            Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
        })
        .collect();
    let mut doomed = vec![root];
    let mut at = 0;
    while let Some(parent) = doomed.get(at).copied() {
        doomed.extend(pairs.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    let _ = Command::new("kill").arg("-KILL").args(doomed.iter().map(u32::to_string)).status();
}

/// How a command under a time limit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Success,
    Failure,
    /// It was still running at the limit; it and all it started were killed.
    TimedOut,
}

/// Runs a command quietly in its own process group, at most for `limit`. Also returns what it printed.
pub(crate) fn limited(cmd: Cmd<'_>, limit: Duration) -> Result<(Ended, String)> {
    let shown = cmd.to_string();
    let child = Command::from(cmd)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .context(format!("starting `{shown}`"))?;
    let group = child.id();
    let (sender, receiver) = channel();
    let waiter = std::thread::spawn(move || {
        // The receiver is gone only if this program is on its way out.
        let _ = sender.send(child.wait_with_output());
    });
    let (output, timed_out) = match receiver.recv_timeout(limit) {
        Ok(output) => (output, false),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            // The whole group: the test programs that cargo started would otherwise go on and hold the pipes.
            let _ = Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).status();
            (receiver.recv().context(format!("waiting for `{shown}`"))?, true)
        }
    };
    let _ = waiter.join();
    let output = output.context(format!("waiting for `{shown}`"))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    let ended = match (timed_out, output.status.success()) {
        (true, _) => Ended::TimedOut,
        (false, true) => Ended::Success,
        (false, false) => Ended::Failure,
    };
    Ok((ended, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use xshell::{Shell, cmd};

    #[test]
    fn the_summary_lines_of_several_test_programs_add_up() {
        let mut tally = Tally::default();
        tally.feed(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.10s",
        );
        tally.feed("test a::b ... FAILED");
        tally.feed(
            "test result: FAILED. 4 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 2s",
        );
        tally.feed("unrelated: 7 passed; 7 failed");
        assert_eq!((tally.passed, tally.failed, tally.ignored), (16, 1, 1));
        assert_eq!(tally.failed_names, ["a::b"]);
    }

    #[test]
    fn a_command_that_ends_in_time_reports_its_own_result_and_output() {
        let sh = Shell::new().unwrap();
        let limit = Duration::from_secs(60);
        let (ended, text) = limited(cmd!(sh, "sh -c 'echo hello; exit 3'"), limit).unwrap();
        assert_eq!(ended, Ended::Failure);
        assert_eq!(text, "hello\n");
        assert_eq!(limited(cmd!(sh, "true"), limit).unwrap().0, Ended::Success);
    }

    #[test]
    fn tests_that_hang_are_killed_with_what_they_started() {
        let sh = Shell::new().unwrap();
        let hanging = cmd!(sh, "sh -c 'echo it begins; sh -c \"sleep 600; true\"; true'");
        let error = tests(hanging, Duration::from_millis(300)).unwrap_err();
        assert!(error.to_string().contains("was not through"), "{error}");
    }

    #[test]
    fn a_command_that_hangs_is_killed_with_its_children() {
        let sh = Shell::new().unwrap();
        // The grandchild holds the output pipe: were it not killed too, this would wait ten minutes for it.
        let (ended, _) = limited(cmd!(sh, "sh -c 'sleep 600 & wait'"), Duration::from_millis(50)).unwrap();
        assert_eq!(ended, Ended::TimedOut);
    }
}

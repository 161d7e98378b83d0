//! Servers that a chore runs beside itself. Owns that they are ready when they are used, and gone afterwards.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use xshell::Cmd;

use crate::ui::{Context as _, Failure, Result};

/// How long a server may say nothing before it is ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server. It is killed when this goes: what it stored is of no use to anybody.
#[derive(Debug)]
pub(crate) struct Background(Child);

impl Background {
    /// Starts a server and waits for the line of its output in which `ready` finds what it looks for.
    pub(crate) fn start<T>(cmd: Cmd<'_>, ready: impl Fn(&str) -> Option<T>) -> Result<(Self, T)> {
        let shown = cmd.to_string();
        let mut child = Command::from(cmd)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context(format!("starting `{shown}`"))?;
        let (sender, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            forward(stdout, sender.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            forward(stderr, sender);
        }
        let running = Self(child);
        let mut said = String::new();
        loop {
            let why = match lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    if let Some(found) = ready(&line) {
                        return Ok((running, found));
                    }
                    said.push_str(&line);
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => "is not ready, and silent",
                Err(RecvTimeoutError::Disconnected) => "ended before it was ready",
            };
            return Err(Failure::new(format!("`{shown}` {why}; it said:\n{}", said.trim_end())));
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Passes on lines, and reads on when nobody wants them: a server whose output is not read stops in the end.
fn forward(from: impl Read + Send + 'static, to: Sender<String>) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            let _ = to.send(String::from_utf8_lossy(&line).into_owned());
            line.clear();
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use xshell::{Shell, cmd};

    #[test]
    fn a_server_is_ready_when_it_says_so_and_gone_afterwards() {
        let sh = Shell::new().unwrap();
        let server = cmd!(sh, "sh -c 'echo starting; echo port=7 >&2; exec sleep 600'");
        let port = |line: &str| line.trim_end().strip_prefix("port=").map(str::to_owned);
        let (running, found) = Background::start(server, port).unwrap();
        assert_eq!(found, "7");
        let id = running.0.id().to_string();
        drop(running);
        assert!(cmd!(sh, "kill -0 {id}").quiet().ignore_stderr().run().is_err());
    }

    #[test]
    fn a_server_that_ends_at_once_is_quoted() {
        let sh = Shell::new().unwrap();
        let server = cmd!(sh, "sh -c 'echo address in use'");
        let error = Background::start(server, |_| None::<()>).unwrap_err().to_string();
        assert!(error.ends_with("ended before it was ready; it said:\naddress in use"), "{error}");
    }
}

//! The signals this process receives, in order, with where they came from. Owns the handlers.

use rustix::process::Signal;
use signal_hook::consts as c;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::iterator::{Handle, SignalsInfo};
use signal_hook::low_level::siginfo::Cause;
use tokio::sync::mpsc;

/// A signal that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// Which one.
    pub signal: Signal,
    /// Whether the kernel sent it: a key at the terminal, or its hang-up. The whole foreground group got it then.
    pub from_terminal: bool,
}

/// Signals that are passed on to a command.
const WATCHED: [i32; 7] = [c::SIGINT, c::SIGTERM, c::SIGHUP, c::SIGQUIT, c::SIGUSR1, c::SIGUSR2, c::SIGCONT];

/// The stream of received signals.
#[derive(Debug)]
pub(crate) struct Signals {
    received: mpsc::UnboundedReceiver<Received>,
    handle: Option<Handle>,
}

impl Signals {
    /// Takes over the signals from here on, except those the caller of this process has told it to ignore
    /// (`nohup`, a shell's background jobs): those stay ignored, here and in the command.
    ///
    /// # Errors
    /// The operating system's, if a handler cannot be installed.
    pub(crate) fn listen() -> std::io::Result<Self> {
        let ignored = ignored_mask(&std::fs::read_to_string("/proc/self/status").unwrap_or_default());
        let watched = WATCHED.into_iter().filter(|signal| ignored & (1 << (signal - 1)) == 0);
        let mut signals = SignalsInfo::<WithOrigin>::new(watched)?;
        let handle = signals.handle();
        let (sender, received) = mpsc::unbounded_channel();
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            for origin in signals.forever() {
                let Some(signal) = Signal::from_named_raw(origin.signal) else { continue };
                let received = Received { signal, from_terminal: matches!(origin.cause, Cause::Kernel) };
                if sender.send(received).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { received, handle: Some(handle) })
    }

    /// Signals that a test sends.
    #[cfg(test)]
    pub(crate) fn fake() -> (mpsc::UnboundedSender<Received>, Self) {
        let (sender, received) = mpsc::unbounded_channel();
        (sender, Self { received, handle: None })
    }

    /// Takes over `SIGTSTP` too. Until then the kernel stops this process by itself, which it knows best.
    ///
    /// # Errors
    /// The operating system's, if the handler cannot be installed.
    pub(crate) fn watch_stops(&self) -> std::io::Result<()> {
        self.handle.as_ref().map_or(Ok(()), |handle| handle.add_signal(c::SIGTSTP))
    }

    /// The next signal. Never ends.
    pub(crate) async fn next(&mut self) -> Received {
        match self.received.recv().await {
            Some(received) => received,
            None => std::future::pending().await,
        }
    }

    /// A signal that asks to end and has arrived already.
    pub(crate) fn pending_stop(&mut self) -> Option<Signal> {
        loop {
            let signal = self.received.try_recv().ok()?.signal;
            if asks_to_end(signal) {
                return Some(signal);
            }
        }
    }

    /// The next signal that asks a process to end.
    pub(crate) async fn next_stop(&mut self) -> Signal {
        loop {
            let signal = self.next().await.signal;
            if asks_to_end(signal) {
                return signal;
            }
        }
    }
}

/// Whether a signal is a request to end, and not one with a meaning of the command's own.
#[must_use]
pub(crate) fn asks_to_end(signal: Signal) -> bool {
    [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT].contains(&signal)
}

/// Reads the mask of ignored signals from `/proc/self/status`; nothing is ignored where there is none.
fn ignored_mask(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_status() {
        assert_eq!(ignored_mask("Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\tff\n"), 0x1001);
        assert_eq!(ignored_mask(""), 0);
    }
}

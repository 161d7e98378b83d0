//! Whether this process runs in the foreground of a terminal. Owns the choice of the command's process group.

use std::fs::File;

/// Where a command runs relative to this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grouping {
    /// In the same process group: the terminal's own signals (^C, ^\, ^Z, hang-up) reach it directly.
    Shared,
    /// In a process group of its own: it gets signals only through this process, each exactly once.
    Own,
}

impl Grouping {
    /// Shares the group in the foreground of a terminal, so that the command can read from it and ^C and ^Z work
    /// as without us; gives the command a group of its own everywhere else.
    ///
    /// Without a terminal nothing can ask for job control, but runners like to signal whole process groups: a
    /// Terraform that gets the same SIGTERM twice, once directly and once forwarded, aborts hard.
    #[must_use]
    pub(crate) fn detect() -> Self {
        let foreground = File::open("/dev/tty").ok().and_then(|tty| rustix::termios::tcgetpgrp(tty).ok());
        if foreground == Some(rustix::process::getpgrp()) { Self::Shared } else { Self::Own }
    }
}

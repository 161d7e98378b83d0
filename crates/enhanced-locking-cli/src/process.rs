//! What a long-running service asks of its own process. Owns limits and the one signal that would end it for a full disk.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Prepares the process for serving. What cannot be had is reported in the log and done without.
pub(crate) fn prepare_to_serve() {
    // A file-size limit (`ulimit -f`) ends a process by this signal; caught, the write fails like on a full disk.
    let caught = Arc::new(AtomicBool::new(false));
    if let Err(error) = signal_hook::flag::register(signal_hook::consts::signal::SIGXFSZ, caught) {
        tracing::warn!(%error, "a file-size limit will end this process");
    }
    // Every connection is an open file; the usual soft limit of 1024 is below what the service accepts.
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::debug!(%error, "the limit of open files stays as it is");
        }
    }
}

//! Ports for servers. Owns which are taken by which test process; binding them is the server's.
//!
//! Below the range that systems use for outgoing connections: a port must still be free when a killed server comes
//! back to it. A lock on a file per port keeps two test processes, and two servers of one, apart meanwhile.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};

use super::error::LaunchError;

/// The first port given out.
const FIRST: u16 = 11_000;
/// How many: no port is the bus port of another, and the last bus port is still below 32 768.
const COUNT: u16 = 10_000;
/// How far above its port a server of a cluster has its bus.
pub(super) const BUS_OFFSET: u16 = 10_000;
/// Attempts before giving up.
const ATTEMPTS: usize = 2_000;

/// A port, and the bus port above it, that no other server started by this module uses while this exists.
#[derive(Debug)]
pub(super) struct PortLease {
    port: u16,
    _lock: File,
}

impl PortLease {
    /// Takes a port that is free now.
    pub(super) fn take() -> Result<Self, LaunchError> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let dir = lock_dir();
        fs::create_dir_all(&dir).map_err(LaunchError::io(format!("making {}", dir.display())))?;
        // Processes begin at different places, so that they seldom try for the same port.
        let start = std::process::id().wrapping_mul(7919) % u32::from(COUNT);
        for _ in 0..ATTEMPTS {
            let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
            let offset = u16::try_from((start + step) % u32::from(COUNT)).unwrap_or(0);
            if let Some(lease) = Self::try_take(&dir, FIRST + offset) {
                return Ok(lease);
            }
        }
        Err(LaunchError::NoPort(ATTEMPTS))
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    fn try_take(dir: &std::path::Path, port: u16) -> Option<Self> {
        let lock = File::create(dir.join(port.to_string())).ok()?;
        lock.try_lock().ok()?;
        let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        (free(port) && free(port + BUS_OFFSET)).then_some(Self { port, _lock: lock })
    }
}

/// One folder per user: files of another user could not be locked.
fn lock_dir() -> PathBuf {
    std::env::temp_dir().join(format!("enhanced-locking-ports-{}", rustix::process::getuid().as_raw()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_port_is_given_twice_while_it_is_held() {
        let leases: Vec<_> = (0..40).map(|_| PortLease::take().unwrap()).collect();
        let ports: BTreeSet<u16> = leases.iter().map(PortLease::port).collect();
        assert_eq!(ports.len(), leases.len());
        assert!(ports.iter().all(|port| port + BUS_OFFSET < 32_768));
        let held = *ports.iter().next().unwrap();
        assert!(PortLease::try_take(&lock_dir(), held).is_none());
        drop(leases);
        assert!(PortLease::try_take(&lock_dir(), held).is_some());
    }

    #[test]
    fn a_port_that_a_stranger_uses_is_passed_over() {
        let port = PortLease::take().unwrap().port();
        let _stranger = TcpListener::bind((Ipv4Addr::LOCALHOST, port + BUS_OFFSET)).unwrap();
        assert!(PortLease::try_take(&lock_dir(), port).is_none(), "its bus port is taken");
    }
}

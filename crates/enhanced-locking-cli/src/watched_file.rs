//! A file that may change. Owns noticing it, whatever way it is replaced; what a change means is the caller's.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// How often the file is looked at.
const PERIOD: Duration = Duration::from_secs(2);

/// Compares contents instead of listening to the system: a symbolic link that is exchanged (as Kubernetes does) and
/// an editor that renames make no event on the file.
#[derive(Debug)]
pub(crate) struct WatchedFile {
    path: PathBuf,
    seen: Option<Vec<u8>>,
    ticks: tokio::time::Interval,
}

impl WatchedFile {
    /// Watches a file, which need not be there, from now on.
    pub(crate) fn new(path: PathBuf) -> Self {
        let mut ticks = interval_at(Instant::now() + PERIOD, PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let seen = std::fs::read(&path).ok();
        Self { path, seen, ticks }
    }

    /// Waits until the content is another. A file that is gone for a moment is no change. Safe to drop at any time.
    pub(crate) async fn changed(&mut self) {
        loop {
            self.ticks.tick().await;
            let now = tokio::fs::read(&self.path).await.ok();
            if now.is_some() && now != self.seen {
                self.seen = now;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn is_quiet(file: &mut WatchedFile) -> bool {
        tokio::time::timeout(PERIOD * 5, file.changed()).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn another_content_is_a_change_and_a_missing_file_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("atlantis.yaml");
        std::fs::write(&path, "a: 1").unwrap();
        let mut file = WatchedFile::new(path.clone());
        assert!(is_quiet(&mut file).await);
        std::fs::remove_file(&path).unwrap();
        assert!(is_quiet(&mut file).await);
        std::fs::write(&path, "a: 2").unwrap();
        file.changed().await;
        assert!(is_quiet(&mut file).await);
    }
}

//! Background tasks that must not stay dead. Owns starting, restarting with backoff, counting and stopping them; what they do is theirs.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Backoff;

/// How a supervised task is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskStatus {
    /// Whether it runs now; not while it is paused before a restart.
    pub running: bool,
    /// How often it was restarted.
    pub restarts: u64,
    /// Why it ended last; `None` if it never did.
    pub last_failure: Option<String>,
}

/// Starts tasks again that panic or end before they are told to.
#[derive(Debug)]
pub(crate) struct Supervisor {
    handle: Handle,
    stop: CancellationToken,
    tracker: TaskTracker,
    tasks: Arc<Mutex<Statuses>>,
}

/// How every task does, and when it was started again last.
type Statuses = BTreeMap<&'static str, (TaskStatus, Option<Instant>)>;

impl Supervisor {
    /// A task that ran this long was well: its next failure counts as the first again.
    const WELL_AFTER: Duration = Duration::from_secs(60);
    const BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(10) };

    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle, stop: CancellationToken::new(), tracker: TaskTracker::new(), tasks: Arc::default() }
    }

    /// Fires when the tasks must end.
    pub(crate) fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs a task until the stop token fires. `make` builds it anew for every start.
    pub(crate) fn run<F, Fut>(&self, name: &'static str, mut make: F)
    where
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let (handle, stop, tasks) = (self.handle.clone(), self.stop.clone(), self.tasks.clone());
        let supervise = async move {
            let mut failures = 0;
            while !stop.is_cancelled() {
                tasks.lock().entry(name).or_default().0.running = true;
                let began = Instant::now();
                let task = handle.spawn(make());
                // If this supervisor is dropped with its runtime, the task must not outlive it.
                let _abort = AbortOnDrop(task.abort_handle());
                let ended = task.await;
                if stop.is_cancelled() {
                    break;
                }
                let why = match ended {
                    Ok(()) => "it ended by itself".to_owned(),
                    Err(error) if error.is_panic() => format!("it panicked: {}", text(&*error.into_panic())),
                    Err(_) => "it was aborted".to_owned(),
                };
                failures = if began.elapsed() >= Self::WELL_AFTER { 0 } else { failures + 1 };
                tracing::error!(task = name, reason = why, "supervised task ended, starting it again");
                {
                    let mut tasks = tasks.lock();
                    let (status, at) = tasks.entry(name).or_default();
                    *status =
                        TaskStatus { running: false, restarts: status.restarts + 1, last_failure: Some(why) };
                    *at = Some(Instant::now());
                }
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(Self::BACKOFF.delay(failures)) => {}
                }
            }
            tasks.lock().entry(name).or_default().0.running = false;
        };
        self.tracker.spawn_on(supervise, &self.handle);
    }

    /// How every task is doing, by name.
    pub(crate) fn status(&self) -> BTreeMap<&'static str, TaskStatus> {
        self.tasks.lock().iter().map(|(name, (status, _))| (*name, status.clone())).collect()
    }

    /// How many tasks were restarted within the last `window`.
    pub(crate) fn restarted_within(&self, window: Duration) -> usize {
        self.tasks.lock().values().filter(|(_, at)| at.is_some_and(|at| at.elapsed() < window)).count()
    }

    /// Tells the tasks to end and waits for them.
    pub(crate) async fn finish(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The message of a panic.
pub(crate) fn text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_started_again_and_counted() {
        let supervisor = Supervisor::new(Handle::current());
        let runs = Arc::new(AtomicU32::new(0));
        let (told, mut tell) = mpsc::unbounded_channel();
        let stop = supervisor.stop_token();
        supervisor.run("flaky", move || {
            let (runs, told, stop) = (runs.clone(), told.clone(), stop.clone());
            async move {
                let run = runs.fetch_add(1, Ordering::SeqCst);
                assert!(run >= 3, "run {run} fails");
                told.send(run).expect("somebody listens");
                stop.cancelled().await;
            }
        });
        assert_eq!(tell.recv().await, Some(3));
        let status = supervisor.status()["flaky"].clone();
        assert_eq!((status.running, status.restarts), (true, 3));
        assert_eq!(status.last_failure.as_deref(), Some("it panicked: run 2 fails"));
        assert_eq!(supervisor.restarted_within(Duration::from_secs(60)), 1);
        supervisor.finish().await;
        assert!(!supervisor.status()["flaky"].running);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ends_early_is_started_again_but_not_after_the_stop() {
        let supervisor = Supervisor::new(Handle::current());
        let (told, mut tell) = mpsc::unbounded_channel();
        supervisor.run("short", move || {
            let told = told.clone();
            async move { told.send(()).expect("somebody listens") }
        });
        for _ in 0..5 {
            tell.recv().await.expect("another run");
        }
        supervisor.finish().await;
        while tell.try_recv().is_ok() {}
        assert_eq!(tell.recv().await, None, "the sender is gone with the task");
    }
}

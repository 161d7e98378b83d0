//! A disk that fills up under a running service: clients are told so and what to do, nothing acknowledged is lost,
//! reads go on, and once there is room the service goes on without a restart.
//!
//! Twice: with a limit on the size of files, and on a small file system of its own where one can be mounted.
#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests may panic")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_client::{RemoteBackend, RemoteConfig};
use enhanced_locking_foundation::{
    AcquireError, AcquireOutcome, AcquireRequest, ErrorCode, LockBackend, LockQuery, LockRecord, Metadata,
    OwnerId, ResourceKey,
};
use enhanced_locking_tests::poll::pause;
use enhanced_locking_tests::{Deadline, Done, Service, until};
use rustix::process::{Resource, Rlimit, prlimit};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

/// How many clients fill the store at once.
const CLIENTS: usize = 6;
/// How many refusals each of them wants to see.
const REFUSALS: usize = 4;

/// A request that takes several kilobytes in the store.
fn large(key: &str) -> AcquireRequest {
    let labels: BTreeMap<_, _> = (0..8).map(|label| (format!("label{label}"), "x".repeat(1_000))).collect();
    AcquireRequest::new(ResourceKey::new(key).unwrap(), OwnerId::new("filler").unwrap())
        .sticky()
        .metadata(Metadata::new(labels).unwrap())
}

async fn take(service: &RemoteBackend, request: AcquireRequest) -> Result<LockRecord, AcquireError> {
    match service.acquire(request).await? {
        AcquireOutcome::Held(record) => Ok(record),
        other => panic!("nobody else wants it: {other:?}"),
    }
}

/// Takes locks until there was no room several times; what was acknowledged, and what was refused.
async fn fill(service: &Arc<RemoteBackend>) -> (Vec<LockRecord>, Vec<AcquireRequest>) {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let service = service.clone();
        clients.spawn(async move {
            let (mut held, mut refused) = (Vec::new(), Vec::new());
            for number in 0..2_000 {
                let request = large(&format!("fill/{client}/{number:04}"));
                match take(&service, request.clone()).await {
                    Ok(record) => held.push(record),
                    Err(error) => {
                        assert_eq!(error.code(), ErrorCode::ResourceExhausted, "{error:?}");
                        assert!(error.to_string().contains("no room left; free some disk space"), "{error}");
                        refused.push(request);
                    }
                }
                if refused.len() == REFUSALS {
                    break;
                }
            }
            (held, refused)
        });
    }
    let all = clients.join_all().await;
    let (held, refused): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    (held.concat(), refused.concat())
}

/// What the service shows under `fill/`, in the order of keys.
async fn shown(service: &RemoteBackend) -> Vec<LockRecord> {
    let mut query = LockQuery { prefix: Some("fill/".to_owned()), limit: 50, ..LockQuery::default() };
    let mut all = Vec::new();
    loop {
        let page = service.locks(&query).await.unwrap();
        all.extend(page.items);
        query.cursor = page.next;
        if query.cursor.is_none() {
            return all;
        }
    }
}

fn by_key(mut records: Vec<LockRecord>) -> Vec<LockRecord> {
    records.sort_by(|a, b| a.request.key.cmp(&b.request.key));
    records
}

/// Fills the disk of a service, looks whether all holds, makes room, goes on.
fn fill_and_go_on(mut service: Service, make_room: impl FnOnce(&mut Service)) {
    service.restart();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let remote = Arc::new(RemoteBackend::new(&RemoteConfig::new(service.url())).unwrap());
    let mut at_work = Guarded::start(&service);
    let (held, refused) = runtime.block_on(fill(&remote));
    assert!(!held.is_empty(), "not even one lock had room");
    assert_eq!(refused.len(), CLIENTS * REFUSALS, "the disk was never full");
    let mut held = by_key(held);
    println!("{} locks until the disk was full", held.len());

    // Reads go on, and show what was acknowledged and nothing else.
    assert_eq!(runtime.block_on(shown(&remote)), held);
    for path in ["/healthz", "/api/enhanced-locks/queue/status", "/metrics", "/"] {
        assert_eq!(service.ask(path).unwrap().0, 200, "{path}");
    }
    let first = held[0].request.key.as_str();
    Done::of(&mut service.command(&["get", first]))
        .expect_code(0)
        .out
        .contains("filler")
        .then_some(())
        .unwrap();
    // The command says what is wrong and what to do.
    let label = format!("label={}", "x".repeat(1_000));
    let until_refused = Deadline::after(Duration::from_secs(30));
    let refusal = loop {
        let mut lock = service.command(&["lock", "--key", "one-more", "--owner", "me", "--wait", "0"]);
        (0..8).for_each(|number| {
            lock.arg("--meta").arg(format!("{number}{label}"));
        });
        let done = Done::of(&mut lock);
        if done.code != 0 || until_refused.is_over() {
            break done;
        }
        // It may be this that finds no room; then the lock is held and asked for in vain.
        let unlocked = Done::of(&mut service.command(&["unlock", "--key", "one-more", "--owner", "me"]));
        if unlocked.code != 0 {
            break unlocked;
        }
    };
    assert!(refusal.code != 0 && refusal.err.contains("EL008"), "{refusal:?}");
    assert!(refusal.err.contains("free some disk space"), "{refusal:?}");
    // A renewal that finds no room is repeated, and does no harm to the command under the lock.
    until("a renewal falls into the time without room", || at_work.elapsed() > Guarded::LEASE.mul_f64(0.45));
    assert!(at_work.is_running(), "the command lost its lock because the disk was full for a while");

    make_room(&mut service);
    Done::of(&mut service.command(&["unlock", "--key", "one-more", "--owner", "me"]));
    let again = runtime.block_on(async {
        let mut again = Vec::new();
        for request in refused {
            again.push(take(&remote, request).await.unwrap());
        }
        again
    });
    let highest = held.iter().map(|record| record.token).max().unwrap();
    assert!(again.iter().all(|record| record.token > highest), "a token was given twice");
    at_work.finish();
    held.extend(again);
    runtime.block_on(async {
        for record in held.drain(..CLIENTS) {
            remote.release(&record.grant()).await.unwrap();
        }
    });
    let held = by_key(held);
    assert_eq!(runtime.block_on(shown(&remote)), held);

    // And all of it is on the disk.
    service.kill();
    service.restart();
    // A client of its own: connections to the process that was killed are of no use.
    let remote = RemoteBackend::new(&RemoteConfig::new(service.url())).unwrap();
    let as_before = |record: &LockRecord| (record.request.clone(), record.token, record.acquired_at);
    let after = runtime.block_on(shown(&remote));
    assert_eq!(
        after.iter().map(as_before).collect::<Vec<_>>(),
        held.iter().map(as_before).collect::<Vec<_>>()
    );
    service.stop();
    assert_eq!(enhanced_locking_embedded::check(service.store()).unwrap().locks, held.len());
}

/// A command under a lock whose lease must be renewed while the disk is full.
struct Guarded {
    run: Option<Child>,
    since: Deadline,
    directory: std::path::PathBuf,
}

impl Guarded {
    const LEASE: Duration = Duration::from_secs(9);

    fn start(service: &Service) -> Self {
        let script = "touch started; while ! test -e finish; do sleep 0.05; done";
        let mut run =
            service.command(&["run", "--key", "guarded", "--lease", "9s", "--", "sh", "-c", script]);
        let log = std::fs::File::create(service.directory().join("run.log")).unwrap();
        let child = run.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let directory = service.directory().to_owned();
        let guarded = Self { run: Some(child), since: Deadline::after(Self::LEASE), directory };
        until("the command has its lock", || guarded.directory.join("started").exists());
        guarded
    }

    fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    fn is_running(&mut self) -> bool {
        self.run.as_mut().is_some_and(|run| run.try_wait().unwrap().is_none())
    }

    fn finish(&mut self) {
        std::fs::write(self.directory.join("finish"), "").unwrap();
        let status = self.run.take().unwrap().wait().unwrap();
        let said = std::fs::read_to_string(self.directory.join("run.log")).unwrap();
        assert!(status.success(), "the command under the lock ended with {status}: {said}");
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(mut run) = self.run.take() {
            let _ = run.kill();
            let _ = run.wait();
        }
    }
}

#[test]
fn files_that_may_not_grow_are_a_full_disk_until_they_may() {
    // About a megabyte. The signal that comes with the limit must not end the service.
    let service = Service::prepare().after("ulimit -S -f 2051 || exit 1");
    fill_and_go_on(service, |service| {
        let unlimited = Rlimit { current: None, maximum: None };
        let old = prlimit(Some(service.pid()), Resource::Fsize, unlimited).unwrap();
        assert!(old.current.is_some(), "there was no limit");
        // Nor when it is started again: what was written by then is longer than the limit.
        service.no_longer_after();
    });
}

/// A file system of its own, until it is dropped.
struct Disk(tempfile::TempDir);

impl Disk {
    fn mount(options: &str) -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(place.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(place)),
            Ok(output) => {
                println!("skipped: mount says {}", String::from_utf8_lossy(&output.stderr).trim());
                None
            }
            Err(error) => {
                println!("skipped: there is no mount command: {error}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_file_system_is_waited_out() {
    let Some(disk) = Disk::mount("size=1600k") else { return };
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![1; 600_000]).unwrap();
    let service = Service::prepare().data_dir(&disk.path().join("store"));
    fill_and_go_on(service, |_| {
        std::fs::remove_file(&ballast).unwrap();
        // Freed memory of a tmpfs is there at once; on real disks it may take a moment.
        pause(Duration::from_millis(1));
    });
}

//! A full disk: what was answered stays, what was not does not appear, reads go on, and so does the store once there is room.
//!
//! The disk is a small one of its own where the machine lets us mount it, and otherwise a limit on the size of files.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "the helpers of tests may panic")]

#[path = "common/child.rs"]
mod child;

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use enhanced_locking_embedded::{EmbeddedBackend, EmbeddedConfig, OpenError, check, open};
use enhanced_locking_foundation::{
    AcquireError, AcquireOutcome, AcquireRequest, BackendError, BackendErrorKind, EventCursor, EventKind,
    LockBackend, LockQuery, LockRecord, Metadata, OwnerId, RequestId, ResourceKey,
};

/// A request that takes several kilobytes.
fn request(n: usize) -> AcquireRequest {
    let labels = (0..8).map(|l| (format!("label{l}"), "x".repeat(1_000))).collect::<BTreeMap<_, _>>();
    AcquireRequest::new(ResourceKey::new(format!("key-{n:05}")).unwrap(), OwnerId::new("owner").unwrap())
        .id(RequestId::new(format!("id-{n:05}")).unwrap())
        .sticky()
        .metadata(Metadata::new(labels).unwrap())
}

fn config(directory: &Path) -> EmbeddedConfig {
    let mut config = EmbeddedConfig::new(directory);
    config.map_size = 64 << 10;
    // Both files are to meet the full disk.
    config.journal_size = 64 << 10;
    config
}

async fn take(store: &EmbeddedBackend, n: usize) -> Result<LockRecord, BackendError> {
    match store.acquire(request(n)).await {
        Ok(AcquireOutcome::Held(record)) => Ok(record),
        Err(AcquireError::Backend(error)) => Err(error),
        other => panic!("{n}: {other:?}"),
    }
}

async fn locks(store: &EmbeddedBackend) -> Vec<LockRecord> {
    let mut all = Vec::new();
    let mut query = LockQuery { limit: 1_000, ..LockQuery::default() };
    loop {
        let page = store.locks(&query).await.unwrap();
        all.extend(page.items);
        query.cursor = page.next;
        if query.cursor.is_none() {
            return all;
        }
    }
}

/// Fills the disk, looks whether all holds, makes room, goes on, and opens what is left.
async fn fill_and_go_on(directory: &Path, make_room: impl FnOnce()) {
    let store = open(config(directory)).unwrap();
    let mut held = Vec::new();
    let mut refused = Vec::new();
    for n in 0..2_000 {
        match take(&store, n).await {
            Ok(record) => held.push(record),
            Err(error) => {
                assert_eq!(error.kind(), BackendErrorKind::Full, "{error}");
                assert!(error.to_string().contains("no room left; free some disk space"), "{error}");
                let said = std::error::Error::source(&error).expect("what the system said").to_string();
                assert!(said.contains("No space left") || said.contains("File too large"), "{said}");
                refused.push(n);
            }
        }
        if refused.len() == 20 {
            break;
        }
    }
    assert!(!held.is_empty() && refused.len() == 20, "{} held, {} refused", held.len(), refused.len());
    assert_eq!(locks(&store).await, held, "reads go on and show what was answered");
    // Whatever can be said without writing still is.
    store.ping().await.unwrap();
    assert_eq!(take(&store, 0).await.unwrap(), held[0]);

    make_room();
    // A store that found no room does not look again with every change.
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    let again = loop {
        match take(&store, refused[0]).await {
            Ok(again) => break again,
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
        }
        tokio::task::yield_now().await;
    };
    assert!(held.iter().all(|before| before.token < again.token));
    held.push(again);
    for record in held.drain(..2) {
        store.release(&record.grant()).await.unwrap();
    }
    held.sort_by(|a, b| a.request.key.cmp(&b.request.key));
    assert_eq!(locks(&store).await, held);
    let events = store.events(&EventCursor::start(), 100_000).await.unwrap();
    assert!(!events.missed);
    let acquired = events.events.iter().filter(|event| event.kind == EventKind::Acquired).count();
    assert_eq!(acquired, held.len() + 2, "each once, and none of those that were refused");
    for (event, seq) in events.events.iter().zip(1..) {
        assert_eq!(event.seq, seq, "without a gap");
    }
    store.close().await.unwrap();
    assert_eq!(check(directory).unwrap().locks, held.len());

    let store = open(config(directory)).unwrap();
    assert_eq!(locks(&store).await, held);
    assert_eq!(store.events(&EventCursor::start(), 100_000).await.unwrap(), events);
    store.close().await.unwrap();
}

fn run(mut command: Command) -> String {
    let output = command.output().unwrap();
    let text = format!(
        "{}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    text
}

#[test]
fn a_file_that_may_not_grow_is_a_full_store_that_goes_on_once_it_may() {
    let directory = tempfile::tempdir().unwrap();
    let worker = child::worker("worker_reaches_its_file_size_limit");
    // In blocks of 512 bytes: one megabyte and a bit, so that the last write is cut short. A signal of its own would
    // end the process first. Soft, so that the process can raise it again.
    let mut command = Command::new("sh");
    command.arg("-c").arg("trap '' XFSZ; ulimit -S -f 2051 && exec \"$@\"").arg("sh");
    command.arg(worker.get_program()).args(worker.get_args()).env("FULL_DIRECTORY", directory.path());
    run(command);
}

#[tokio::test]
#[ignore = "run by the test above, with a limit"]
async fn worker_reaches_its_file_size_limit() {
    let directory = std::env::var("FULL_DIRECTORY").unwrap();
    let size = rustix::process::Resource::Fsize;
    fill_and_go_on(directory.as_ref(), || {
        let limit = rustix::process::getrlimit(size);
        let more = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
        rustix::process::setrlimit(size, more).unwrap();
    })
    .await;
}

/// A file system of this size, until it is dropped.
struct Disk(tempfile::TempDir);

impl Disk {
    fn mount(kib: usize) -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let size = format!("size={kib}k");
        let output =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(place.path()).output();
        match output {
            Ok(output) if output.status.success() => Some(Self(place)),
            Ok(output) => {
                println!("skipped: mount says {}", String::from_utf8_lossy(&output.stderr).trim());
                None
            }
            Err(e) => {
                println!("skipped: there is no mount command: {e}");
                None
            }
        }
    }

    fn read_only(&self) {
        let status = Command::new("mount").args(["-o", "remount,ro"]).arg(self.0.path()).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_a_full_store_that_goes_on_once_there_is_room() {
    let Some(disk) = Disk::mount(1_500) else { return };
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![1; 500_000]).unwrap();
    fill_and_go_on(&disk.0.path().join("store"), || std::fs::remove_file(&ballast).unwrap()).await;
}

#[tokio::test]
async fn a_disk_that_is_full_from_the_start_says_so_and_leaves_nothing_half_made() {
    let Some(disk) = Disk::mount(1_000) else { return };
    let ballast = disk.0.path().join("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    let error = open(config(disk.0.path())).unwrap_err();
    assert!(matches!(error, OpenError::Full { .. }), "{error}");
    assert_eq!(error.kind(), BackendErrorKind::Full);
    drop(file);
    std::fs::remove_file(&ballast).unwrap();
    let store = open(config(disk.0.path())).unwrap();
    take(&store, 1).await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_store_on_a_full_disk_can_still_be_checked() {
    let Some(disk) = Disk::mount(2_000) else { return };
    let directory = disk.0.path().join("store");
    let store = open(config(&directory)).unwrap();
    take(&store, 1).await.unwrap();
    store.close().await.unwrap();
    let mut file = std::fs::File::create(disk.0.path().join("ballast")).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    assert_eq!(check(&directory).unwrap().locks, 1);
}

#[tokio::test]
async fn a_read_only_disk_is_named_as_the_reason() {
    let Some(disk) = Disk::mount(2_000) else { return };
    open(config(disk.0.path())).unwrap().close().await.unwrap();
    disk.read_only();
    let error = open(config(disk.0.path())).unwrap_err();
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error:?}");
    assert!(error.to_string().contains("cannot be written to; make it writable"), "{error}");
}

#[test]
fn a_file_in_place_of_the_directory_is_named_as_the_reason() {
    let place = tempfile::NamedTempFile::new().unwrap();
    let error = open(config(place.path())).unwrap_err();
    assert!(matches!(error, OpenError::NotADirectory { .. }), "{error:?}");
    let text = error.to_string();
    assert_eq!(text, format!("{} is a file, not a directory; choose another", place.path().display()));
    assert!(matches!(check(place.path()), Err(OpenError::NotADirectory { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_map_grows_by_itself_under_many_writers_and_a_copy() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(config(directory.path())).unwrap();
    let mut tasks = Vec::new();
    for writer in 0..8 {
        let store = Arc::clone(&store);
        tasks.push(tokio::spawn(async move {
            for n in 0..60 {
                take(&store, writer * 1_000 + n).await.unwrap();
            }
        }));
    }
    let copy = tempfile::tempdir().unwrap();
    store.engine().backup(copy.path()).await.unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    let size = std::fs::metadata(directory.path().join("data.mdb")).unwrap().len();
    assert!(size > 4 << 20, "{size} bytes are not megabytes");
    assert_eq!(locks(&store).await.len(), 480);
    store.close().await.unwrap();
    assert_eq!(check(directory.path()).unwrap().locks, 480);
    check(copy.path()).unwrap();
}

#[tokio::test]
async fn a_file_that_others_made_longer_is_no_damage() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(config(directory.path())).unwrap();
    let held = take(&store, 1).await.unwrap();
    store.close().await.unwrap();
    // What a commit leaves that was refused half way.
    let file = std::fs::File::options().write(true).open(directory.path().join("data.mdb")).unwrap();
    file.write_all_at(&[7; 5_000], file.metadata().unwrap().len()).unwrap();
    let store = open(config(directory.path())).unwrap();
    assert_eq!(locks(&store).await, [held]);
    take(&store, 2).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(check(directory.path()).unwrap().locks, 2);
}

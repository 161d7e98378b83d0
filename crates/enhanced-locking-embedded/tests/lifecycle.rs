//! A store over its life: one process at a time, stops, restarts, copies, and a log that stays small.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "the helpers of tests may panic")]

#[path = "common/child.rs"]
mod child;
#[path = "common/picture.rs"]
mod picture;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use enhanced_locking_core::TablePolicy;
use enhanced_locking_embedded::{EmbeddedBackend, EmbeddedConfig, OpenError, check, open};
use enhanced_locking_foundation::{
    AcquireError, AcquireOutcome, AcquireRequest, BackendErrorKind, BatchOutcome, Cause, EndReason,
    EventCursor, EventKind, Lease, Limits, LockBackend, LockQuery, LockRecord, ManualClock, Metadata,
    OwnerId, Renewal, RequestId, RequestState, ResourceKey, Selector, Timestamp,
};

const START: Timestamp = Timestamp::from_micros(1_764_000_000_000_000);
const MINUTE: Duration = Duration::from_secs(60);

fn clock_at(start: Timestamp) -> Arc<ManualClock> {
    Arc::new(ManualClock::new(start))
}

fn config(directory: &Path, clock: &Arc<ManualClock>) -> EmbeddedConfig {
    let mut config = EmbeddedConfig::new(directory);
    config.map_size = 1 << 20;
    config.clock = Some(clock.clone());
    config
}

fn request(key: &str, id: &str) -> AcquireRequest {
    let owner = OwnerId::new(format!("owner of {id}")).unwrap();
    AcquireRequest::new(ResourceKey::new(key).unwrap(), owner).id(RequestId::new(id).unwrap()).sticky()
}

async fn hold(store: &EmbeddedBackend, request: AcquireRequest) -> LockRecord {
    match store.acquire(request).await.unwrap() {
        AcquireOutcome::Held(record) => record,
        other => panic!("{other:?}"),
    }
}

async fn wait(store: &EmbeddedBackend, request: AcquireRequest) {
    let outcome = store.acquire(request).await.unwrap();
    assert!(matches!(outcome, AcquireOutcome::Queued(_)), "{outcome:?}");
}

async fn holder(store: &EmbeddedBackend, key: &str) -> LockRecord {
    let view = store.resource(&ResourceKey::new(key).unwrap(), 0).await.unwrap();
    view.expect("somebody holds it").holders.remove(0)
}

// ---- the directory ----

#[tokio::test]
async fn what_a_store_makes_is_for_its_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = tempfile::tempdir().unwrap();
    let (directory, copy) = (scratch.path().join("a/data"), scratch.path().join("copy"));
    let store = open(config(&directory, &clock_at(START))).unwrap();
    hold(&store, request("k", "r")).await;
    store.engine().backup(&copy).await.unwrap();
    for place in [&directory, &copy] {
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(place), 0o700, "{}", place.display());
        let files: Vec<_> = std::fs::read_dir(place).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(files.len() > 1, "{files:?}");
        for file in files {
            assert_eq!(mode(&file), 0o600, "{}", file.display());
        }
    }
    store.close().await.unwrap();
}

// ---- one process at a time ----

#[tokio::test]
async fn a_second_process_is_told_who_has_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(EmbeddedConfig::new(directory.path())).unwrap();
    let mut command = child::worker("worker_opens_the_directory_of_another");
    command.env("LIFE_DIRECTORY", directory.path()).env("LIFE_OTHER", std::process::id().to_string());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    hold(&store, request("a", "1")).await;
    // It did not take the name of the one that has it.
    let pid = std::fs::read_to_string(directory.path().join("process.lock")).unwrap();
    assert_eq!(pid.trim(), std::process::id().to_string());
}

#[test]
#[ignore = "run by the test above, as the second process"]
fn worker_opens_the_directory_of_another() {
    let (directory, other) = (std::env::var("LIFE_DIRECTORY").unwrap(), std::env::var("LIFE_OTHER").unwrap());
    let wanted = format!("is in use by process {other}; stop that process or choose another data directory");
    for error in [open(EmbeddedConfig::new(&directory)).unwrap_err(), check(directory.as_ref()).unwrap_err()]
    {
        assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
        assert!(error.to_string().ends_with(&wanted), "{error}");
    }
}

#[tokio::test]
async fn a_directory_is_free_again_once_its_store_is_closed_or_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let clock = clock_at(START);
    let first = open(config(directory.path(), &clock)).unwrap();
    let held = hold(&first, request("a", "1")).await;
    assert!(matches!(open(config(directory.path(), &clock)), Err(OpenError::InUse { .. })));
    drop(first);
    let second = open(config(directory.path(), &clock)).unwrap();
    assert_eq!(holder(&second, "a").await, held);
    second.close().await.unwrap();
    // The closed one is still there; it takes and tells nothing any more.
    let third = open(config(directory.path(), &clock)).unwrap();
    let refused = second.acquire(request("b", "2")).await.unwrap_err();
    assert!(matches!(refused, AcquireError::Backend(e) if e.kind() == BackendErrorKind::Closed));
    assert_eq!(second.stats().await.unwrap_err().kind(), BackendErrorKind::Closed);
    second.close().await.unwrap();
    drop(second);
    assert_eq!(holder(&third, "a").await, held);
}

#[test]
fn checking_wants_a_store_and_makes_none() {
    let directory = tempfile::tempdir().unwrap();
    let nothing = directory.path().join("nothing");
    assert!(matches!(check(&nothing), Err(OpenError::Missing { .. })));
    assert!(!nothing.exists());
    let error = check(directory.path()).unwrap_err();
    assert!(error.to_string().ends_with("has no store; name the data directory of the service"), "{error}");
    assert!(!directory.path().join("data.mdb").exists());
}

#[tokio::test]
async fn changes_under_way_when_the_store_is_closed_are_answered() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(EmbeddedConfig::new(directory.path())).unwrap();
    let mut tasks = Vec::new();
    for n in 0..200 {
        let store = Arc::clone(&store);
        let key = format!("key-{n:03}");
        tasks.push(tokio::spawn(async move { (key.clone(), store.acquire(request(&key, &key)).await) }));
    }
    tokio::task::yield_now().await;
    store.close().await.unwrap();
    let mut held = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            (key, Ok(AcquireOutcome::Held(_))) => held.push(key),
            (_, Err(AcquireError::Backend(error))) => assert_eq!(error.kind(), BackendErrorKind::Closed),
            other => panic!("{other:?}"),
        }
    }
    let store = open(EmbeddedConfig::new(directory.path())).unwrap();
    let locks = store.locks(&LockQuery { limit: 1_000, ..LockQuery::default() }).await.unwrap();
    let there: Vec<String> = locks.items.iter().map(|lock| lock.request.key.to_string()).collect();
    assert_eq!(there, held, "those that were answered, and no others");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_waits_for_ever_for_a_store_that_closes_at_that_moment() {
    for round in 0..150 {
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let store = open(EmbeddedConfig::new(directory.path())).unwrap();
        let mut callers = Vec::new();
        for _ in 0..4 {
            let store = Arc::clone(&store);
            callers.push(tokio::spawn(async move {
                loop {
                    if let Err(error) = store.ping().await {
                        assert_eq!(error.kind(), BackendErrorKind::Closed);
                        return;
                    }
                }
            }));
        }
        for _ in 0..round % 7 * 10 {
            tokio::task::yield_now().await;
        }
        store.close().await.unwrap();
        for caller in callers {
            let answered = tokio::time::timeout(MINUTE, caller).await;
            answered.unwrap_or_else(|_| panic!("round {round}: a caller hangs")).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_go_away_leave_no_trouble_behind() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(EmbeddedConfig::new(directory.path())).unwrap();
    // More than fit in the way to the writer, each given up at once.
    for round in 0..2 {
        let mut tasks = Vec::new();
        for n in 0..6_000 {
            let store = Arc::clone(&store);
            let key = format!("{round}-{n}");
            tasks.push(tokio::spawn(async move { drop(store.acquire(request(&key, &key)).await) }));
        }
        tokio::task::yield_now().await;
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
        // Whoever stays is served, and never told that the store is closed.
        hold(&store, request(&format!("stays-{round}"), &format!("stays-{round}"))).await;
    }
    store.close().await.unwrap();
    check(directory.path()).unwrap();
}

// ---- restarts ----

#[tokio::test]
async fn a_restart_keeps_holders_lines_tokens_events_and_the_memory_of_ends() {
    let directory = tempfile::tempdir().unwrap();
    let clock = clock_at(START);
    let store = open(config(directory.path(), &clock)).unwrap();
    hold(&store, request("a", "a1")).await;
    for id in ["a2", "a3", "a4"] {
        clock.advance(Duration::from_millis(1));
        wait(&store, request("a", id)).await;
    }
    store.cancel(&request("a", "a3").ticket(), None, EndReason::Cancelled, Cause::none()).await.unwrap();
    store.cancel(&request("z", "never").ticket(), None, EndReason::Abandoned, Cause::none()).await.unwrap();
    let over = hold(&store, request("b", "b1")).await;
    store.release(&over.grant()).await.unwrap();
    for id in ["s1", "s2"] {
        hold(&store, request("shared", id).shared()).await;
    }
    let ids = || ["a1", "a2", "a3", "a4", "b1", "never", "s1"].map(|id| RequestId::new(id).unwrap());
    let before = picture::picture(&store, ids()).await;
    let end = store.events_end().await.unwrap();
    store.close().await.unwrap();

    let store = open(config(directory.path(), &clock)).unwrap();
    assert_eq!(picture::picture(&store, ids()).await, before);
    assert_eq!(store.events_end().await.unwrap(), end);
    let finished = store.acquire(request("b", "b1")).await.unwrap_err();
    assert!(matches!(finished, AcquireError::Finished { .. }), "{finished}");
    let refused = store.acquire(request("z", "never")).await.unwrap_err();
    assert!(matches!(refused, AcquireError::Finished { .. }), "{refused}");
    // The line goes on in its order, the events without a gap.
    store.release(&holder(&store, "a").await.grant()).await.unwrap();
    assert_eq!(holder(&store, "a").await.request.id.as_str(), "a2");
    let page = store.events(&end, 10).await.unwrap();
    assert!(!page.missed);
    let kinds: Vec<&str> = page.events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["released", "granted"]);
}

#[tokio::test]
async fn ends_are_remembered_beyond_a_restart_although_their_events_are_gone() {
    let directory = tempfile::tempdir().unwrap();
    let clock = clock_at(START);
    let mut config = config(directory.path(), &clock);
    let limits = Limits { events: 10, finished: 40, ..Limits::default() };
    config.policy = TablePolicy { limits, ..TablePolicy::default() };
    let store = open(config.clone()).unwrap();
    let renewed = hold(&store, request("r", "r").lease(Lease::For(MINUTE))).await;
    for n in 0..100 {
        let held = hold(&store, request("a", &format!("{n:03}"))).await;
        store.release(&held.grant()).await.unwrap();
        store.renew(vec![Renewal { grant: renewed.grant(), lease: None }]).await.unwrap();
    }
    store.close().await.unwrap();
    let store = open(config).unwrap();
    for n in 0..100 {
        let state = store.find(&RequestId::new(format!("{n:03}")).unwrap()).await.unwrap();
        let remembered = matches!(state, Some((_, RequestState::Finished(_))));
        assert_eq!(remembered, n >= 60, "{n}: {state:?}");
    }
}

#[tokio::test]
async fn after_a_restart_every_lease_and_claim_begins_anew() {
    let directory = tempfile::tempdir().unwrap();
    let clock = clock_at(START);
    let store = open(config(directory.path(), &clock)).unwrap();
    let lease = Lease::For(MINUTE);
    hold(&store, request("a", "a1").lease(lease)).await;
    let before = hold(&store, request("b", "b1")).await;
    wait(&store, request("b", "b2").lease(lease)).await;
    store.release(&before.grant()).await.unwrap();
    wait(&store, request("a", "a2").lease(lease)).await;
    store.close().await.unwrap();

    clock.advance(10 * MINUTE);
    let now = START.plus(10 * MINUTE);
    let store = open(config(directory.path(), &clock)).unwrap();
    assert_eq!(holder(&store, "a").await.expires_at, Some(now.plus(MINUTE)));
    let unclaimed = holder(&store, "b").await;
    assert_eq!(
        (unclaimed.request.id.as_str(), unclaimed.claim_by),
        ("b2", Some(now.plus(Duration::from_secs(5))))
    );
    assert_eq!(store.sweep(100).await.unwrap().ended, 0);
    let events = store.events(&EventCursor::start(), 100).await.unwrap().events;
    assert_eq!(events.last().map(|event| &event.kind), Some(&EventKind::Resumed { extended: 3 }));
    // And then they end.
    clock.advance(MINUTE);
    assert!(store.sweep(100).await.unwrap().ended >= 2);
}

#[tokio::test]
async fn a_clock_that_was_set_back_moves_neither_tokens_nor_time_back() {
    let directory = tempfile::tempdir().unwrap();
    let clock = clock_at(START);
    let store = open(config(directory.path(), &clock)).unwrap();
    let first = hold(&store, request("a", "1").lease(Lease::For(MINUTE))).await;
    store.close().await.unwrap();

    let clock = clock_at(Timestamp::from_micros(START.as_micros() - 86_400_000_000));
    let store = open(config(directory.path(), &clock)).unwrap();
    assert!(store.now().await.unwrap() >= START);
    let second = hold(&store, request("b", "2")).await;
    assert!(second.token > first.token && second.acquired_at >= first.acquired_at, "{second:?}");
    // It does not stand still either: the lease ends after its time.
    clock.advance(2 * MINUTE);
    assert_eq!(store.sweep(10).await.unwrap().ended, 1);
    assert!(store.now().await.unwrap() >= START.plus(2 * MINUTE));
}

// ---- copies ----

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_made_while_others_write_has_all_that_was_answered_before() {
    let directory = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let store = open(EmbeddedConfig::new(directory.path())).unwrap();
    let acknowledged: Arc<Vec<AtomicUsize>> = Arc::new((0..8).map(|_| AtomicUsize::new(0)).collect());
    let stop = Arc::new(tokio::sync::Notify::new());
    let mut writers = Vec::new();
    for writer in 0..8 {
        let (store, acknowledged) = (Arc::clone(&store), Arc::clone(&acknowledged));
        let stop = Arc::clone(&stop);
        writers.push(tokio::spawn(async move {
            let stopped = stop.notified();
            tokio::pin!(stopped);
            for n in 0.. {
                tokio::select! {
                    biased;
                    () = &mut stopped => return,
                    _ = hold(&store, request(&format!("{writer}/{n:06}"), &format!("{writer}-{n:06}"))) => {}
                }
                acknowledged[writer].store(n + 1, Ordering::SeqCst);
            }
        }));
    }
    while acknowledged.iter().any(|n| n.load(Ordering::SeqCst) < 5) {
        assert!(!writers.iter().any(tokio::task::JoinHandle::is_finished), "a writer has failed");
        tokio::task::yield_now().await;
    }
    let before: Vec<usize> = acknowledged.iter().map(|n| n.load(Ordering::SeqCst)).collect();
    store.engine().backup(copy.path()).await.unwrap();
    let exists = store.engine().backup(copy.path()).await.unwrap_err();
    assert!(matches!(exists, OpenError::Exists { .. }), "{exists}");
    stop.notify_waiters();
    for writer in writers {
        writer.await.unwrap();
    }
    let events = store.events(&EventCursor::start(), usize::MAX).await.unwrap();
    store.close().await.unwrap();

    let report = check(copy.path()).unwrap();
    assert!(report.locks >= before.iter().sum::<usize>(), "{report:?} of {before:?}");
    assert!(!copy.path().join("data.mdb.part").exists());
    let copied = open(EmbeddedConfig::new(copy.path())).unwrap();
    for (writer, count) in before.iter().enumerate() {
        for n in 0..*count {
            holder(&copied, &format!("{writer}/{n:06}")).await;
        }
    }
    // It is a beginning of the history: its events are the first ones, and nothing else.
    let copied_events = copied.events(&EventCursor::start(), usize::MAX).await.unwrap();
    assert!(!copied_events.missed && copied_events.events.len() == report.locks);
    assert_eq!(copied_events.events[..], events.events[..copied_events.events.len()]);
}

#[tokio::test]
async fn a_restored_copy_keeps_tokens_rising() {
    let directory = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let clock = clock_at(START);
    let store = open(config(directory.path(), &clock)).unwrap();
    hold(&store, request("a", "1")).await;
    store.engine().backup(copy.path()).await.unwrap();
    clock.advance(MINUTE);
    let newest = hold(&store, request("b", "2")).await;
    let cursor = store.events_end().await.unwrap();
    store.close().await.unwrap();

    for file in ["data.mdb", "journal"] {
        std::fs::copy(copy.path().join(file), directory.path().join(file)).unwrap();
    }
    clock.advance(MINUTE);
    let store = open(config(directory.path(), &clock)).unwrap();
    assert!(hold(&store, request("b", "3")).await.token > newest.token);
    // Whoever has read further than the copy goes is told to look at the whole.
    store.close().await.unwrap();
    let events = open(config(copy.path(), &clock)).unwrap().events(&cursor, 10).await.unwrap();
    assert!(events.missed);
}

#[tokio::test]
async fn a_copy_of_a_closed_store_or_into_nowhere_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(EmbeddedConfig::new(directory.path())).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = store.engine().backup(file.path()).await.unwrap_err();
    assert!(error.to_string().contains(&file.path().display().to_string()), "{error}");
    store.close().await.unwrap();
    let error = store.engine().backup(&directory.path().join("copy")).await.unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("the store is closed"));
}

// ---- the log ----

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_stays_small_however_much_is_done() {
    const CALLERS: usize = 1_000;
    let rounds: usize = std::env::var("LIFE_ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(200);
    let directory = tempfile::tempdir().unwrap();
    let mut config = EmbeddedConfig::new(directory.path());
    let limits = Limits { events: 10_000, finished: 10_000, ..Limits::default() };
    config.policy = TablePolicy { limits, ..TablePolicy::default() };
    config.journal_size = 1 << 20;
    let store = open(config.clone()).unwrap();
    let size = || std::fs::metadata(directory.path().join("data.mdb")).unwrap().len();
    let mut sizes = Vec::new();
    for part in 0..4 {
        let mut tasks = Vec::new();
        for caller in 0..CALLERS {
            let store = Arc::clone(&store);
            tasks.push(tokio::spawn(async move {
                for n in 0..rounds / 4 {
                    let held =
                        hold(&store, request(&format!("key-{caller}"), &format!("{part}-{caller}-{n}")))
                            .await;
                    store.release(&held.grant()).await.unwrap();
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        sizes.push(size());
    }
    println!("after {} pairs each: {sizes:?} bytes", rounds / 4 * CALLERS);
    assert!(sizes[3] <= sizes[0] * 5 / 4, "it grows: {sizes:?}");
    let journal = std::fs::metadata(directory.path().join("journal")).unwrap().len();
    assert!(journal < 4 << 20, "the journal has {journal} bytes");
    let end = store.events_end().await.unwrap();
    let events = store.events(&EventCursor::start(), usize::MAX).await.unwrap();
    assert!(events.missed && events.events.len() == 10_000);
    store.close().await.unwrap();

    let store = open(config).unwrap();
    assert_eq!(store.events_end().await.unwrap(), end);
    assert_eq!(store.events(&EventCursor::start(), usize::MAX).await.unwrap(), events);
    hold(&store, request("after", "after")).await;
    let next = store.events(&end, 10).await.unwrap();
    assert!(!next.missed && next.events[0].seq == end.seen(0) + 1);
    store.close().await.unwrap();
    check(directory.path()).unwrap();
}

#[tokio::test]
async fn a_store_that_grows_and_shrinks_by_thousands_at_a_time_stays_sound() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path(), &clock_at(START));
    // The log is read at every opening; a short one says as much.
    let limits = Limits { events: 500, finished: 500, ..Limits::default() };
    config.policy = TablePolicy { limits, ..TablePolicy::default() };
    let owner = |n: usize| OwnerId::new(format!("owner-{n}")).unwrap();
    for round in 0..2 {
        let store = open(config.clone()).unwrap();
        for batch in 0..8 {
            let requests = (0..400).map(|n| {
                // Keys and labels of all lengths, so that nodes of all sizes come and go in no order.
                let mixed = (n * 7_919 + batch * 104_729 + round * 31) % 1_009;
                let key = format!("{mixed:04}/{}/{batch}-{n}", "k".repeat(mixed % 300));
                let labels = (0..mixed % 4).map(|l| (format!("l{l}"), "v".repeat(mixed)));
                AcquireRequest::new(ResourceKey::new(key).unwrap(), owner(batch))
                    .sticky()
                    .metadata(Metadata::new(labels.collect()).unwrap())
            });
            let outcome = store.acquire_all(requests.collect()).await.unwrap();
            assert!(matches!(outcome, BatchOutcome::Held(_)), "{outcome:?}");
        }
        store.close().await.unwrap();
        assert_eq!(check(directory.path()).unwrap().locks, 3_200);

        // One commit that frees more pages than one page of the free list can name.
        let store = open(config.clone()).unwrap();
        let clear = |batch| {
            let store = Arc::clone(&store);
            async move { store.clear(&Selector::Owner(owner(batch)), Cause::none()).await.unwrap() }
        };
        let cleared = tokio::join!(clear(0), clear(2), clear(4), clear(6), clear(7));
        assert_eq!(cleared.0.released.len(), 400);
        store.close().await.unwrap();
        assert_eq!(check(directory.path()).unwrap().locks, 1_200);

        let store = open(config.clone()).unwrap();
        for batch in [1, 3, 5] {
            store.clear(&Selector::Owner(owner(batch)), Cause::none()).await.unwrap();
        }
        store.close().await.unwrap();
        assert_eq!(check(directory.path()).unwrap().locks, 0);
    }
}

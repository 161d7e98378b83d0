//! What callers see when a commit fails, when it only seems to, and when the writer breaks down. The faults are planted in `journal` and `env`.

use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_core::backend::Engine;
use enhanced_locking_foundation::{
    AcquireError, AcquireOutcome, AcquireRequest, BackendError, BackendErrorKind, DocumentName,
    DocumentOutcome, DocumentStore, DocumentUpdate, EventCursor, EventKind, Lease, LockBackend, LockEvent,
    LockRecord, ManualClock, OwnerId, RequestId, RequestState, ResourceKey, Timestamp,
};

use crate::faults::Fault;
use crate::{EmbeddedBackend, EmbeddedConfig, check, open};

struct Bench {
    store: Arc<EmbeddedBackend>,
    directory: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_764_000_000_000_000)));
        let store = open(config(&directory, &clock)).unwrap();
        Self { store, directory, clock }
    }

    fn plant(&self, faults: &[Fault]) {
        self.store.engine().map().unwrap().faults.plant(faults);
    }

    async fn acquire(&self, key: &str, id: &str) -> Result<AcquireOutcome, BackendErrorKind> {
        acquire(&self.store, key, id).await
    }

    async fn held(&self, key: &str, id: &str) -> LockRecord {
        match self.acquire(key, id).await {
            Ok(AcquireOutcome::Held(record)) => record,
            other => panic!("{other:?}"),
        }
    }

    async fn holders(&self, key: &str) -> Vec<String> {
        let view = self.store.resource(&ResourceKey::new(key).unwrap(), 10).await.unwrap();
        view.map_or(Vec::new(), |view| {
            let holders = view.holders.iter().map(|holder| holder.request.id.to_string());
            holders.chain(view.waiters.iter().map(|waiter| format!("waits: {}", waiter.request.id))).collect()
        })
    }

    /// All events, which have no gap and no double.
    async fn events(&self) -> Vec<LockEvent> {
        let page = self.store.events(&EventCursor::start(), 1_000).await.unwrap();
        assert!(!page.missed);
        let seqs: Vec<u64> = page.events.iter().map(|event| event.seq).collect();
        assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "{:?}", page.events);
        page.events
    }

    /// Closes and opens again: the same locks and events, and a sound file.
    async fn restarts_the_same(mut self, keys: &[&str]) {
        let mut before = Vec::new();
        for key in keys {
            before.push(self.holders(key).await);
        }
        let events = self.events().await;
        self.store.close().await.unwrap();
        check(self.directory.path()).unwrap();
        self.store = open(config(&self.directory, &self.clock)).unwrap();
        for (key, before) in keys.iter().zip(before) {
            assert_eq!(self.holders(key).await, before, "{key}");
        }
        assert_eq!(self.events().await[..events.len()], events[..]);
    }
}

fn config(directory: &tempfile::TempDir, clock: &Arc<ManualClock>) -> EmbeddedConfig {
    let mut config = EmbeddedConfig::new(directory.path());
    config.map_size = 1 << 20;
    config.journal_size = 128 << 10;
    config.clock = Some(clock.clone());
    config
}

fn request(key: &str, id: &str) -> AcquireRequest {
    AcquireRequest::new(ResourceKey::new(key).unwrap(), OwnerId::new(format!("owner of {id}")).unwrap())
        .id(RequestId::new(id).unwrap())
        .lease(Lease::For(Duration::from_secs(60)))
}

async fn acquire(store: &EmbeddedBackend, key: &str, id: &str) -> Result<AcquireOutcome, BackendErrorKind> {
    store.acquire(request(key, id)).await.map_err(|error| match error {
        AcquireError::Backend(error) => error.kind(),
        other => panic!("{other}"),
    })
}

/// Lets changes gather behind one that waits in the writer, so that they share a batch. It goes on once the result
/// is dropped.
async fn block(store: &Arc<EmbeddedBackend>) -> std::sync::mpsc::Sender<()> {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (entered, is_in) = tokio::sync::oneshot::channel();
    let store = Arc::clone(store);
    tokio::spawn(async move {
        let blocks = store.engine().submit(move |_, _| {
            entered.send(()).unwrap();
            let _ = wait.recv();
        });
        blocks.await.unwrap();
    });
    is_in.await.unwrap();
    go
}

/// Lets what was spawned go as far as it can, the writer included.
async fn settle(store: &EmbeddedBackend) {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    store.ping().await.unwrap();
}

#[tokio::test]
async fn a_refused_commit_is_taken_back_and_the_store_goes_on() {
    let bench = Bench::new();
    let first = bench.held("a", "1").await;
    bench.clock.advance(Duration::from_secs(1));
    bench.plant(&[Fault::Refused, Fault::Refused]);
    assert_eq!(bench.acquire("b", "2").await, Err(BackendErrorKind::Full));
    assert_eq!(bench.holders("b").await, [""; 0]);
    assert_eq!(bench.acquire("a", "3").await, Err(BackendErrorKind::Full));
    assert_eq!(bench.holders("a").await, ["1"]);
    assert_eq!(bench.events().await.len(), 1, "what was taken back was never told");

    // The same request again is a new one: nothing remembers it.
    let second = bench.held("b", "2").await;
    assert!(second.token > first.token);
    let kinds: Vec<EventKind> = bench.events().await.into_iter().map(|event| event.kind).collect();
    // Reading the table again gives leases their full time anew, and says so once it is on disk.
    assert_eq!(kinds, [EventKind::Acquired, EventKind::Resumed { extended: 1 }, EventKind::Acquired]);
    bench.restarts_the_same(&["a", "b"]).await;
}

#[tokio::test]
async fn a_commit_that_failed_and_happened_all_the_same_is_an_unknown_outcome() {
    let bench = Bench::new();
    bench.held("a", "1").await;
    let cursor = bench.store.events_end().await.unwrap();
    bench.clock.advance(Duration::from_secs(1));
    bench.plant(&[Fault::Happened, Fault::Irrevocable]);
    assert_eq!(bench.acquire("b", "2").await, Err(BackendErrorKind::Indeterminate));
    assert_eq!(bench.holders("b").await, ["2"]);
    let told = bench.store.events(&cursor, 10).await.unwrap();
    assert_eq!(told.events.len(), 1, "it happened, so it is told, once: {:?}", told.events);
    // Asking again by the request id finds out.
    let again = bench.held("b", "2").await;
    assert_eq!(Some(again.token), told.events[0].token);
    bench.held("c", "3").await;
    let kinds: Vec<EventKind> = bench.events().await.into_iter().map(|event| event.kind).collect();
    let resumed = EventKind::Resumed { extended: 1 };
    assert_eq!(kinds, [EventKind::Acquired, EventKind::Acquired, resumed, EventKind::Acquired]);
    bench.restarts_the_same(&["a", "b", "c"]).await;
}

#[tokio::test]
async fn a_document_is_as_its_newest_commit_says_whatever_became_of_later_ones() {
    let bench = Bench::new();
    let (store, name) = (&bench.store, DocumentName::new("a").unwrap());
    let write = |text: &str| DocumentUpdate::write(text.as_bytes().to_vec());
    store.put_document(&name, write("one")).await.unwrap();
    bench.plant(&[Fault::Refused, Fault::Refused]);
    for refused in [write("two"), DocumentUpdate::delete()] {
        let error = store.put_document(&name, refused).await.unwrap_err();
        assert_eq!(error.kind(), BackendErrorKind::Full);
        assert_eq!(store.document(&name).await.unwrap().unwrap(), b"one");
    }
    bench.plant(&[Fault::Happened, Fault::Irrevocable]);
    let unknown = store.put_document(&name, write("three")).await.unwrap_err();
    assert!(unknown.is_indeterminate(), "{unknown}");
    assert_eq!(store.document(&name).await.unwrap().unwrap(), b"three");
    // What was taken back does not come back with a later commit.
    let put = store.put_document(&name, write("four").if_was(Some(b"three".to_vec()))).await;
    assert_eq!(put.unwrap(), DocumentOutcome::Done { existed: true });
    store.close().await.unwrap();
    assert_eq!(check(bench.directory.path()).unwrap().documents, 1);
    let store = open(config(&bench.directory, &bench.clock)).unwrap();
    assert_eq!(store.document(&name).await.unwrap().unwrap(), b"four");
}

#[tokio::test]
async fn a_batch_fails_as_a_whole_and_so_does_a_question_in_it() {
    let bench = Bench::new();
    let held = bench.held("a", "1").await;
    bench.acquire("a", "2").await.unwrap();
    bench.plant(&[Fault::Refused]);
    let go = block(&bench.store).await;
    let mut tasks = Vec::new();
    for n in 0..5 {
        let store = Arc::clone(&bench.store);
        let key = format!("k{n}");
        tasks.push(tokio::spawn(async move { acquire(&store, &key, &key).await.map(drop) }));
    }
    let (store, grant) = (Arc::clone(&bench.store), held.grant());
    let release = tokio::spawn(async move { store.release(&grant).await.map(drop) });
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    drop(go);
    for task in tasks {
        assert_eq!(task.await.unwrap(), Err(BackendErrorKind::Full));
    }
    release.await.unwrap().unwrap_err();
    assert_eq!(bench.holders("a").await, ["1", "waits: 2"], "the hand-off was taken back with the release");
    assert_eq!(bench.holders("k3").await, [""; 0]);
    bench.store.release(&held.grant()).await.unwrap();
    assert_eq!(bench.holders("a").await, ["2"]);
    bench.restarts_the_same(&["a", "k0"]).await;
}

#[tokio::test]
async fn who_waits_for_a_turn_hears_of_a_hand_off_after_a_failed_one() {
    let bench = Bench::new();
    let held = bench.held("a", "1").await;
    bench.acquire("a", "2").await.unwrap();
    let (store, ticket) = (Arc::clone(&bench.store), request("a", "2").ticket());
    let turn = tokio::spawn(async move { store.await_turn(&ticket, Duration::from_secs(600)).await });
    settle(&bench.store).await;
    bench.plant(&[Fault::Refused]);
    bench.store.release(&held.grant()).await.unwrap_err();
    bench.store.release(&held.grant()).await.unwrap();
    let turn = tokio::time::timeout(Duration::from_secs(60), turn).await.expect("it was woken").unwrap();
    assert!(matches!(turn, Ok(RequestState::Held(record)) if record.token > held.token));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_never_see_what_was_taken_back() {
    let bench = Bench::new();
    let reader = {
        let store = Arc::clone(&bench.store);
        tokio::spawn(async move {
            let key = ResourceKey::new("a").unwrap();
            let mut seen = 0;
            // Closed at the end of the test.
            while let Ok(view) = store.resource(&key, 0).await {
                let holder = view.map(|view| view.holders[0].request.id.to_string());
                assert!(!holder.as_ref().is_some_and(|id| id.starts_with("refused")), "{holder:?}");
                seen += 1;
                tokio::task::yield_now().await;
            }
            seen
        })
    };
    for n in 0..150 {
        bench.plant(&[Fault::Refused]);
        let refused = bench.acquire("a", &format!("refused-{n}")).await;
        assert_eq!(refused, Err(BackendErrorKind::Full));
        let held = bench.held("a", &format!("held-{n}")).await;
        bench.store.release(&held.grant()).await.unwrap();
    }
    bench.events().await;
    bench.store.close().await.unwrap();
    assert!(reader.await.unwrap() > 0);
}

async fn is_unusable(bench: &Bench, kind: BackendErrorKind, text: &str) {
    let says = |error: &BackendError| {
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(text), "{error}");
    };
    assert_eq!(bench.acquire("z", "z").await, Err(kind));
    says(&bench.store.ping().await.unwrap_err());
    says(&bench.store.stats().await.unwrap_err());
    says(&bench.store.resource(&ResourceKey::new("a").unwrap(), 1).await.unwrap_err());
    says(&bench.store.now().await.unwrap_err());
}

#[tokio::test]
async fn a_store_that_cannot_be_read_again_is_unusable_and_says_so() {
    let mut bench = Bench::new();
    bench.held("a", "1").await;
    bench.plant(&[Fault::Refused, Fault::Unreadable]);
    assert_eq!(bench.acquire("b", "2").await, Err(BackendErrorKind::Indeterminate));
    is_unusable(&bench, BackendErrorKind::Unavailable, "mend the disk and restart the service").await;
    // It has let go of its directory: a restart is all it takes.
    bench.store.close().await.unwrap();
    bench.store = open(config(&bench.directory, &bench.clock)).unwrap();
    assert_eq!(bench.holders("a").await, ["1"]);
    assert_eq!(bench.holders("b").await, [""; 0]);
    bench.restarts_the_same(&["a", "b"]).await;
}

#[tokio::test]
async fn a_failed_commit_that_cannot_be_taken_off_the_journal_is_an_unknown_outcome() {
    let bench = Bench::new();
    bench.held("a", "1").await;
    // It is not there now, and may come to be there.
    bench.plant(&[Fault::Refused, Fault::Irrevocable]);
    assert_eq!(bench.acquire("b", "2").await, Err(BackendErrorKind::Indeterminate));
    is_unusable(&bench, BackendErrorKind::Unavailable, "mend the disk and restart the service").await;

    // It is there, but the data file cannot say so.
    let bench = Bench::new();
    bench.held("a", "1").await;
    bench.plant(&[Fault::Happened, Fault::Irrevocable, Fault::Unmovable]);
    assert_eq!(bench.acquire("b", "2").await, Err(BackendErrorKind::Indeterminate));
    is_unusable(&bench, BackendErrorKind::Unavailable, "mend the disk and restart the service").await;
}

#[tokio::test]
async fn a_checkpoint_that_may_come_to_be_on_disk_stops_the_store() {
    let mut bench = Bench::new();
    bench.held("a", "1").await;
    // The map failed in naming its new state, and does not answer any more.
    bench.plant(&[Fault::Unmovable, Fault::Unreadable]);
    let copy = tempfile::tempdir().unwrap();
    bench.store.engine().backup(copy.path()).await.unwrap_err();
    is_unusable(&bench, BackendErrorKind::Unavailable, "mend the disk and restart the service").await;
    bench.store.close().await.unwrap();
    bench.store = open(config(&bench.directory, &bench.clock)).unwrap();
    assert_eq!(bench.holders("a").await, ["1"]);
    bench.restarts_the_same(&["a"]).await;
}

#[tokio::test]
async fn a_journal_that_loses_what_was_answered_is_never_moved() {
    let bench = Bench::new();
    for n in 0..3 {
        bench.held(&format!("k{n}"), &format!("{n}")).await;
    }
    let journal = bench.directory.path().join("journal");
    std::fs::File::options().write(true).open(&journal).unwrap().set_len(0).unwrap();
    let copy = tempfile::tempdir().unwrap();
    let error = bench.store.engine().backup(copy.path()).await.unwrap_err();
    assert!(error.to_string().contains("journal is damaged"), "{error}");
    assert_eq!(std::fs::read_dir(copy.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_journal_that_had_to_be_long_is_short_again() {
    let bench = Bench::new();
    let mut all = Vec::new();
    for n in 0..8_000 {
        let request = request(&format!("key-{n}"), &format!("id-{n}"));
        all.push(AcquireRequest { owner: OwnerId::new("one").unwrap(), ..request });
    }
    for some in all.chunks(1_000) {
        bench.store.acquire_all(some.to_vec()).await.unwrap();
    }
    let selector = enhanced_locking_foundation::Selector::Owner(OwnerId::new("one").unwrap());
    let cause = enhanced_locking_foundation::Cause::none();
    bench.store.clear(&selector, cause).await.unwrap();
    let length = || std::fs::metadata(bench.directory.path().join("journal")).unwrap().len();
    assert!(length() > 1 << 20, "{}", length());
    bench.store.close().await.unwrap();
    assert_eq!(length(), 256 << 10);
    assert_eq!(check(bench.directory.path()).unwrap().locks, 0);
}

#[tokio::test]
async fn a_journal_that_cannot_be_moved_goes_on_and_is_moved_later() {
    let bench = Bench::new();
    bench.held("a", "1").await;
    let copy = tempfile::tempdir().unwrap();
    bench.plant(&[Fault::Unmovable]);
    let refused = bench.store.engine().backup(copy.path()).await.unwrap_err();
    assert_eq!(refused.kind(), BackendErrorKind::Full);
    assert_eq!(std::fs::read_dir(copy.path()).unwrap().count(), 0);
    bench.held("b", "2").await;
    bench.store.engine().backup(copy.path()).await.unwrap();
    assert_eq!(check(copy.path()).unwrap().locks, 2);
    // Closing moves it too; if that fails it stays where it is.
    bench.held("c", "3").await;
    bench.plant(&[Fault::Unmovable]);
    bench.restarts_the_same(&["a", "b", "c"]).await;
}

#[tokio::test]
async fn a_change_that_panics_makes_the_store_unusable_and_not_wrong() {
    let mut bench = Bench::new();
    bench.held("a", "1").await;
    bench.acquire("a", "2").await.unwrap();
    let (store, ticket) = (Arc::clone(&bench.store), request("a", "2").ticket());
    let turn = tokio::spawn(async move { store.await_turn(&ticket, Duration::from_secs(600)).await });
    settle(&bench.store).await;
    let go = block(&bench.store).await;
    let with_it = {
        let store = Arc::clone(&bench.store);
        tokio::spawn(async move { acquire(&store, "b", "3").await.map(drop) })
    };
    let panics = {
        let store = Arc::clone(&bench.store);
        tokio::spawn(async move {
            store
                .engine()
                .submit(|table, now| -> () {
                    drop(table.acquire(request("half", "half"), now));
                    panic!("planted");
                })
                .await
        })
    };
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    drop(go);
    assert_eq!(panics.await.unwrap().unwrap_err().kind(), BackendErrorKind::Indeterminate);
    assert_eq!(with_it.await.unwrap(), Err(BackendErrorKind::Indeterminate));
    let turn = tokio::time::timeout(Duration::from_secs(60), turn).await.expect("it was woken").unwrap();
    assert_eq!(turn.unwrap_err().kind(), BackendErrorKind::Internal);
    is_unusable(&bench, BackendErrorKind::Internal, "restart the service, what was answered is on disk")
        .await;
    bench.store.close().await.unwrap();

    bench.store = open(config(&bench.directory, &bench.clock)).unwrap();
    assert_eq!(bench.holders("a").await, ["1", "waits: 2"]);
    assert_eq!(bench.holders("b").await, [""; 0]);
    assert_eq!(bench.holders("half").await, [""; 0]);
    bench.restarts_the_same(&["a", "b", "half"]).await;
}

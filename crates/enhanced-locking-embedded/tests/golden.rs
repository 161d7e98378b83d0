//! The format on disk stays readable: files of every schema, written once and kept, show what they showed then.
//!
//! `UPDATE_GOLDEN=1` writes those of the newest schema anew, which is right only together with a new schema. LMDB's files depend on the page
//! size of the machine they were made on: this one has pages of 4096 bytes.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "the helpers of tests may panic")]

#[path = "common/picture.rs"]
mod picture;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_embedded::{EmbeddedBackend, EmbeddedConfig, check, open};
use enhanced_locking_foundation::{
    AcquireOutcome, AcquireRequest, Cause, DocumentName, DocumentStore, DocumentUpdate, EndReason, Grant,
    Lease, LockBackend, LockRecord, ManualClock, Metadata, OwnerId, Priority, PullRequest, Renewal,
    RequestId, ResourceKey, Timestamp, Transferee, Wait,
};

const START: Timestamp = Timestamp::from_micros(1_764_000_000_000_000);
const STEP: Duration = Duration::from_millis(250);

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn config(directory: &Path, at: Timestamp) -> (EmbeddedConfig, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(at));
    let mut config = EmbeddedConfig::new(directory);
    config.map_size = 64 << 10;
    config.journal_size = 3 << 10;
    config.clock = Some(clock.clone());
    (config, clock)
}

fn request(key: &str, id: &str) -> AcquireRequest {
    let owner = OwnerId::new(format!("owner of {id}")).unwrap();
    AcquireRequest::new(ResourceKey::new(key).unwrap(), owner).id(RequestId::new(id).unwrap()).sticky()
}

fn ids() -> impl Iterator<Item = RequestId> {
    let ids =
        ["plain", "leased", "line-1", "line-2", "line-3", "shared-1", "shared-2", "over", "moved", "unseen"];
    ids.into_iter().map(|id| RequestId::new(id).unwrap())
}

async fn hold(store: &EmbeddedBackend, request: AcquireRequest) -> LockRecord {
    match store.acquire(request).await.unwrap() {
        AcquireOutcome::Held(record) => record,
        other => panic!("{other:?}"),
    }
}

/// Documents as they are in the end, in the order of their names.
fn documents() -> [(&'static str, Vec<u8>); 4] {
    [
        ("empty", Vec::new()),
        ("infra::written again", b"new".to_vec()),
        ("infra::zero", b"\0\xff\0".to_vec()),
        ("infra::ü::long", (0..9_000_u32).map(|n| n.to_le_bytes()[0]).collect()),
    ]
}

async fn put(store: &EmbeddedBackend, name: &str, update: DocumentUpdate) {
    store.put_document(&DocumentName::new(name).unwrap(), update).await.unwrap();
}

/// Something of every kind of record and of most kinds of events.
async fn write(directory: &Path) -> Arc<EmbeddedBackend> {
    let (config, clock) = config(directory, START);
    let store = open(config).unwrap();
    put(&store, "infra::written again", DocumentUpdate::write(b"old".to_vec())).await;
    put(&store, "infra::deleted", DocumentUpdate::write(b"gone".to_vec())).await;
    let labels = BTreeMap::from([
        ("job".to_owned(), "https://ci.example/ü/42".to_owned()),
        ("long".to_owned(), "x".repeat(1_024)),
        ("longer".to_owned(), "y".repeat(1_024)),
    ]);
    let plain = request("team/repo/dir/default", "plain")
        .pull(PullRequest::new("team/repo", 7).unwrap())
        .user("alice")
        .metadata(Metadata::new(labels).unwrap());
    let plain = hold(&store, plain).await;
    clock.advance(STEP);
    let leased = request("leased", "leased").lease(Lease::For(Duration::from_secs(90)));
    let leased = hold(&store, leased.max_age(Duration::from_secs(3_600)).priority(Priority::ALL[3])).await;
    for (id, wait) in [("line-1", Wait::Forever), ("line-2", Wait::AtMost(Duration::from_secs(600)))] {
        clock.advance(STEP);
        store.acquire(request("leased", id).wait(wait).lease(Lease::For(STEP * 100))).await.unwrap();
    }
    store.acquire(request("leased", "line-3")).await.unwrap();
    store.reprioritise(&request("leased", "line-2").ticket(), Priority::ALL[4]).await.unwrap();
    for id in ["shared-1", "shared-2"] {
        clock.advance(STEP);
        hold(&store, request("shared", id).shared()).await;
    }
    store.renew(vec![Renewal { grant: leased.grant(), lease: None }]).await.unwrap();
    let over = hold(&store, request("over", "over")).await;
    clock.advance(STEP);
    store.release(&over.grant()).await.unwrap();
    let moved = hold(&store, request("moved", "moved")).await;
    let to = Transferee { owner: OwnerId::new("somebody else").unwrap(), user: None, pull: None };
    store.transfer(&moved.grant(), to).await.unwrap();
    let unseen = request("unseen", "unseen").ticket();
    let cause = Cause::new("operator", "not wanted").unwrap();
    store.cancel(&unseen, None, EndReason::Cancelled, cause).await.unwrap();
    clock.advance(STEP);
    for (name, value) in documents().into_iter().skip(1) {
        put(&store, name, DocumentUpdate::write(value)).await;
    }
    // A grant that is not claimed yet.
    let before =
        Grant { key: leased.request.key.clone(), id: leased.request.id.clone(), token: leased.token };
    store.release(&before).await.unwrap();
    assert_eq!(plain.request.user.as_deref(), Some("alice"));
    put(&store, "infra::deleted", DocumentUpdate::delete()).await;
    put(&store, "empty", DocumentUpdate::write(Vec::new())).await;
    store
}

async fn show(directory: &Path) -> String {
    let (config, _) = config(directory, START.plus(Duration::from_secs(3_600)));
    let store = open(config).unwrap();
    let picture = picture::picture(&store, ids()).await;
    store.close().await.unwrap();
    picture
}

#[tokio::test]
async fn a_data_file_of_schema_1_shows_what_it_showed_when_it_was_written() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::copy(fixture("schema-1.mdb"), directory.path().join("data.mdb")).unwrap();
    shows_the_same(directory.path(), &[]).await;
}

#[tokio::test]
async fn a_store_of_schema_2_shows_what_it_showed_when_it_was_killed() {
    let directory = tempfile::tempdir().unwrap();
    for (kept, file) in [("schema-2.mdb", "data.mdb"), ("schema-2.journal", "journal")] {
        std::fs::copy(fixture(kept), directory.path().join(file)).unwrap();
    }
    shows_the_same(directory.path(), &[]).await;
}

#[tokio::test]
async fn a_store_of_schema_3_shows_what_it_showed_when_it_was_killed() {
    let directory = tempfile::tempdir().unwrap();
    let files = [("schema-3.mdb", "data.mdb"), ("schema-3.journal", "journal")];
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        // In the middle, so that both files have something to say.
        let store = write(directory.path()).await;
        for (kept, file) in files {
            std::fs::copy(directory.path().join(file), fixture(kept)).unwrap();
        }
        store.close().await.unwrap();
    }
    for (kept, file) in files {
        std::fs::copy(fixture(kept), directory.path().join(file)).unwrap();
    }
    shows_the_same(directory.path(), &documents()).await;

    // The same done today comes to the same.
    let today = tempfile::tempdir().unwrap();
    write(today.path()).await.close().await.unwrap();
    shows_the_same(today.path(), &documents()).await;
}

#[tokio::test]
async fn a_data_file_of_schema_1_whose_records_are_not_those_it_had_is_not_upgraded() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data.mdb");
    let mut bytes = std::fs::read(fixture("schema-1.mdb")).unwrap();
    // The seal of both states, with another digest and a checksum that fits.
    let mut changed = 0;
    for at in 0..bytes.len() - 60 {
        if bytes[at..].starts_with(b"mseal") {
            let seal = at + 5;
            bytes[seal + 8] ^= 1;
            let sum = crc32fast::hash(&bytes[seal..seal + 48]).to_le_bytes();
            bytes[seal + 48..seal + 52].copy_from_slice(&sum);
            changed += 1;
        }
    }
    assert!(changed > 0);
    std::fs::write(&data, &bytes).unwrap();
    let error = check(directory.path()).unwrap_err().to_string();
    assert!(error.contains("its records are not those of its newest commit"), "{error}");
    assert_eq!(std::fs::read(&data).unwrap()[..8192], bytes[..8192], "nothing was changed");
}

async fn shows_the_same(directory: &Path, documents: &[(&str, Vec<u8>)]) {
    let report = check(directory).unwrap();
    assert_eq!((report.locks, report.waiting, report.events), (5, 2, 16));
    assert_eq!(report.documents, documents.len());
    let documents = documents.iter().map(|(name, value)| format!("{name}: {}\n", value.escape_ascii()));
    let wanted = std::fs::read_to_string(fixture("shows.txt")).unwrap() + &documents.collect::<String>();
    let seen = show(directory).await;
    for (seen, wanted) in seen.lines().zip(wanted.lines()) {
        assert_eq!(seen, wanted);
    }
    assert_eq!(seen.lines().count(), wanted.lines().count());
}

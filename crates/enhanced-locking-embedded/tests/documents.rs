//! Documents in the files of a store: the longest there may be, journals that grow for them, copies, and limits that changed meanwhile.
#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic")]

use std::path::Path;

use enhanced_locking_core::TablePolicy;
use enhanced_locking_embedded::{EmbeddedBackend, EmbeddedConfig, check, open};
use enhanced_locking_foundation::{
    BackendErrorKind, DocumentName, DocumentOutcome, DocumentStore, DocumentUpdate, Limits, LockBackend,
};
use proptest::prelude::*;

fn config(directory: &Path) -> EmbeddedConfig {
    let mut config = EmbeddedConfig::new(directory);
    config.map_size = 64 << 10;
    config.journal_size = 64 << 10;
    config
}

fn name(text: &str) -> DocumentName {
    DocumentName::new(text).unwrap()
}

async fn write(store: &EmbeddedBackend, text: &str, value: Vec<u8>) {
    store.put_document(&name(text), DocumentUpdate::write(value)).await.unwrap();
}

async fn read(store: &EmbeddedBackend, text: &str) -> Option<Vec<u8>> {
    store.document(&name(text)).await.unwrap()
}

#[tokio::test]
async fn the_longest_names_and_values_go_through_journal_data_file_and_copy() {
    let (directory, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let long = "ü".repeat(DocumentName::MAX_BYTES / 2);
    // They differ in their last byte only: no key is cut short.
    let other = format!("{}u", &long[..long.len() - 2]) + "v";
    let value: Vec<u8> = (0..DocumentUpdate::MAX_VALUE).map(|n| (n % 251).to_le_bytes()[0]).collect();
    let store = open(config(directory.path())).unwrap();
    write(&store, &long, value.clone()).await;
    write(&store, &other, b"other".to_vec()).await;
    store.engine().backup(copy.path()).await.unwrap();
    store.close().await.unwrap();
    for place in [directory.path(), copy.path()] {
        assert_eq!(check(place).unwrap().documents, 2);
        let store = open(config(place)).unwrap();
        assert!(read(&store, &long).await.unwrap() == value, "it is not what was written");
        assert_eq!(read(&store, &other).await.unwrap(), b"other");
        store.close().await.unwrap();
    }
    // A value that was long leaves a journal that is not, once it is in the data file.
    assert!(std::fs::metadata(directory.path().join("journal")).unwrap().len() < 1 << 20);
}

#[tokio::test]
async fn a_document_written_many_times_in_one_batch_is_written_down_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(config(directory.path())).unwrap();
    let value = vec![1; 1 << 20];
    let puts = (0..300_u32).map(|n| {
        let value = if n == 299 { value.clone() } else { n.to_le_bytes().to_vec() };
        let (store, name) = (store.clone(), name("a"));
        async move { store.put_document(&name, DocumentUpdate::write(value)).await.unwrap() }
    });
    let mut set = tokio::task::JoinSet::new();
    puts.for_each(|put| drop(set.spawn(put)));
    set.join_all().await;
    assert_eq!(read(&store, "a").await.unwrap(), value);
    store.close().await.unwrap();
    assert_eq!(check(directory.path()).unwrap().documents, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_of_the_longest_at_once_are_all_written() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.journal_size = 1 << 20;
    let store = open(config.clone()).unwrap();
    let mut set = tokio::task::JoinSet::new();
    for n in 0..12_u8 {
        let store = store.clone();
        set.spawn(async move {
            let update = DocumentUpdate::write(vec![n; DocumentUpdate::MAX_VALUE]);
            store.put_document(&name(&n.to_string()), update).await.unwrap()
        });
    }
    assert!(set.join_all().await.iter().all(|put| *put == DocumentOutcome::Done { existed: false }));
    store.close().await.unwrap();
    let store = open(config).unwrap();
    for n in 0..12_u8 {
        let value = read(&store, &n.to_string()).await.unwrap();
        assert!(value.len() == DocumentUpdate::MAX_VALUE && value.iter().all(|byte| *byte == n), "{n}");
    }
}

#[tokio::test]
async fn what_is_over_a_lowered_limit_stays_and_nothing_is_added() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(config(directory.path())).unwrap();
    for text in ["a", "b", "c"] {
        write(&store, text, vec![0; 100]).await;
    }
    store.close().await.unwrap();
    let mut config = config(directory.path());
    let limits = Limits { documents: 1, document_bytes: 10, ..Limits::default() };
    config.policy = TablePolicy { limits, ..TablePolicy::default() };
    let store = open(config).unwrap();
    assert_eq!(store.documents("", None, 0).await.unwrap().items.len(), 3);
    for (text, length) in [("d", 1), ("a", 101)] {
        let refused = store.put_document(&name(text), DocumentUpdate::write(vec![0; length])).await;
        assert_eq!(refused.unwrap_err().kind(), BackendErrorKind::Full);
    }
    write(&store, "a", vec![1; 100]).await;
    assert_eq!(read(&store, "a").await.unwrap(), [1; 100]);
}

/// What is done with one of a few documents.
#[derive(Clone, Debug)]
enum Step {
    Write(usize, Vec<u8>),
    Delete(usize),
    Backup,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..40),
        2 => (any::<u8>(), 1_000..30_000_usize).prop_map(|(byte, length)| vec![byte; length]),
    ];
    let step = prop_oneof![
        8 => (0..6_usize, value).prop_map(|(n, value)| Step::Write(n, value)),
        3 => (0..6_usize).prop_map(Step::Delete),
        1 => Just(Step::Backup),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..60)
}

async fn play(script: Vec<Step>) {
    const NAMES: [&str; 6] = ["a", "a/b", "a\u{a0}", "b:*", "ü", "\u{10ffff}"];
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.journal_size = 3 << 10;
    let mut store = open(config.clone()).unwrap();
    let mut model = std::collections::BTreeMap::new();
    for step in script {
        match step {
            Step::Write(n, value) => {
                let before = model.insert(NAMES[n], value.clone());
                let update = DocumentUpdate::write(value).if_was(before.clone());
                let put = store.put_document(&name(NAMES[n]), update).await.unwrap();
                assert_eq!(put, DocumentOutcome::Done { existed: before.is_some() });
            }
            Step::Delete(n) => {
                let existed = model.remove(NAMES[n]).is_some();
                let put = store.put_document(&name(NAMES[n]), DocumentUpdate::delete()).await.unwrap();
                assert_eq!(put, DocumentOutcome::Done { existed });
            }
            Step::Backup => {
                let copy = tempfile::tempdir().unwrap();
                store.engine().backup(copy.path()).await.unwrap();
                assert_eq!(check(copy.path()).unwrap().documents, model.len());
            }
            Step::Reopen => {
                store.close().await.unwrap();
                assert_eq!(check(directory.path()).unwrap().documents, model.len());
                store = open(config.clone()).unwrap();
            }
        }
        let listed = store.documents("", None, 0).await.unwrap().items;
        assert!(listed.iter().map(DocumentName::as_str).eq(model.keys().copied()), "{listed:?}");
        for (text, value) in &model {
            assert_eq!(read(&store, text).await.as_ref(), Some(value), "{text}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_written_is_there_through_checkpoints_copies_and_restarts(script in steps()) {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(play(script));
    }
}

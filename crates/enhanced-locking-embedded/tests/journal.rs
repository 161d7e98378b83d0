//! What a killed process leaves: a data file and a journal that goes on from it. Damage to the journal is reported, or it hit nothing.
//!
//! `JOURNAL_SEED` repeats a run.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "the helpers of tests may panic")]

#[path = "common/picture.rs"]
mod picture;

use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;

use enhanced_locking_embedded::{EmbeddedConfig, OpenError, check, open};
use enhanced_locking_foundation::{
    AcquireOutcome, AcquireRequest, LockBackend, ManualClock, OwnerId, RequestId, ResourceKey, Timestamp,
};

const START: Timestamp = Timestamp::from_micros(1_764_000_000_000_000);
const BLOCK: usize = 512;

/// The two files of a store, as a process that was killed leaves them.
#[derive(Clone)]
struct Files {
    data: Vec<u8>,
    journal: Vec<u8>,
}

impl Files {
    fn of(directory: &Path) -> Self {
        let read = |name| std::fs::read(directory.join(name)).unwrap();
        Self { data: read("data.mdb"), journal: read("journal") }
    }

    fn write(&self, directory: &Path) {
        std::fs::write(directory.join("data.mdb"), &self.data).unwrap();
        std::fs::write(directory.join("journal"), &self.journal).unwrap();
    }

    /// How much of the journal was ever written to.
    fn written(&self) -> usize {
        self.journal.chunks(BLOCK).rposition(|block| block.iter().any(|b| *b != 0)).unwrap_or(0) * BLOCK
            + BLOCK
    }

    async fn picture(&self) -> Result<String, OpenError> {
        let directory = tempfile::tempdir().unwrap();
        self.write(directory.path());
        check(directory.path())?;
        let store = open(config(directory.path(), 1 << 20))?;
        let ids = (0..40).map(|n| RequestId::new(format!("id-{n}")).unwrap());
        let picture = picture::picture(&store, ids).await;
        store.close().await.unwrap();
        Ok(picture)
    }
}

fn config(directory: &Path, journal_size: u64) -> EmbeddedConfig {
    let mut config = EmbeddedConfig::new(directory);
    config.map_size = 1 << 20;
    config.journal_size = journal_size;
    config.clock = Some(Arc::new(ManualClock::new(START)));
    config
}

fn request(n: usize) -> AcquireRequest {
    let key = ResourceKey::new(format!("key-{}", n % 17)).unwrap();
    let owner = OwnerId::new(format!("{n} {}", "x".repeat(n * 23 % 200))).unwrap();
    AcquireRequest::new(key, owner).id(RequestId::new(format!("id-{n}")).unwrap()).sticky()
}

/// The files after each of some changes, the process being killed then.
async fn history(journal_size: u64) -> Vec<Files> {
    let directory = tempfile::tempdir().unwrap();
    let store = open(config(directory.path(), journal_size)).unwrap();
    let mut history = vec![Files::of(directory.path())];
    for n in 0..30 {
        if let AcquireOutcome::Held(record) = store.acquire(request(n)).await.unwrap()
            && n % 3 == 0
        {
            store.release(&record.grant()).await.unwrap();
        }
        history.push(Files::of(directory.path()));
    }
    history
}

#[tokio::test]
async fn what_was_answered_is_in_the_files_at_every_moment() {
    for journal_size in [0, 4_096, 1 << 20] {
        let mut before = String::new();
        let history = history(journal_size).await;
        for (n, files) in history.iter().enumerate() {
            let picture = files.picture().await.unwrap();
            assert!(picture != before, "change {n} is missing");
            assert!(n == 0 || picture.contains(&format!("id-{}", n - 1)), "{n}: {picture}");
            before = picture;
        }
        let moved = history.windows(2).filter(|pair| pair[0].data != pair[1].data).count();
        assert_eq!(moved > 0, journal_size < 1 << 20, "{moved} checkpoints");
    }
}

#[tokio::test]
async fn no_damage_of_a_journal_shows_other_locks() {
    let seed = std::env::var("JOURNAL_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one("journal"));
    println!("JOURNAL_SEED={seed}");
    let mut random = seed;
    let mut below = |limit: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(random >> 33).unwrap() % limit
    };
    let files = history(1 << 20).await.pop().unwrap();
    let good = files.picture().await.unwrap();
    let (mut reported, mut harmless) = (0, 0);
    for case in 0..400 {
        let mut bad = files.clone();
        let written = bad.written();
        let (a, b) = (below(written / BLOCK - 1) * BLOCK, below(written / BLOCK - 1) * BLOCK);
        let what = match case % 4 {
            0 | 1 => {
                let (at, bit) = (below(written), below(8));
                bad.journal[at] ^= 1 << bit;
                format!("bit {bit} of byte {at}")
            }
            2 => {
                bad.journal.copy_within(a..a + BLOCK, b);
                format!("block {a} over {b}")
            }
            _ => {
                bad.journal[a..a + BLOCK].fill(0);
                format!("block {a} zeroed")
            }
        };
        match bad.picture().await {
            Err(OpenError::Damaged { file, found }) => {
                assert!(file.ends_with("journal") && !found.is_empty(), "{what}: {found}");
                reported += 1;
            }
            Ok(picture) => {
                assert!(picture == good, "JOURNAL_SEED={seed}, {what} shows something else: {picture}");
                harmless += 1;
            }
            Err(error) => panic!("JOURNAL_SEED={seed}, {what}: {error}"),
        }
    }
    println!("{reported} reported, {harmless} without effect");
    assert!(reported > 200);
}

#[tokio::test]
async fn a_last_write_that_was_cut_short_never_was() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(config(directory.path(), 1 << 20)).unwrap();
    let mut before: Option<(Files, String)> = None;
    for n in 0..20 {
        store.acquire(request(n)).await.unwrap();
        let files = Files::of(directory.path());
        let picture = files.picture().await.unwrap();
        if let Some((_, before)) = before {
            let mut torn = files.clone();
            // The last block of the last frame did not reach the disk.
            let end = torn.written();
            torn.journal[end - BLOCK..end].fill(0);
            assert_eq!(torn.picture().await.unwrap(), before);
        }
        before = Some((files, picture));
    }
}

#[tokio::test]
async fn files_that_do_not_belong_together_are_refused() {
    let history = history(2_048).await;
    let refused = async |files: &Files| match files.picture().await {
        Err(OpenError::Damaged { file, found }) if file.ends_with("journal") => found,
        other => panic!("{other:?}"),
    };
    let last = history.last().unwrap();
    let older = Files { data: history[5].data.clone(), journal: last.journal.clone() };
    let found = refused(&older).await;
    assert!(found.contains("it goes on with commit"), "{found}");

    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("data.mdb"), &last.data).unwrap();
    let error = open(config(directory.path(), 0)).unwrap_err();
    assert!(error.to_string().contains("journal is damaged: it is missing"), "{error}");

    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("journal"), &last.journal).unwrap();
    let error = open(config(directory.path(), 0)).unwrap_err();
    assert!(error.to_string().contains("the data file it belongs to is missing"), "{error}");
    assert_eq!(std::fs::read(directory.path().join("journal")).unwrap(), last.journal, "left alone");

    // The journal of another store, whichever of its commits that store has come to.
    let other = tempfile::tempdir().unwrap();
    let store = open(config(other.path(), 0)).unwrap();
    let mut of_another = 0;
    for n in 0..60 {
        let owner = OwnerId::new(format!("other {n}")).unwrap();
        store.acquire(AcquireRequest::new(ResourceKey::new(format!("o{n}")).unwrap(), owner)).await.unwrap();
        let mixed = Files { data: Files::of(other.path()).data, journal: last.journal.clone() };
        match mixed.picture().await {
            Ok(picture) => assert!(!picture.contains("key-"), "{n}: {picture}"),
            Err(OpenError::Damaged { found, .. }) => {
                of_another += usize::from(found.contains("it goes on from another data file"));
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(of_another > 0);
}

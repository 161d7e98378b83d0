//! A damaged data file is reported, or the damage hit nothing: never other locks, never a panic, a crash or a hang.
//!
//! The cases run in processes of their own, which say what they are about to do: one that dies names its case.
//! `DAMAGE_CASES` sets how many random ones there are, `DAMAGE_SEED` repeats a run.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "the helpers of tests may panic")]

#[path = "common/child.rs"]
mod child;
#[path = "common/picture.rs"]
mod picture;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_core::TablePolicy;
use enhanced_locking_embedded::{EmbeddedBackend, EmbeddedConfig, OpenError, check, open};
use enhanced_locking_foundation::{
    AcquireOutcome, AcquireRequest, Cause, DocumentName, DocumentStore, DocumentUpdate, EndReason, Lease,
    Limits, LockBackend, LockRecord, ManualClock, Metadata, OwnerId, Priority, PullRequest, RequestId,
    ResourceKey, Timestamp, Wait,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

const PAGE: usize = 4096;
/// Of a meta page, with its header: all that LMDB reads.
const META: usize = 152;
const START: Timestamp = Timestamp::from_micros(1_764_000_000_000_000);

// ---- a store with a bit of everything ----

/// A data file, an older state of it, and what it shows when it is opened.
struct Original {
    file: Vec<u8>,
    older: Vec<u8>,
    journal: Vec<u8>,
    picture: String,
}

fn config(directory: &Path, clock: &Arc<ManualClock>) -> EmbeddedConfig {
    let mut config = EmbeddedConfig::new(directory);
    config.map_size = 1 << 20;
    // Every commit reaches the data file, and its pages are used again.
    config.journal_size = 0;
    config.clock = Some(clock.clone());
    let limits = Limits { events: 24, finished: 12, ..Limits::default() };
    config.policy = TablePolicy { limits, ..TablePolicy::default() };
    config
}

fn later() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(START.plus(Duration::from_secs(60))))
}

fn id(n: usize) -> RequestId {
    RequestId::new(format!("request-{n:03}")).unwrap()
}

fn ids() -> impl Iterator<Item = RequestId> {
    (0..60).map(id)
}

fn request(n: usize) -> AcquireRequest {
    let key = ResourceKey::new(format!("project-{}/{}", n % 23, "x".repeat(n % 23 * 9))).unwrap();
    // Every sixteenth is long enough for overflow pages, its own and the log's; not more, or all would be slow.
    let (labels, repeat) = if n.is_multiple_of(16) { (4, 300) } else { (n % 3, n % 9) };
    let labels = (0..labels).map(|l| (format!("label{l}"), "tag".repeat(repeat))).collect::<BTreeMap<_, _>>();
    let mut request = AcquireRequest::new(key, OwnerId::new(format!("owner-{n}")).unwrap())
        .id(id(n))
        .priority(Priority::ALL[n % Priority::ALL.len()])
        .metadata(Metadata::new(labels).unwrap());
    request.lease = if n.is_multiple_of(3) { Lease::Sticky } else { Lease::For(Duration::from_secs(600)) };
    request.wait = if n.is_multiple_of(4) { Wait::AtMost(Duration::from_secs(900)) } else { Wait::Forever };
    if n.is_multiple_of(6) {
        request = request.shared().pull(PullRequest::new("team/repo", n as i64 + 1).unwrap()).user("someone");
    }
    request
}

async fn build(directory: &Path) -> Vec<u8> {
    let clock = Arc::new(ManualClock::new(START));
    let store = open(config(directory, &clock)).unwrap();
    let (mut held, mut older) = (Vec::<LockRecord>::new(), Vec::new());
    for n in 0..50 {
        clock.advance(Duration::from_millis(10));
        if let AcquireOutcome::Held(record) = store.acquire(request(n)).await.unwrap() {
            held.push(record);
        }
        if n % 4 == 3 {
            // Releases hand on, cancels leave gaps: records of all lengths come and go.
            let _ = store.release(&held.remove(n % held.len()).grant()).await;
            store.cancel(&request(n - 1).ticket(), None, EndReason::Cancelled, Cause::none()).await.unwrap();
        }
        let value = (n % 3 > 0).then(|| vec![7; if n % 20 == 1 { 5_000 } else { n }]);
        let update = DocumentUpdate { value, ..DocumentUpdate::delete() };
        store.put_document(&DocumentName::new(format!("{}", n % 4)).unwrap(), update).await.unwrap();
        if n == 42 {
            older = std::fs::read(directory.join("data.mdb")).unwrap();
        }
    }
    store.cancel(&request(55).ticket(), None, EndReason::Cancelled, Cause::none()).await.unwrap();
    store.close().await.unwrap();
    older
}

async fn original() -> Original {
    let directory = scratch();
    let older = build(directory.path()).await;
    let file = std::fs::read(directory.path().join("data.mdb")).unwrap();
    let journal = std::fs::read(directory.path().join("journal")).unwrap();
    let store = open(config(directory.path(), &later())).unwrap();
    let picture = picture::picture(&store, ids()).await;
    store.close().await.unwrap();
    Original { file, older, journal, picture }
}

/// A directory that costs no disk, if the machine has such a place.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

// ---- damage ----

#[derive(Clone, Debug)]
enum Damage {
    Flip(Vec<(usize, u8)>),
    Cut(usize),
    Garbage(usize, Vec<u8>),
    Zero(usize),
    Swap(usize, usize),
    /// One page over another.
    Copy(usize, usize),
    /// A page as it was some commits ago: a write that never reached the disk.
    Stale(usize),
    StaleMeta(usize),
}

impl Damage {
    fn apply(&self, original: &Original) -> Vec<u8> {
        let mut file = original.file.clone();
        let page = |n: usize| n * PAGE..(n + 1) * PAGE;
        match self {
            Self::Flip(bits) => bits.iter().for_each(|(at, bit)| file[*at] ^= 1 << bit),
            Self::Cut(length) => file.truncate(*length),
            Self::Garbage(at, bytes) => {
                let end = file.len().min(at + bytes.len());
                file[*at..end].copy_from_slice(&bytes[..end - at]);
            }
            Self::Zero(n) => file[page(*n)].fill(0),
            Self::Swap(a, b) => {
                let kept = file[page(*a)].to_vec();
                file.copy_within(page(*b), a * PAGE);
                file[page(*b)].copy_from_slice(&kept);
            }
            Self::Copy(from, to) => file.copy_within(page(*from), to * PAGE),
            Self::Stale(n) | Self::StaleMeta(n) if (n + 1) * PAGE <= original.older.len() => {
                file[page(*n)].copy_from_slice(&original.older[page(*n)]);
            }
            Self::Stale(_) | Self::StaleMeta(_) => {}
        }
        file
    }
}

fn any_damage(length: usize) -> impl Strategy<Value = Damage> {
    let pages = length / PAGE;
    let place = prop_oneof![
        3 => 0..length,
        2 => (0..2usize, 0..META).prop_map(|(page, at)| page * PAGE + at),
        // Page headers and the offsets of nodes behind them.
        3 => (0..pages, 0..64usize).prop_map(|(page, at)| page * PAGE + at),
    ];
    let flip = (place, 0..8u8);
    prop_oneof![
        10 => prop::collection::vec(flip, 1..4).prop_map(Damage::Flip),
        1 => (0..length).prop_map(Damage::Cut),
        2 => (0..length, prop::collection::vec(any::<u8>(), 1..600)).prop_map(|(at, b)| Damage::Garbage(at, b)),
        1 => (0..pages).prop_map(Damage::Zero),
        1 => (0..pages, 0..pages).prop_map(|(a, b)| Damage::Swap(a, b)),
        1 => (0..pages, 0..pages).prop_map(|(a, b)| Damage::Copy(a, b)),
        2 => (0..pages).prop_map(Damage::Stale),
        1 => (0..2usize).prop_map(Damage::StaleMeta),
    ]
}

/// What became of a damaged file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Reported,
    Harmless,
}

/// Opens a damaged file and goes on with it as far as it lets itself be opened.
async fn try_it(original: &Original, directory: &Path, damage: &Damage) -> Result<Fate, String> {
    let data = directory.join("data.mdb");
    let bytes = damage.apply(original);
    std::fs::write(&data, &bytes).map_err(|e| e.to_string())?;
    std::fs::write(directory.join("journal"), &original.journal).map_err(|e| e.to_string())?;
    let store = match open(config(directory, &later())) {
        Ok(store) => store,
        Err(OpenError::Damaged { file, found }) => {
            return match file == data && !found.is_empty() && !found.contains('\n') {
                true => Ok(Fate::Reported),
                false => Err(format!("{found:?} of {} helps nobody", file.display())),
            };
        }
        Err(error) => return Err(format!("{error}: {error:?}")),
    };
    let seen = picture::picture(&store, ids()).await;
    if seen != original.picture {
        return Err(format!("it shows something else: {}", first_difference(&original.picture, &seen)));
    }
    // Damage that hit nothing yet must not hit later either: write all over the file. Not where nobody ever looks, for
    // it takes long: in the older meta page, and the padding of page headers.
    let hit = |place: &usize| (*place >= 2 * PAGE && !(8..10).contains(&(place % PAGE))) || place % 8 == 5;
    if let Damage::Flip(bits) = damage
        && bits.len() == 1
        && !bits.iter().any(|(place, _)| hit(place))
    {
        return store.close().await.map(|()| Fate::Harmless).map_err(|e| e.to_string());
    }
    use_it(&store).await?;
    store.close().await.map_err(|e| e.to_string())?;
    check(directory).map_err(|e| format!("used, it is damaged: {e}"))?;
    Ok(Fate::Harmless)
}

/// Takes and gives back locks with records of several lengths.
async fn use_it(store: &EmbeddedBackend) -> Result<(), String> {
    for n in 0..6usize {
        let labels = (0..n).map(|l| (format!("l{l}"), "more ".repeat(200))).collect::<BTreeMap<_, _>>();
        let key = ResourceKey::new(format!("after/{n}")).map_err(|e| e.to_string())?;
        let request = AcquireRequest::new(key, OwnerId::new("after").map_err(|e| e.to_string())?)
            .metadata(Metadata::new(labels).map_err(|e| e.to_string())?);
        let held = store.acquire(request).await.map_err(|e| format!("then: {e}"))?;
        if let (AcquireOutcome::Held(record), true) = (held, n.is_multiple_of(2)) {
            store.release(&record.grant()).await.map_err(|e| format!("then: {e}"))?;
        }
    }
    Ok(())
}

fn first_difference(wanted: &str, seen: &str) -> String {
    let differs = wanted.lines().zip(seen.lines()).find(|(wanted, seen)| wanted != seen);
    differs.map_or("more or fewer lines".to_owned(), |(wanted, seen)| format!("\n  {seen}\nnot\n  {wanted}"))
}

/// Runs cases one after the other, saying which, and returns how many were reported and how many hit nothing.
struct Ward {
    original: Original,
    directory: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    reported: usize,
    harmless: usize,
}

impl Ward {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let original = runtime.block_on(original());
        Self { original, directory: scratch(), runtime, reported: 0, harmless: 0 }
    }

    fn run(&mut self, damage: &Damage) -> Result<Fate, String> {
        say(&format!("CASE {damage:?}"));
        let fate = self.runtime.block_on(try_it(&self.original, self.directory.path(), damage))?;
        match fate {
            Fate::Reported => self.reported += 1,
            Fate::Harmless => self.harmless += 1,
        }
        Ok(fate)
    }

    fn must(&mut self, damage: &Damage) -> Fate {
        self.run(damage).unwrap_or_else(|e| panic!("{damage:?}: {e}"))
    }
}

/// Not through the test harness: the last line must be out before the process dies.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("the other end reads");
}

/// Runs a worker to its end and shows what it said last if that was not a good one.
fn run_worker(test: &str, seed: u64) {
    let mut command = child::worker(test);
    command.env("DAMAGE_SEED", seed.to_string()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = command.output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    let last: Vec<&str> = out.lines().rev().filter(|line| line.starts_with("CASE")).take(1).collect();
    for line in out.lines().filter(|line| line.starts_with("SUM")) {
        println!("{line}");
    }
    assert!(
        output.status.success() && out.contains("SUM"),
        "{test} with DAMAGE_SEED={seed} ended with {}, at {last:?}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr),
    );
}

fn seed() -> u64 {
    let given = std::env::var("DAMAGE_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| RandomState::new().hash_one("damage"))
}

// ---- the tests ----

#[test]
fn no_flipped_bit_of_a_meta_page_shows_other_locks() {
    run_worker("worker_flips_every_bit_of_the_meta_pages", seed());
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn worker_flips_every_bit_of_the_meta_pages() {
    let mut ward = Ward::new();
    for at in 0..2 * META {
        for bit in 0..8 {
            ward.must(&Damage::Flip(vec![(at / META * PAGE + at % META, bit)]));
        }
    }
    say(&format!("SUM meta pages: {} reported, {} without effect", ward.reported, ward.harmless));
    assert!(ward.reported > ward.harmless);
}

#[test]
fn no_flipped_bit_of_a_page_header_shows_other_locks() {
    run_worker("worker_flips_every_bit_of_the_page_headers", seed());
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn worker_flips_every_bit_of_the_page_headers() {
    let mut ward = Ward::new();
    for page in 2..ward.original.file.len() / PAGE {
        for at in 0..16 {
            for bit in 0..8 {
                ward.must(&Damage::Flip(vec![(page * PAGE + at, bit)]));
            }
        }
    }
    say(&format!("SUM page headers: {} reported, {} without effect", ward.reported, ward.harmless));
    assert!(ward.reported > ward.harmless);
}

#[test]
fn no_flipped_bit_of_a_branch_or_of_the_free_list_shows_other_locks() {
    run_worker("worker_flips_bits_of_branches_and_the_free_list", seed());
}

/// These have no checksums of their own.
#[test]
#[ignore = "run by the test above, in a process of its own"]
fn worker_flips_bits_of_branches_and_the_free_list() {
    let mut ward = Ward::new();
    let file = ward.original.file.clone();
    let u16_at = |at: usize| usize::from(u16::from_le_bytes([file[at], file[at + 1]]));
    let u64_at = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap());
    let newest = if u64_at(16 + 128) > u64_at(PAGE + 16 + 128) { 0 } else { PAGE };
    let (free, main) = (u64_at(newest + 16 + 64) as usize * PAGE, u64_at(newest + 16 + 112) as usize * PAGE);
    assert_eq!(u16_at(main + 10), 1, "the main tree has a branch page");
    assert_eq!(u16_at(free + 10), 2, "the free list is one page");
    for page in [free, main] {
        let (lower, upper) = (u16_at(page + 12), u16_at(page + 14));
        for at in (16..lower).chain(upper..PAGE) {
            let bits = if page == free { 0..8 } else { at as u8 % 8..at as u8 % 8 + 1 };
            for bit in bits {
                ward.must(&Damage::Flip(vec![(page + at, bit)]));
            }
        }
    }
    say(&format!("SUM branches and free list: {} reported, {} without effect", ward.reported, ward.harmless));
    assert!(ward.reported > 0);
}

#[test]
fn no_page_that_is_cut_off_zeroed_swapped_or_stale_shows_other_locks() {
    run_worker("worker_loses_pages", seed());
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn worker_loses_pages() {
    let mut ward = Ward::new();
    let pages = ward.original.file.len() / PAGE;
    assert!(pages > 20, "the file is too small to mean anything: {pages} pages");
    for page in 0..pages {
        ward.must(&Damage::Cut(page * PAGE));
        ward.must(&Damage::Cut(page * PAGE + 1));
        ward.must(&Damage::Cut(page * PAGE + PAGE - 1));
        ward.must(&Damage::Zero(page));
        ward.must(&Damage::Stale(page));
        for other in [0, 1, (page + 1) % pages, (page * 7 + 3) % pages] {
            ward.must(&Damage::Swap(page, other));
            ward.must(&Damage::Copy(page, other));
        }
    }
    for (what, bytes) in [("garbage", vec![0x5a; 100_000]), ("zeroes", vec![0; 100_000])] {
        let fate = ward.must(&Damage::Garbage(0, bytes));
        assert_eq!(fate, Fate::Reported, "{what}");
    }
    say(&format!("SUM pages: {} reported, {} without effect", ward.reported, ward.harmless));
}

#[test]
fn no_random_damage_shows_other_locks() {
    run_worker("worker_damages_at_random", seed());
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn worker_damages_at_random() {
    let ward = std::cell::RefCell::new(Ward::new());
    let seed = seed();
    let cases = std::env::var("DAMAGE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2_000);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let length = ward.borrow().original.file.len();
    let result = runner.run(&any_damage(length), |damage| {
        ward.borrow_mut().run(&damage).map(drop).map_err(TestCaseError::fail)
    });
    result.unwrap_or_else(|e| panic!("DAMAGE_SEED={seed}: {e}"));
    let ward = ward.borrow();
    say(&format!("SUM random, seed {seed}: {} reported, {} without effect", ward.reported, ward.harmless));
    assert!(ward.reported > 0 && ward.harmless > 0);
}

#[test]
fn an_older_meta_page_is_not_taken_for_the_newest() {
    // The one change a bit can make that leaves a whole and sound file of the state before.
    let mut ward = Ward::new();
    let number = |page: usize| {
        let at = page * PAGE + 16 + 128;
        (at, u64::from_le_bytes(ward.original.file[at..at + 8].try_into().unwrap()))
    };
    let (zero, one) = (number(0), number(1));
    let (newest, older) = if zero.1 > one.1 { (zero, one) } else { (one, zero) };
    for (at, want) in [(newest.0, older.1 - 1), (older.0, newest.1 + 1)] {
        let damage = Damage::Garbage(at, want.to_le_bytes().to_vec());
        assert_eq!(ward.must(&damage), Fate::Reported);
    }
}

#[test]
fn what_is_not_a_data_file_is_reported_and_left_alone() {
    let directory = scratch();
    let data = directory.path().join("data.mdb");
    let refused = || {
        let error = open(EmbeddedConfig::new(directory.path())).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        assert!(matches!(check(directory.path()), Err(OpenError::Damaged { .. })));
        error.to_string()
    };
    std::fs::write(&data, b"").unwrap();
    assert!(refused().contains("restore a backup"), "{}", refused());
    assert_eq!(std::fs::read(&data).unwrap(), b"");

    std::fs::write(&data, "hello").unwrap();
    refused();
    assert_eq!(std::fs::read(&data).unwrap(), b"hello");

    std::fs::remove_file(&data).unwrap();
    std::fs::create_dir(&data).unwrap();
    assert!(refused().contains("is not a file"), "{}", refused());

    std::fs::remove_dir(&data).unwrap();
    std::os::unix::fs::symlink("nowhere", &data).unwrap();
    assert!(refused().contains("leads nowhere"), "{}", refused());

    std::fs::remove_file(&data).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &data, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert!(refused().contains("is not a file"), "{}", refused());
}

#[tokio::test]
async fn a_damaged_lock_file_of_the_map_or_a_store_half_made_is_put_right() {
    let original = original().await;
    let directory = scratch();
    std::fs::write(directory.path().join("data.mdb"), &original.file).unwrap();
    std::fs::write(directory.path().join("journal"), &original.journal).unwrap();
    std::fs::write(directory.path().join("lock.mdb"), vec![0xa5; 9_000]).unwrap();
    let store = open(config(directory.path(), &later())).unwrap();
    assert_eq!(picture::picture(&store, ids()).await, original.picture);
    store.close().await.unwrap();

    let half = scratch();
    std::fs::create_dir(half.path().join("store.new")).unwrap();
    std::fs::write(half.path().join("store.new/data.mdb"), b"half").unwrap();
    open(config(half.path(), &later())).unwrap().close().await.unwrap();
    assert!(!half.path().join("store.new").exists());
}

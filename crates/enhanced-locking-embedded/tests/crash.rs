//! A process that is killed at any moment loses nothing it answered, and leaves nothing half done.
//!
//! `CRASH_KILLS` sets how often (15), `CRASH_SEED` repeats a run as far as time lets itself be repeated.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "the helpers of tests may panic")]

#[path = "common/child.rs"]
mod child;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use enhanced_locking_core::TablePolicy;
use enhanced_locking_embedded::{EmbeddedBackend, EmbeddedConfig, check, open};
use enhanced_locking_foundation::{
    AcquireOutcome, AcquireRequest, DocumentName, DocumentOutcome, DocumentStore, DocumentUpdate,
    EventCursor, Limits, LockBackend, LockQuery, OwnerId, RequestId, RequestState, ResourceKey,
};

const CALLERS: usize = 8;

fn config(directory: &Path) -> EmbeddedConfig {
    let mut config = EmbeddedConfig::new(directory);
    // Small, so that it grows and trims all the time.
    config.map_size = 64 << 10;
    let limits = Limits { events: 200, finished: 1_000_000, ..Limits::default() };
    config.policy = TablePolicy { limits, ..TablePolicy::default() };
    config
}

fn request(run: usize, caller: usize, n: usize) -> AcquireRequest {
    let key = ResourceKey::new(format!("key-{caller}-{}", n % 5)).unwrap();
    let id = RequestId::new(format!("{run}-{caller}-{n}")).unwrap();
    AcquireRequest::new(key, OwnerId::new(format!("owner-{run}-{caller}-{n}")).unwrap()).id(id).sticky()
}

fn document(caller: usize) -> DocumentName {
    DocumentName::new(format!("document-{caller}")).unwrap()
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("the other end reads");
}

/// Takes and gives back for ever, saying what it is about to do and what was answered.
async fn work(store: Arc<EmbeddedBackend>, run: usize, caller: usize) {
    let mut held = Vec::new();
    let mut written = store.document(&document(caller)).await.unwrap();
    for n in 0.. {
        // Some are longer than a page. Nobody else writes it, so that it is what it was.
        let value = format!("{run}-{n}-{}", "x".repeat(n % 4 * 2_000));
        say(&format!("WRITE {caller} {value}"));
        let update = DocumentUpdate::write(value.clone().into_bytes()).if_was(written.clone());
        let put = store.put_document(&document(caller), update).await.unwrap();
        assert_eq!(put, DocumentOutcome::Done { existed: written.is_some() });
        say(&format!("WRITTEN {caller} {value}"));
        written = Some(value.into_bytes());
        let request = request(run, caller, n);
        let id = request.id.clone();
        say(&format!("ASK {id}"));
        match store.acquire(request).await.unwrap() {
            AcquireOutcome::Held(record) => {
                say(&format!("HELD {id} {}", record.token.as_u64()));
                held.push(record);
            }
            AcquireOutcome::Queued(_) => say(&format!("QUEUED {id}")),
            AcquireOutcome::Busy(_) => unreachable!("it waits"),
        }
        // Every third stays, so that later runs find it and stand in line behind it.
        if n % 3 != 0
            && let Some(record) = held.pop()
        {
            let id = record.request.id.clone();
            say(&format!("GIVE {id}"));
            store.release(&record.grant()).await.unwrap();
            say(&format!("GIVEN {id}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the test below, which kills it"]
async fn worker_takes_and_gives_back() {
    let directory = std::env::var("CRASH_DIRECTORY").unwrap();
    let run = std::env::var("CRASH_RUN").unwrap().parse().unwrap();
    let store = open(config(directory.as_ref())).unwrap();
    let mut callers = Vec::new();
    for caller in 0..CALLERS {
        callers.push(tokio::spawn(work(Arc::clone(&store), run, caller)));
    }
    for caller in callers {
        caller.await.unwrap();
    }
}

/// What is known of a request from what the killed processes said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Asked,
    Queued,
    Held(u64),
    /// Asked to be released: it holds or it is over.
    Giving(u64),
    Given,
}

#[derive(Default)]
struct Ledger {
    known: BTreeMap<String, Known>,
    /// Of each caller's document: what was written for sure, and what is being written.
    documents: BTreeMap<usize, (Option<String>, Option<String>)>,
    highest: u64,
    answers: usize,
}

impl Ledger {
    fn note(&mut self, line: &str) {
        let mut words = line.split(' ');
        let (Some(word), Some(id)) = (words.next(), words.next()) else { return };
        if let ("WRITE" | "WRITTEN", Some(value)) = (word, line.splitn(3, ' ').nth(2)) {
            let document = self.documents.entry(id.parse().expect("a caller")).or_default();
            if word == "WRITE" {
                document.1 = Some(value.to_owned());
            } else {
                *document = (document.1.take(), None);
                assert_eq!(document.0.as_deref(), Some(value));
                self.answers += 1;
            }
            return;
        }
        let token = || match self.known.get(id) {
            Some(Known::Held(token) | Known::Giving(token)) => *token,
            other => panic!("{line} after {other:?}"),
        };
        let known = match word {
            "ASK" => Known::Asked,
            "QUEUED" => Known::Queued,
            "HELD" => Known::Held(words.next().and_then(|t| t.parse().ok()).expect("a token")),
            "GIVE" => Known::Giving(token()),
            "GIVEN" => Known::Given,
            _ => return,
        };
        if let Known::Held(token) = known {
            self.highest = self.highest.max(token);
        }
        self.answers += usize::from(matches!(known, Known::Queued | Known::Held(_) | Known::Given));
        self.known.insert(id.to_owned(), known);
    }

    async fn compare(&mut self, store: &EmbeddedBackend) {
        for (caller, (written, doubtful)) in &mut self.documents {
            let found = store.document(&document(*caller)).await.unwrap();
            let found = found.map(|value| String::from_utf8(value).unwrap());
            let fits = found == *written || (doubtful.is_some() && found == *doubtful);
            assert!(fits, "document {caller} was {written:?}, perhaps {doubtful:?}, and is {found:?}");
            (*written, *doubtful) = (found, None);
        }
        for (id, known) in &mut self.known {
            let found =
                store.find(&RequestId::new(id.as_str()).unwrap()).await.unwrap().map(|(_, state)| state);
            let fits = match (*known, &found) {
                (Known::Asked, _) => true,
                // Somebody else's release may have handed it on.
                (Known::Queued, Some(RequestState::Queued(_) | RequestState::Held(_))) => true,
                (Known::Held(token), Some(RequestState::Held(lock))) => lock.token.as_u64() == token,
                (Known::Giving(token), Some(RequestState::Held(lock))) => lock.token.as_u64() == token,
                (Known::Giving(_) | Known::Given, Some(RequestState::Finished(_))) => true,
                _ => false,
            };
            assert!(fits, "{id} was last {known:?}, and now it is {found:?}");
            // What the kill left open is settled now, and must stay as it is.
            *known = match (*known, found) {
                (Known::Asked, None) => Known::Asked,
                (Known::Asked | Known::Giving(_), Some(RequestState::Held(lock))) => {
                    Known::Held(lock.token.as_u64())
                }
                (Known::Asked, Some(RequestState::Queued(_))) => Known::Queued,
                (_, Some(RequestState::Finished(_))) => Known::Given,
                (known, _) => known,
            };
        }
    }
}

/// Kills one process after it has given some answers, and returns what it said until then.
fn run_and_kill(directory: &Path, run: usize, answers: usize, ledger: &mut Ledger) {
    let mut command = child::worker("worker_takes_and_gives_back");
    command.env("CRASH_DIRECTORY", directory).env("CRASH_RUN", run.to_string());
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let stop = ledger.answers + answers;
    for line in lines.by_ref() {
        ledger.note(&line.unwrap());
        if ledger.answers >= stop {
            break;
        }
    }
    process.kill().unwrap();
    // What it had said before it died counts as well; a line that was cut short does not.
    for line in lines.map_while(Result::ok) {
        ledger.note(&line);
    }
    let output = process.wait_with_output().unwrap();
    let reason = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code().is_none(), "it ended by itself: {} {reason}", output.status);
}

#[tokio::test]
async fn nothing_that_was_answered_is_lost_when_the_process_is_killed() {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let kills = number("CRASH_KILLS").unwrap_or(15);
    let seed = number("CRASH_SEED").unwrap_or_else(|| RandomState::new().hash_one("crash"));
    println!("{kills} kills, CRASH_SEED={seed}");
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::default();
    let mut random = seed;
    for run in 0..usize::try_from(kills).unwrap() {
        // Any sequence will do; this one is Knuth's.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let answers = usize::try_from(random >> 33).unwrap() % 150;
        run_and_kill(directory.path(), run, answers, &mut ledger);

        let report = check(directory.path()).unwrap_or_else(|e| panic!("run {run}, CRASH_SEED={seed}: {e}"));
        assert!(report.last_token >= ledger.highest, "{report:?}, and {} was answered", ledger.highest);
        let store = open(config(directory.path())).unwrap();
        ledger.compare(&store).await;
        let events = store.events(&EventCursor::start(), usize::MAX).await.unwrap().events;
        assert!(events.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq), "events have a gap");
        let locks = store.locks(&LockQuery { limit: 1_000, ..LockQuery::default() }).await.unwrap().items;
        assert_eq!(locks.len(), report.locks);
        // A new grant is above everything that was ever answered. Given back: it is nobody's in the ledger.
        let probe = AcquireRequest::new(ResourceKey::new("probe").unwrap(), OwnerId::new("probe").unwrap());
        let AcquireOutcome::Held(probe) = store.acquire(probe).await.unwrap() else { panic!("it is free") };
        assert!(probe.token.as_u64() > ledger.highest);
        store.release(&probe.grant()).await.unwrap();
        store.close().await.unwrap();
    }
    println!("{} answers, {} requests", ledger.answers, ledger.known.len());
    assert!(ledger.answers > 0);
}

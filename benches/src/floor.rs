//! The floors: bare LMDB doing nothing but making records durable. Owns the fair comparison: same library, same
//! record, same flags, same way of answering.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvOpenOptions, WithoutTls};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// As many bytes as the embedded store writes for one leased lock.
const RECORD: [u8; 160] = [7; 160];

/// A bare environment.
#[derive(Clone, Debug)]
pub struct Bare {
    env: Env<WithoutTls>,
    database: Database<'static, Bytes, Bytes>,
}

impl Bare {
    /// Opens one in an empty directory, with the flags the embedded store uses.
    #[must_use]
    #[expect(
        unsafe_code,
        reason = "memory maps are unsafe by nature; nobody else has the temporary directory"
    )]
    pub fn open(directory: &Path) -> Self {
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        // SAFETY: the directory is a temporary one of this process alone.
        let env = unsafe { options.map_size(1 << 30).open(directory) }.expect("LMDB opens");
        let txn = env.write_txn().expect("a transaction");
        let database = env
            .create_databases_and_commit(txn, |opener, txn| {
                opener.create_database::<Bytes, Bytes>(txn, None).map(CommitOrAbort::<_, ()>::Commit)
            })
            .expect("the unnamed database")
            .unwrap_commit();
        Self { env, database }
    }

    /// Commits one record, alone in its transaction.
    pub fn commit(&self, key: &[u8]) {
        let mut txn = self.env.write_txn().expect("a transaction");
        self.database.put(&mut txn, key, &RECORD).expect("room");
        txn.commit().expect("a working disk");
    }

    /// `callers` threads commit the same record twice per pair, one commit per operation.
    #[must_use]
    pub fn one_commit_per_operation(&self, callers: usize, pairs: usize) -> Duration {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for caller in 0..callers {
                scope.spawn(move || {
                    let key = key(caller);
                    for _ in 0..pairs * 2 {
                        self.commit(&key);
                    }
                });
            }
        });
        start.elapsed()
    }

    /// `callers` tasks commit the same record twice per pair through a writer thread that commits whatever is waiting.
    pub async fn group_commit(&self, callers: usize, pairs: usize) -> Duration {
        let (sender, receiver) = bounded::<(Vec<u8>, oneshot::Sender<()>)>(8_192);
        let bare = self.clone();
        let writer = std::thread::spawn(move || {
            let mut answers = Vec::new();
            while let Ok((key, answer)) = receiver.recv() {
                let mut txn = bare.env.write_txn().expect("a transaction");
                bare.database.put(&mut txn, &key, &RECORD).expect("room");
                answers.push(answer);
                while answers.len() < 4_096
                    && let Ok((key, answer)) = receiver.try_recv()
                {
                    bare.database.put(&mut txn, &key, &RECORD).expect("room");
                    answers.push(answer);
                }
                txn.commit().expect("a working disk");
                for answer in answers.drain(..) {
                    let _ = answer.send(());
                }
            }
        });
        let sender: Arc<Sender<_>> = Arc::new(sender);
        let mut tasks = JoinSet::new();
        let start = Instant::now();
        for caller in 0..callers {
            let sender = Arc::clone(&sender);
            tasks.spawn(async move {
                let key = key(caller);
                for _ in 0..pairs * 2 {
                    let (answer, done) = oneshot::channel();
                    sender.send((key.clone(), answer)).expect("the writer runs");
                    done.await.expect("the writer answers");
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("a caller does not fail");
        }
        let elapsed = start.elapsed();
        drop(sender);
        writer.join().expect("the writer ends");
        elapsed
    }
}

fn key(caller: usize) -> Vec<u8> {
    format!("eacme/infra/envs/project-{caller:07}/default\0{caller:036}").into_bytes()
}

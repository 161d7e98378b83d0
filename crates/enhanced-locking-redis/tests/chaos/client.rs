//! Faults of a client: its process is stopped for longer than its lease, and goes on as if nothing had happened.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireOutcome, AcquireRequest, FencingToken, Lease, LockBackend, LockRecord, OwnerId, RequestState,
    ResourceKey, Wait,
};
use enhanced_locking_redis::{RedisBackend, RedisConfig, Servers, open};
use enhanced_locking_testkit::guard::GuardedResources;
use enhanced_locking_testkit::redis::{RedisServer, ServerOptions};

const LEASE: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_secs(10);
const SOCKET: &str = "CHAOS_CLIENT_SOCKET";

fn key() -> ResourceKey {
    ResourceKey::new("k").unwrap()
}

async fn take(store: &RedisBackend, owner: &str) -> LockRecord {
    let request =
        AcquireRequest::new(key(), OwnerId::new(owner).unwrap()).lease(Lease::For(LEASE)).wait(Wait::Forever);
    match store.acquire(request.clone()).await.unwrap() {
        AcquireOutcome::Held(record) => record,
        AcquireOutcome::Queued(_) => match store.await_turn(&request.ticket(), SOON).await.unwrap() {
            RequestState::Held(record) => record,
            other => panic!("its turn should come: {other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// The client in its own process: takes the lock, and then writes and releases as it is told, without a look at a clock.
#[tokio::test]
#[ignore = "run in a process of its own by the test below"]
async fn client_that_will_be_stopped() {
    let Some(socket) = std::env::var_os(SOCKET) else { return };
    let store = open(RedisConfig::new(Servers::unix(std::path::PathBuf::from(socket)))).await.unwrap();
    let record = take(&store, "stopped").await;
    println!("\n> held {}", record.token.as_u64());
    for line in std::io::stdin().lines() {
        match line.unwrap().as_str() {
            "write" => println!("> write {}", record.token.as_u64()),
            _ => println!("> released {}", u8::from(store.release(&record.grant()).await.is_ok())),
        }
    }
}

/// The client as its test sees it.
struct Client {
    process: Child,
    orders: ChildStdin,
    words: Lines<BufReader<ChildStdout>>,
}

impl Client {
    fn start(server: &RedisServer) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["client::client_that_will_be_stopped", "--exact", "--ignored", "--nocapture"])
            .env(SOCKET, server.socket())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (orders, words) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Self { process, orders, words: BufReader::new(words).lines() }
    }

    fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
    }

    /// What it says next with this word.
    fn says(&mut self, word: &str) -> u64 {
        let start = format!("> {word} ");
        let said = self.words.by_ref().find_map(|line| line.unwrap().strip_prefix(&start).map(str::to_owned));
        said.expect("it says so").parse().unwrap()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_stopped_past_its_lease_cannot_write_any_more() {
    let server = RedisServer::start(&ServerOptions::default()).unwrap();
    let store = open(RedisConfig::new(Servers::unix(server.socket()))).await.unwrap();
    let rows = [GuardedResources::checked(), GuardedResources::unchecked()];
    let mut client = Client::start(&server);
    let old = FencingToken::from_u64(client.says("held"));
    let seen = rows.each_ref().map(|rows| rows.read(&key(), old).unwrap());
    client.signal("-STOP");
    // What it is about to do when it is stopped.
    client.order("write");
    let record = tokio::time::timeout(SOON, take(&store, "next")).await.expect("the lease runs out");
    assert!(record.token > old, "{record:?}");
    for rows in &rows {
        let version = rows.read(&key(), record.token).unwrap();
        rows.write(&key(), record.token, version).unwrap();
    }
    client.signal("-CONT");
    let late = FencingToken::from_u64(client.says("write"));
    assert_eq!(late, old, "it does not know");
    let written = [0, 1].map(|at: usize| rows[at].write(&key(), late, seen[at]).is_ok());
    assert_eq!(written, [false, true], "who checks tokens refuses it");
    assert_eq!(rows.each_ref().map(|rows| rows.updates().lost), [0, 1], "and who does not loses an update");
    client.order("release");
    assert_eq!(client.says("released"), 0, "it is told that it holds nothing");
    store.release(&record.grant()).await.unwrap();
}

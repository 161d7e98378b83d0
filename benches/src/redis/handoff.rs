//! Hand-off of one key among many waiters in several processes' stores, and the floor of it, `LPUSH` to `BLPOP` on another
//! connection. Owns the ring: whoever had it stands in line again, and the order in which it goes around is checked.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireOutcome, AcquireRequest, LockBackend, LockRecord, OwnerId, RequestState,
};
use enhanced_locking_redis::RedisBackend;
use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::{ClusterHash, CustomCommand};
use futures_util::future::join_all;
use hdrhistogram::Histogram;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

use super::{Redis, floor};
use crate::request;

/// Stores, each with connections of its own, that the waiters are spread over.
const STORES: usize = 4;
/// How long each holds the key: long enough for everybody else to really wait.
const HOLD: Duration = Duration::from_millis(1);
/// How often who waits looks although nobody told it to: not within a run, so that whoever looks was woken. Less than the
/// time after which a silent waiter loses its place.
const POLL: Duration = Duration::from_secs(20);
/// How long a waiter may wait before the benchmark is called broken.
const PATIENCE: Duration = Duration::from_secs(60);
/// Connections that are made at once.
const AT_ONCE: usize = 50;
/// The list that `BLPOP` waits for.
const LIST: &str = "bench-hand-off";

/// What was seen of a ring.
#[derive(Debug)]
pub struct HandOffs {
    /// From the release being sent to the next holder being told, in nanoseconds.
    pub latencies: Histogram<u64>,
    /// Messages published per hand-off.
    pub messages: f64,
    /// Looks at the line per hand-off beside the one with which everybody joins it: waiters that were woken.
    pub woken: f64,
}

/// Hands a key around among `waiters` and a holder. Everybody gets it in the order of joining the line, with a higher
/// token, or this panics.
pub async fn run(redis: &Redis, waiters: usize, hand_offs: usize) -> HandOffs {
    let stores = redis.stores(STORES, Some(POLL)).await;
    let (told, mut next) = unbounded_channel();
    let ring = Ring { stores, told };
    let AcquireOutcome::Held(mut held) = ring.ask(0).await.1 else { panic!("the key is free") };
    let mut line = VecDeque::new();
    for waiter in 1..=waiters {
        ring.join(waiter).await;
        line.push_back(waiter);
    }
    // Only for the figures: whoever does not listen yet finds its grant in the data all the same.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut latencies = Histogram::new(3).expect("a histogram");
    let (published, operations) = (redis.calls("publish"), ring.operations().await);
    let mut holder = 0;
    for _ in 0..hand_offs {
        tokio::time::sleep(HOLD).await;
        let released = Instant::now();
        ring.store(holder).release(&held.grant()).await.expect("the lock is held");
        let (who, at, record) = hear(&mut next).await;
        record_latency(&mut latencies, released, at);
        assert_eq!(Some(who), line.pop_front(), "first come, first served");
        assert!(record.token > held.token, "tokens rise");
        ring.join(holder).await;
        line.push_back(holder);
        (holder, held) = (who, record);
    }
    let (messages, looks) = (redis.calls("publish") - published, ring.operations().await - operations);
    // Each releases, joins the line, and looks once before it listens.
    let woken = per(looks.saturating_sub(3 * hand_offs as u64), hand_offs);
    join_all(ring.stores.iter().map(|store| store.close())).await;
    HandOffs { latencies, messages: per(messages, hand_offs), woken }
}

/// The same with `BLPOP`: one element of a list goes around.
pub async fn floor(redis: &Redis, waiters: usize, hand_offs: usize) -> Histogram<u64> {
    let pusher = floor::connect(redis).await;
    let mut clients = Vec::new();
    while clients.len() <= waiters {
        let more = AT_ONCE.min(waiters + 1 - clients.len());
        clients.extend(join_all((0..more).map(|_| floor::connect(redis))).await);
    }
    let (told, mut next) = unbounded_channel();
    for (waiter, client) in clients.iter().enumerate().skip(1) {
        pop(waiter, client, &told);
        if waiter % AT_ONCE == 0 || waiter == waiters {
            until_blocked(redis, waiter).await;
        }
    }
    let mut latencies = Histogram::new(3).expect("a histogram");
    let mut holder = 0;
    for _ in 0..hand_offs {
        tokio::time::sleep(HOLD).await;
        let released = Instant::now();
        call(&pusher, "LPUSH", false, &[LIST, "x"]).await;
        let (who, at, ()) = hear(&mut next).await;
        record_latency(&mut latencies, released, at);
        pop(holder, &clients[holder], &told);
        holder = who;
    }
    // Everybody who still waits gets one, so that no connection is left waiting: a farewell behind it would wait, too.
    until_blocked(redis, waiters).await;
    for _ in 0..waiters {
        call(&pusher, "LPUSH", false, &[LIST, "x"]).await;
    }
    until_blocked(redis, 0).await;
    clients.push(pusher);
    for client in &clients {
        client.quit().await.expect("the connection closes");
    }
    latencies
}

/// Who plays.
struct Ring {
    stores: Vec<Arc<RedisBackend>>,
    told: UnboundedSender<(usize, Instant, LockRecord)>,
}

impl Ring {
    fn store(&self, number: usize) -> &Arc<RedisBackend> {
        &self.stores[number % STORES]
    }

    async fn ask(&self, number: usize) -> (AcquireRequest, AcquireOutcome) {
        let owner = OwnerId::new(format!("waiter-{number}")).expect("a valid owner");
        let wish = AcquireRequest { owner, ..request(0) };
        let outcome = self.store(number).acquire(wish.clone()).await.expect("room in the line");
        (wish, outcome)
    }

    /// Stands in line, and tells when it is its turn.
    async fn join(&self, number: usize) {
        let (wish, outcome) = self.ask(number).await;
        assert!(matches!(outcome, AcquireOutcome::Queued(_)), "{outcome:?}");
        let (store, told, ticket) = (Arc::clone(self.store(number)), self.told.clone(), wish.ticket());
        tokio::spawn(async move {
            // Ends with an error when the benchmark is over and the store is closed.
            let Ok(RequestState::Held(record)) = store.await_turn(&ticket, PATIENCE).await else { return };
            let _ = told.send((number, Instant::now(), record));
        });
    }

    async fn operations(&self) -> u64 {
        let all = join_all(self.stores.iter().map(|store| store.status())).await;
        all.iter().map(|status| status.operations).sum()
    }
}

/// Waits for the element, and tells when it has it.
fn pop(number: usize, client: &Client, told: &UnboundedSender<(usize, Instant, ())>) {
    let (client, told) = (client.clone(), told.clone());
    tokio::spawn(async move {
        let command = CustomCommand::new_static("BLPOP", ClusterHash::FirstKey, true);
        let popped: Result<Vec<String>, _> = client.custom(command, vec![LIST, "0"]).await;
        if popped.is_ok() {
            let _ = told.send((number, Instant::now(), ()));
        }
    });
}

async fn call(client: &Client, command: &'static str, blocking: bool, arguments: &[&'static str]) {
    let command = CustomCommand::new_static(command, ClusterHash::FirstKey, blocking);
    let _: i64 = client.custom(command, arguments.to_vec()).await.expect("the server answers");
}

async fn until_blocked(redis: &Redis, count: usize) {
    let end = Instant::now() + PATIENCE;
    while redis.blocked_clients() != count {
        assert!(Instant::now() < end, "{count} clients should be blocked");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn hear<T>(next: &mut UnboundedReceiver<(usize, Instant, T)>) -> (usize, Instant, T) {
    let heard = tokio::time::timeout(PATIENCE, next.recv()).await;
    heard.expect("a hand-off does not get lost").expect("everybody is there")
}

fn record_latency(latencies: &mut Histogram<u64>, from: Instant, to: Instant) {
    let nanos = u64::try_from((to - from).as_nanos()).unwrap_or(u64::MAX);
    latencies.record(nanos).expect("in range");
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn per(count: u64, hand_offs: usize) -> f64 {
    count as f64 / hand_offs.max(1) as f64
}

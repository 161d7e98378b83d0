//! The rows about Redis: every one beside its floor in neighbouring rounds, which of them comes first taking turns.

use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_benches::pairs;
use enhanced_locking_benches::redis::floor::Floor;
use enhanced_locking_benches::redis::{Redis, handoff, locks, recovery};
use enhanced_locking_foundation::LockBackend;
use hdrhistogram::Histogram;
use tokio::runtime::Runtime;

use crate::{median, rate};

/// Pairs/s of the strongest peer with 64 callers, a bare lock without a line, tokens or events, measured in another run.
const STRONGEST_PEER: f64 = 115_077.0;
/// What the legacy store took to list, and to release by pull request, 5 000 locks, in ms.
const LEGACY_MS: (f64, f64) = (382.0, 553.0);
/// Locks whose memory is measured.
const HELD: usize = 100_000;
/// Holders that vanish at once.
const VANISHING: usize = 20;

/// Prints the rows whose part is wanted.
pub(crate) fn rows(runtime: &Runtime, rounds: usize, wanted: &dyn Fn(&str) -> bool) {
    let parts = ["redis pairs", "redis hand-off", "redis recovery", "redis locks"].map(wanted);
    if !parts.contains(&true) {
        return;
    }
    let redis = Redis::start();
    runtime.block_on(async {
        if parts[0] {
            uncontended(&redis, rounds).await;
        }
        if parts[1] {
            hand_off(&redis, rounds).await;
        }
        if parts[2] {
            vanished(&redis).await;
        }
        if parts[3] {
            many(&redis, rounds).await;
        }
    });
    let _inside = runtime.enter();
    drop(redis);
}

async fn uncontended(redis: &Redis, rounds: usize) {
    let floor = Floor::connect(redis).await;
    for (callers, each) in [(1, 4_000), (64, 600), (256, 200)] {
        let store = redis.store().await;
        let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        let (measured, backend): (_, Arc<dyn LockBackend>) = (callers * each, store.clone());
        // Connections, caches and the code of the server are warm in both.
        pairs::run(Arc::clone(&backend), callers, each / 10).await;
        floor.run(callers, each / 10).await;
        let before = store.status().await;
        let (mut our_cpu, mut floor_cpu) = (Cpu::default(), Cpu::default());
        for round in 0..rounds {
            let mut mine = Duration::ZERO;
            if round % 2 == 0 {
                mine = our_cpu.of(redis, pairs::run(Arc::clone(&backend), callers, each)).await;
            }
            let bare = floor_cpu.of(redis, floor.run(callers, each)).await;
            if round % 2 == 1 {
                mine = our_cpu.of(redis, pairs::run(Arc::clone(&backend), callers, each)).await;
            }
            let (mine, bare) = (rate(measured, mine), rate(measured, bare));
            ours.push(mine);
            theirs.push(bare);
            ratios.push(if callers == 1 { bare / mine } else { mine / bare });
        }
        let after = store.status().await;
        let gathered = (after.operations - before.operations) as f64 / (after.calls - before.calls) as f64;
        let (ours, theirs, ratio) = (median(&mut ours), median(&mut theirs), median(&mut ratios));
        let goal = if callers == 1 { "time, goal ≤ 1.25" } else { "goal ≥ 0.8" };
        println!(
            "| redis: pairs/s, {callers} callers ({gathered:.1} operations per call) | {ours:.0} | {theirs:.0} `SET NX PX` + compare-and-delete, same client and connection ({goal}) | {ratio:.2} |"
        );
        if callers == 64 {
            println!(
                "| redis: pairs/s, 64 callers | {ours:.0} | {STRONGEST_PEER:.0} (rslock, one node, another run) | {:.2} |",
                ours / STRONGEST_PEER
            );
        }
        let per_pair = |time: Duration| time.as_secs_f64() * 1e6 / (rounds * measured) as f64;
        let (ours, theirs) = (our_cpu.per(&per_pair), floor_cpu.per(&per_pair));
        println!(
            "| redis: CPU per pair, {callers} callers: server, client | {:.1} µs, {:.1} µs | {:.1} µs, {:.1} µs | {:.2} |",
            ours.0,
            ours.1,
            theirs.0,
            theirs.1,
            (ours.0 + ours.1) / (theirs.0 + theirs.1)
        );
        store.close().await.expect("the store closes");
    }
}

/// CPU time of the server and of this process.
#[derive(Default)]
struct Cpu {
    server: Duration,
    client: Duration,
}

impl Cpu {
    /// Adds what a piece of work uses.
    async fn of<T>(&mut self, redis: &Redis, work: impl Future<Output = T>) -> T {
        let before = redis.cpu();
        let done = work.await;
        let after = redis.cpu();
        self.server += after.0.saturating_sub(before.0);
        self.client += after.1.saturating_sub(before.1);
        done
    }

    fn per(&self, each: &impl Fn(Duration) -> f64) -> (f64, f64) {
        (each(self.server), each(self.client))
    }
}

async fn hand_off(redis: &Redis, rounds: usize) {
    for waiters in [1, 10, 64, 1_000] {
        let (mut ours, mut theirs, mut ratios) = (histogram(), histogram(), Vec::new());
        let (mut messages, mut woken) = (Vec::new(), Vec::new());
        for round in 0..rounds.min(3) {
            let bare = if round % 2 == 1 { Some(handoff::floor(redis, waiters, 1_000).await) } else { None };
            let mine = handoff::run(redis, waiters, 1_000).await;
            let bare = match bare {
                Some(bare) => bare,
                None => handoff::floor(redis, waiters, 1_000).await,
            };
            ratios.push(micros(&mine.latencies, 0.5) / micros(&bare, 0.5));
            messages.push(mine.messages);
            woken.push(mine.woken);
            ours.add(&mine.latencies).expect("the same range");
            theirs.add(&bare).expect("the same range");
        }
        println!(
            "| redis: hand-off, {waiters} waiters in order: p50 | {:.0} µs | {:.0} µs `LPUSH` to `BLPOP` (goal ≤ 1.5) | {:.2} |",
            micros(&ours, 0.5),
            micros(&theirs, 0.5),
            median(&mut ratios)
        );
        println!(
            "| redis: hand-off, {waiters} waiters in order: p99 | {:.0} µs | goal 5000 µs ({:.0} µs `BLPOP`) | {:.2} |",
            micros(&ours, 0.99),
            micros(&theirs, 0.99),
            micros(&ours, 0.99) / 5_000.0
        );
        println!(
            "| redis: hand-off, {waiters} waiters: messages, waiters woken | {:.2}, {:.2} | 1, 1 | |",
            median(&mut messages),
            median(&mut woken)
        );
    }
}

async fn vanished(redis: &Redis) {
    let delays = recovery::run(redis, VANISHING).await;
    let millis = |q: f64| delays.value_at_quantile(q) as f64 / 1e3;
    println!(
        "| redis: lease end of a vanished holder to next holder, {VANISHING} keys: p50, most | {:.0} ms, {:.0} ms | goal 1000 ms | {:.2} |",
        millis(0.5),
        millis(1.0),
        millis(1.0) / 1_000.0
    );
}

async fn many(redis: &Redis, rounds: usize) {
    for (what, pulls) in [("key and owner", false), ("key, owner, user and pull", true)] {
        redis.clear();
        let store = redis.store().await;
        let before = redis.used_memory();
        locks::fill(&store, 0..HELD, pulls).await;
        let bytes = (redis.used_memory().saturating_sub(before)) as f64 / HELD as f64;
        println!(
            "| redis: bytes per held lock, {HELD} of them ({what}) | {bytes:.0} | goal 600 | {:.2} |",
            bytes / 600.0
        );
        if pulls {
            list_and_clear(&store, HELD, rounds).await;
        }
        store.close().await.expect("the store closes");
    }
    redis.clear();
    let store = redis.store().await;
    locks::fill(&store, 0..locks::OF_ONE_PULL, true).await;
    list_and_clear(&store, locks::OF_ONE_PULL, rounds).await;
    store.close().await.expect("the store closes");
    redis.clear();
}

/// Lists the locks of a pull request and releases them, one pull request per round if there are so many.
async fn list_and_clear(store: &Arc<impl LockBackend + 'static>, held: usize, rounds: usize) {
    let (mut lists, mut clears) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let pull = round % (held / locks::OF_ONE_PULL);
        let (listed, took) = locks::list(&**store, pull).await;
        assert_eq!(listed, locks::OF_ONE_PULL);
        lists.push(took.as_secs_f64() * 1e3);
        let (cleared, took) = locks::clear(&**store, pull).await;
        assert_eq!(cleared, locks::OF_ONE_PULL);
        clears.push(took.as_secs_f64() * 1e3);
        let first = pull * locks::OF_ONE_PULL;
        locks::fill(store, first..first + locks::OF_ONE_PULL, true).await;
    }
    for (what, millis, legacy) in
        [("list", median(&mut lists), LEGACY_MS.0), ("release by pull", median(&mut clears), LEGACY_MS.1)]
    {
        println!(
            "| redis: {what}, {} of {held} locks | {millis:.0} ms | {legacy:.0} ms legacy, another run (goal ≥ 10 times faster) | {:.0} |",
            locks::OF_ONE_PULL,
            legacy / millis
        );
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("a histogram")
}

fn micros(latencies: &Histogram<u64>, quantile: f64) -> f64 {
    latencies.value_at_quantile(quantile) as f64 / 1e3
}

//! The table of `docs/performance.md`: everything beside its floor, in turn and in one run, medians of the rounds.
//!
//! Absolute figures belong to a machine and a minute; ratios of neighbouring rounds do not. Prints Markdown.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a program that prints a table")]

#[path = "ratios/redis.rs"]
mod redis;

use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_benches::floor::Bare;
use enhanced_locking_benches::service::Service;
use enhanced_locking_benches::{footprint, handoff, pairs, request, table};
use enhanced_locking_core::TablePolicy;
use enhanced_locking_core::memory::MemoryBackend;
use enhanced_locking_embedded::{EmbeddedConfig, open};
use enhanced_locking_foundation::{LockBackend, SteadyClock};
use tokio::runtime::Runtime;
use tokio::time::Instant;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rounds = if arguments.iter().any(|arg| arg == "--quick" || arg == "--test") { 1 } else { 5 };
    // Words choose parts: `cargo bench --bench ratios -- embedded`.
    let parts: Vec<&String> = arguments.iter().filter(|arg| !arg.starts_with('-')).collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|word| part.contains(word.as_str()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    println!("| what | measured | floor or target | ratio |\n|---|---|---|---|");
    // First, while no freed memory can hide what is gained.
    if wanted("footprint") {
        memory_use();
    }
    if wanted("table") {
        growth();
    }
    if wanted("memory") {
        memory();
    }
    if wanted("embedded") {
        embedded(&runtime, rounds);
    }
    if wanted("service") {
        service(&runtime, rounds);
    }
    if wanted("hand-off") {
        hand_off(&runtime);
    }
    redis::rows(&runtime, rounds, &wanted);
}

fn growth() {
    let mut small = 0.0;
    for (held, waiting) in [(1_000, 100), (10_000, 1_000), (100_000, 10_000), (1_000_000, 100_000)] {
        let mut filled = table::filled(held, waiting);
        let requests = table::own_requests(64);
        let mut rounds: Vec<f64> = (0..9)
            .map(|_| {
                let ids = table::ids(20_000);
                let start = Instant::now();
                for (turn, id) in ids.into_iter().enumerate() {
                    table::pair(&mut filled, &requests[turn % 64], id, table::NOW);
                }
                start.elapsed().as_secs_f64() * 1e9 / 20_000.0
            })
            .collect();
        let nanos = median(&mut rounds);
        if held == 1_000 {
            small = nanos;
        }
        println!(
            "| table: pair with {held} locks held, {waiting} waiting | {nanos:.0} ns | {small:.0} ns with 1000 | {:.2} |",
            nanos / small
        );
    }
}

fn memory() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    for kept in [1_024, TablePolicy::default().limits.events] {
        memory_keeping(&runtime, kept);
    }
}

fn memory_keeping(runtime: &Runtime, kept: usize) {
    let mut policy = TablePolicy::default();
    (policy.limits.events, policy.limits.finished) = (kept, kept);
    let backend = MemoryBackend::new(policy, Arc::new(SteadyClock::new()));
    let template = request(0);
    let mut rounds: Vec<f64> = (0..9)
        .map(|_| {
            let start = Instant::now();
            runtime.block_on(async {
                for _ in 0..100_000 {
                    pairs::pair(&*backend, &template).await;
                }
            });
            100_000.0 / start.elapsed().as_secs_f64()
        })
        .collect();
    let rate = median(&mut rounds);
    println!(
        "| memory backend: pairs/s on one core, {kept} events and ends kept | {rate:.0} | 1000000 | {:.2} |",
        rate / 1e6
    );
}

fn embedded(runtime: &Runtime, rounds: usize) {
    for (callers, each) in [(1, 1_000), (64, 200), (512, 100)] {
        let (mut ours, mut floor, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let directory = tempfile::tempdir().expect("a directory");
            let store = open(EmbeddedConfig::new(directory.path())).expect("the store opens");
            let store: Arc<dyn LockBackend> = store;
            let mine = rate(callers * each, runtime.block_on(pairs::run(store, callers, each)));
            let directory = tempfile::tempdir().expect("a directory");
            let bare = Bare::open(directory.path());
            let theirs = if callers == 1 {
                rate(each, bare.one_commit_per_operation(1, each))
            } else {
                rate(callers * each, runtime.block_on(bare.group_commit(callers, each)))
            };
            ours.push(mine);
            floor.push(theirs);
            ratios.push(mine / theirs);
        }
        let (ours, floor, ratio) = (median(&mut ours), median(&mut floor), median(&mut ratios));
        let what = if callers == 1 { "one commit each" } else { "same group commit" };
        println!(
            "| embedded: durable pairs/s, {callers} callers | {ours:.0} | {floor:.0} (bare LMDB, {what}) | {ratio:.2} |"
        );
        if callers == 64 {
            let directory = tempfile::tempdir().expect("a directory");
            let single = Bare::open(directory.path());
            let single = rate(64 * 20, single.one_commit_per_operation(64, 20));
            println!(
                "| embedded: durable pairs/s, 64 callers | {ours:.0} | {single:.0} (bare LMDB, one commit per operation) | {:.1} |",
                ours / single
            );
        }
    }
}

fn service(runtime: &Runtime, rounds: usize) {
    let service = Service::start();
    for (callers, each) in [(1, 300), (64, 500)] {
        let (mut ours, mut floor, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let mine = rate(callers * each, runtime.block_on(pairs::run(service.remote(), callers, each)));
            let theirs = rate(callers * each, runtime.block_on(service.healthz(callers, each)));
            ours.push(mine);
            floor.push(theirs);
            ratios.push(mine / theirs);
        }
        let (ours, floor, ratio) = (median(&mut ours), median(&mut floor), median(&mut ratios));
        println!(
            "| over HTTP, durable: pairs/s, {callers} callers | {ours:.0} | {floor:.0} bare `GET /healthz`/s | {ratio:.2} |"
        );
        if callers == 64 {
            println!(
                "| over HTTP, durable: pairs/s, 64 callers | {ours:.0} | 4448 (etcd v3lock, another run) | {:.1} |",
                ours / 4_448.0
            );
        }
    }
}

fn hand_off(runtime: &Runtime) {
    for waiters in [10, 100, 1_000, 10_000] {
        let backend = MemoryBackend::new(TablePolicy::default(), Arc::new(SteadyClock::new()));
        let latencies = runtime.block_on(handoff::run(backend, waiters));
        let micros = |q: f64| latencies.value_at_quantile(q) as f64 / 1e3;
        println!(
            "| hand-off in process, {waiters} waiters: p50, p99 | {:.1} µs, {:.1} µs | p99 100 µs | {:.2} |",
            micros(0.5),
            micros(0.99),
            micros(0.99) / 100.0
        );
    }
}

fn memory_use() {
    let (lock, waiter) = footprint::bytes_per_entry(200_000, 200_000);
    println!("| table: bytes per held lock, per waiter | {lock}, {waiter} | | |");
}

fn rate(pairs: usize, took: Duration) -> f64 {
    pairs as f64 / took.as_secs_f64()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

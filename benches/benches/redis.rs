//! The Redis store on a real server beside what people write by hand: pairs, hand-offs, and 5 000 locks at once.
#![expect(clippy::expect_used, reason = "a benchmark that cannot set itself up has nothing to measure")]

use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use enhanced_locking_benches::pairs;
use enhanced_locking_benches::redis::floor::Floor;
use enhanced_locking_benches::redis::{Redis, handoff, locks};
use enhanced_locking_foundation::LockBackend;
use hdrhistogram::Histogram;

fn redis(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let redis = Redis::start();
    let store = runtime.block_on(redis.store());
    let floor = runtime.block_on(Floor::connect(&redis));
    let mut group = c.benchmark_group("redis");
    group.sample_size(10);
    let each = |iterations: u64| usize::try_from(iterations).unwrap_or(usize::MAX);
    for callers in [1, 64, 256] {
        group.throughput(Throughput::Elements(callers as u64));
        group.bench_function(BenchmarkId::new("pair", callers), |b| {
            let backend: Arc<dyn LockBackend> = store.clone();
            b.iter_custom(|n| runtime.block_on(pairs::run(Arc::clone(&backend), callers, each(n))));
        });
        group.bench_function(BenchmarkId::new("SET NX PX and compare-and-delete", callers), |b| {
            b.iter_custom(|n| runtime.block_on(floor.run(callers, each(n))));
        });
    }
    group.throughput(Throughput::Elements(1));
    for waiters in [1, 64] {
        group.bench_function(BenchmarkId::new("hand-off", waiters), |b| {
            b.iter_custom(|n| total(&runtime.block_on(handoff::run(&redis, waiters, each(n))).latencies));
        });
        group.bench_function(BenchmarkId::new("LPUSH to BLPOP", waiters), |b| {
            b.iter_custom(|n| total(&runtime.block_on(handoff::floor(&redis, waiters, each(n)))));
        });
    }
    group.throughput(Throughput::Elements(locks::OF_ONE_PULL as u64));
    let fill = || runtime.block_on(locks::fill(&store, 0..locks::OF_ONE_PULL, true));
    fill();
    group.bench_function("list 5000", |b| {
        b.iter_custom(|n| (0..n).map(|_| runtime.block_on(locks::list(&*store, 0)).1).sum());
    });
    group.bench_function("release 5000 by pull", |b| {
        b.iter_custom(|n| {
            let once = |_| {
                let (_, took) = runtime.block_on(locks::clear(&*store, 0));
                fill();
                took
            };
            (0..n).map(once).sum()
        });
    });
    group.finish();
    let _inside = runtime.enter();
    drop((store, floor, redis));
}

/// The hand-offs together, without what was between them.
fn total(latencies: &Histogram<u64>) -> Duration {
    let nanos = latencies.mean() * latencies.len() as f64;
    Duration::from_secs_f64(nanos / 1e9)
}

criterion_group!(benches, redis);
criterion_main!(benches);

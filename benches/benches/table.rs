//! The pure table and the memory backend: uncontended pairs, and how their cost grows with what is stored.
#![expect(clippy::expect_used, reason = "a benchmark that cannot set itself up has nothing to measure")]

use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use enhanced_locking_benches::table::{NOW, filled, ids, own_requests, pair};
use enhanced_locking_benches::{pairs, request};
use enhanced_locking_core::TablePolicy;
use enhanced_locking_core::memory::MemoryBackend;
use enhanced_locking_foundation::SteadyClock;

fn growth(c: &mut Criterion) {
    let mut group = c.benchmark_group("table pair by stored locks");
    group.throughput(Throughput::Elements(1));
    for (held, waiting) in [(0, 0), (1_000, 100), (10_000, 1_000), (100_000, 10_000), (1_000_000, 100_000)] {
        let mut table = filled(held, waiting);
        let requests = own_requests(64);
        let mut turn = 0;
        group.bench_function(BenchmarkId::from_parameter(held), |b| {
            b.iter_batched(
                || ids(1),
                |ids| {
                    turn += 1;
                    ids.into_iter().map(|id| pair(&mut table, &requests[turn % 64], id, NOW)).max()
                },
                BatchSize::SmallInput,
            );
        });
    }
}

fn memory_backend(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let backend = MemoryBackend::new(TablePolicy::default(), Arc::new(SteadyClock::new()));
    let template = request(0);
    let mut group = c.benchmark_group("memory backend");
    group.throughput(Throughput::Elements(1));
    group.bench_function("pair", |b| b.to_async(&runtime).iter(|| pairs::pair(&*backend, &template)));
}

criterion_group!(benches, growth, memory_backend);
criterion_main!(benches);

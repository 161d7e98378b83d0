//! The embedded store beside bare LMDB: durable pairs with 1, 64 and 512 callers.
#![expect(clippy::expect_used, reason = "a benchmark that cannot set itself up has nothing to measure")]

use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use enhanced_locking_benches::floor::Bare;
use enhanced_locking_benches::pairs;
use enhanced_locking_embedded::{EmbeddedConfig, open};
use enhanced_locking_foundation::LockBackend;

fn durable_pairs(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().expect("a runtime");
    let mut group = c.benchmark_group("durable pairs");
    group.sample_size(10);
    for callers in [1, 64, 512] {
        group.throughput(Throughput::Elements(callers as u64));
        let each = |iterations: u64| usize::try_from(iterations).unwrap_or(usize::MAX);
        let directory = tempfile::tempdir().expect("a directory");
        let store: Arc<dyn LockBackend> =
            open(EmbeddedConfig::new(directory.path())).expect("the store opens");
        group.bench_function(BenchmarkId::new("embedded", callers), |b| {
            b.iter_custom(|n| runtime.block_on(pairs::run(Arc::clone(&store), callers, each(n))));
        });
        let directory = tempfile::tempdir().expect("a directory");
        let bare = Bare::open(directory.path());
        group.bench_function(BenchmarkId::new("bare LMDB, group commit", callers), |b| {
            b.iter_custom(|n| runtime.block_on(bare.group_commit(callers, each(n))));
        });
    }
}

criterion_group!(benches, durable_pairs);
criterion_main!(benches);

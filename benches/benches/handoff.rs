//! Hand-off inside one process: from release to the next holder being told, by the number of those who wait.
#![expect(clippy::expect_used, reason = "a benchmark that cannot set itself up has nothing to measure")]

use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use enhanced_locking_benches::handoff;
use enhanced_locking_core::TablePolicy;
use enhanced_locking_core::memory::MemoryBackend;
use enhanced_locking_foundation::SteadyClock;

fn by_waiters(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().expect("a runtime");
    let mut group = c.benchmark_group("hand-off by waiters (p99)");
    group.sample_size(10);
    for waiters in [10, 100, 1_000, 10_000] {
        group.bench_function(BenchmarkId::from_parameter(waiters), |b| {
            b.iter_custom(|iterations| {
                let p99: u64 = (0..iterations)
                    .map(|_| {
                        let backend =
                            MemoryBackend::new(TablePolicy::default(), Arc::new(SteadyClock::new()));
                        runtime.block_on(handoff::run(backend, waiters)).value_at_quantile(0.99)
                    })
                    .sum();
                Duration::from_nanos(p99)
            });
        });
    }
}

criterion_group!(benches, by_waiters);
criterion_main!(benches);

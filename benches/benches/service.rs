//! Pairs over HTTP on loopback beside a bare `GET /healthz`.
#![expect(clippy::expect_used, reason = "a benchmark that cannot set itself up has nothing to measure")]

use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use enhanced_locking_benches::pairs;
use enhanced_locking_benches::service::Service;

fn over_http(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let service = Service::start();
    let remote = service.remote();
    let mut group = c.benchmark_group("over HTTP");
    group.sample_size(10);
    let each = |iterations: u64| usize::try_from(iterations).unwrap_or(usize::MAX);
    for callers in [1, 64] {
        group.throughput(Throughput::Elements(callers as u64));
        group.bench_function(BenchmarkId::new("pair", callers), |b| {
            b.iter_custom(|n| runtime.block_on(pairs::run(Arc::clone(&remote), callers, each(n))));
        });
        group.bench_function(BenchmarkId::new("GET healthz", callers), |b| {
            b.iter_custom(|n| runtime.block_on(service.healthz(callers, each(n))));
        });
    }
}

criterion_group!(benches, over_http);
criterion_main!(benches);

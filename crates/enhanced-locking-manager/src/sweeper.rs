//! The task that ends what has run out of time. Owns when to sweep; what is over is the store's decision.

use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_foundation::BackendError;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::inner::Inner;

/// Sweeps when the next deadline comes, at the latest after the interval, until told to stop.
pub(crate) async fn sweep(inner: Arc<Inner>, stop: CancellationToken, ready: watch::Sender<bool>) {
    let mut failures = 0;
    let mut last_stats: Option<Instant> = None;
    while !stop.is_cancelled() {
        let pause = match step(&inner).await {
            Ok(pause) => {
                failures = 0;
                pause
            }
            Err(error) => {
                tracing::warn!(%error, "sweep failed; leases, claims and waiting times are not ended until one succeeds");
                failures += 1;
                inner.config.retry.delay(failures - 1)
            }
        };
        if last_stats.is_none_or(|at| at.elapsed() >= inner.config.sweep_interval) {
            last_stats = Some(Instant::now());
            if let Ok(stats) = inner.bounded("stats", inner.config.call_timeout, inner.backend.stats()).await
            {
                inner.recorder.stats(&stats);
            }
        }
        ready.send_replace(true);
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
            () = inner.sweeps.earlier() => {}
        }
    }
}

/// One sweep; answers how long to pause.
async fn step(inner: &Inner) -> Result<Duration, BackendError> {
    let config = &inner.config;
    inner.sweeps.begin();
    let done = inner.bounded("sweep", config.call_timeout, inner.backend.sweep(config.sweep_budget)).await?;
    inner.recorder.recent(|recent, now| recent.swept(now));
    if done.ended >= config.sweep_budget.max(1) {
        // There is more. Others get their turn in between.
        tokio::task::yield_now().await;
        return Ok(Duration::ZERO);
    }
    let now = inner.bounded("now", config.call_timeout, inner.backend.now()).await?;
    let until_next = done.next.map_or(config.sweep_interval, |next| next.since(now));
    let next = inner.sweeps.plan(now.plus(until_next.min(config.sweep_interval)));
    Ok(next.since(now))
}

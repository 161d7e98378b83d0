//! The last five minutes. Owns bounded windows for error rate and quantiles; what is good or bad about them is `health`'s business.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::Percentiles;

/// Counts of one slice of time.
#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    calls: u64,
    failed: u64,
}

/// Figures of the last [`Recent::WINDOW`], in bounded space.
#[derive(Debug)]
pub(crate) struct Recent {
    began: Instant,
    slices: VecDeque<(u64, Slice)>,
    acquire_calls: VecDeque<(Instant, Duration)>,
    acquisitions: VecDeque<(Instant, Duration)>,
    swept: Option<Instant>,
}

impl Recent {
    pub(crate) const WINDOW: Duration = Duration::from_secs(300);
    const SLICE_SECS: u64 = 10;
    /// Enough for a 95th percentile that does not jump about.
    const SAMPLES: usize = 1_024;

    pub(crate) fn new(now: Instant) -> Self {
        Self {
            began: now,
            slices: VecDeque::new(),
            acquire_calls: VecDeque::new(),
            acquisitions: VecDeque::new(),
            swept: None,
        }
    }

    pub(crate) fn call(&mut self, now: Instant, took: Duration, acquire: bool, failed: bool) {
        let number = self.slice(now);
        if self.slices.back().is_none_or(|(last, _)| *last < number) {
            self.slices.push_back((number, Slice::default()));
        }
        if let Some((_, slice)) = self.slices.back_mut() {
            slice.calls += 1;
            slice.failed += u64::from(failed);
        }
        self.forget(now);
        if acquire && !failed {
            push(&mut self.acquire_calls, now, took);
        }
    }

    pub(crate) fn acquired(&mut self, now: Instant, after: Duration) {
        push(&mut self.acquisitions, now, after);
    }

    pub(crate) fn swept(&mut self, now: Instant) {
        self.swept = Some(now);
    }

    /// How long ago the last sweep went well, or how long this has run without one.
    pub(crate) fn since_sweep(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.swept.unwrap_or(self.began))
    }

    /// Calls, and those the store failed at.
    pub(crate) fn calls(&mut self, now: Instant) -> (u64, u64) {
        self.forget(now);
        self.slices.iter().fold((0, 0), |(calls, failed), (_, s)| (calls + s.calls, failed + s.failed))
    }

    /// How long acquire calls took at the store, standing in line not counted.
    pub(crate) fn acquire_calls(&mut self, now: Instant) -> Option<Percentiles> {
        percentiles(&mut self.acquire_calls, now)
    }

    /// How long it took from asking to holding, standing in line counted.
    pub(crate) fn acquisition(&mut self, now: Instant) -> Option<Percentiles> {
        percentiles(&mut self.acquisitions, now)
    }

    fn slice(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_secs() / Self::SLICE_SECS
    }

    fn forget(&mut self, now: Instant) {
        let oldest = self.slice(now).saturating_sub(Self::WINDOW.as_secs() / Self::SLICE_SECS);
        while self.slices.front().is_some_and(|(number, _)| *number < oldest) {
            self.slices.pop_front();
        }
    }
}

fn push(samples: &mut VecDeque<(Instant, Duration)>, now: Instant, sample: Duration) {
    if samples.len() == Recent::SAMPLES {
        samples.pop_front();
    }
    samples.push_back((now, sample));
}

fn percentiles(samples: &mut VecDeque<(Instant, Duration)>, now: Instant) -> Option<Percentiles> {
    while samples.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > Recent::WINDOW) {
        samples.pop_front();
    }
    let mut sorted: Vec<Duration> = samples.iter().map(|(_, sample)| *sample).collect();
    sorted.sort_unstable();
    let at = |percent: usize| {
        // The nearest-rank method: the smallest sample that at least `percent` of all do not exceed.
        let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        sorted.get(rank).map(|d| d.as_secs_f64() * 1e3)
    };
    Some(Percentiles { samples: sorted.len(), p50_ms: at(50)?, p95_ms: at(95)?, p99_ms: at(99)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_older_than_the_window_is_forgotten() {
        let start = Instant::now();
        let mut recent = Recent::new(start);
        recent.call(start, Duration::from_secs(2), true, false);
        recent.call(start, Duration::ZERO, false, true);
        assert_eq!(recent.calls(start), (2, 1));
        assert_eq!(recent.acquire_calls(start).map(|p| p.samples), Some(1));
        let later = start + Recent::WINDOW + Duration::from_secs(11);
        assert_eq!(recent.calls(later), (0, 0));
        assert_eq!(recent.acquire_calls(later), None);
    }

    #[tokio::test(start_paused = true)]
    async fn percentiles_are_samples_and_space_is_bounded() {
        let now = Instant::now();
        let mut recent = Recent::new(now);
        for ms in 0..5_000 {
            recent.acquired(now, Duration::from_millis(ms));
        }
        let found = recent.acquisition(now).expect("samples");
        assert_eq!(found.samples, Recent::SAMPLES);
        assert!((found.p95_ms - 4_948.0).abs() < 1.0, "{found:?}");
        assert!(found.p50_ms < found.p95_ms && found.p95_ms < found.p99_ms);
    }
}

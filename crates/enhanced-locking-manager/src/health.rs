//! How well the manager and its store do. Owns the score, its parts and weights; the observations come from `observe`.

use std::time::Duration;

use enhanced_locking_foundation::Stats;

/// What counts as well (the seed's thresholds: 95th percentile under a second, queue under 100, errors under 1 %).
///
/// Up to its threshold a part scores 100; from there it falls evenly to 0 at ten times the threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HealthThresholds {
    /// How long the store may take to answer a probe.
    pub ping: Duration,
    /// How long acquire calls may take at the store, 95th percentile of the last five minutes. Standing in line does not count.
    pub acquire_p95: Duration,
    /// How many may stand in line.
    pub queue: usize,
    /// Which share of calls may fail because of the store, in the last five minutes.
    pub error_rate: f64,
}

impl Default for HealthThresholds {
    fn default() -> Self {
        Self {
            ping: Duration::from_millis(250),
            acquire_p95: Duration::from_secs(1),
            queue: 100,
            error_rate: 0.01,
        }
    }
}

/// How well all is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// Score 90 or more, and no part below 50.
    Healthy,
    /// It works, but not well.
    Degraded,
    /// The store does not answer, or the score is below 50.
    Unhealthy,
}

/// The score and where it comes from.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Health {
    /// From 0 (down) to 100 (well): the weighted mean of the parts.
    pub score: u8,
    /// In one word.
    pub status: HealthStatus,
    /// The parts.
    pub parts: Vec<HealthPart>,
}

/// One part of the score.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct HealthPart {
    /// `store` (weight 40), `acquire` (15), `queue` (15), `errors` (15), `sweeper` (10), `tasks` (5).
    pub name: &'static str,
    /// From 0 to 100.
    pub score: u8,
    /// How much it counts; all weights together are 100.
    pub weight: u8,
    /// What was seen, for people.
    pub detail: String,
}

/// Everything the score is computed from.
#[derive(Clone, Debug)]
pub(crate) struct Findings {
    /// How long the probe took, or why it failed.
    pub(crate) ping: Result<Duration, String>,
    pub(crate) stats: Option<Stats>,
    pub(crate) acquire_p95: Option<Duration>,
    pub(crate) calls: u64,
    pub(crate) failed: u64,
    /// How long ago the last good sweep was, and how often one should be; `None` if somebody else sweeps.
    pub(crate) sweep: Option<(Duration, Duration)>,
    pub(crate) tasks_restarted: usize,
}

impl Health {
    pub(crate) fn of(found: &Findings, limits: &HealthThresholds) -> Self {
        let parts = vec![
            store(found, limits),
            acquire(found, limits),
            queue(found, limits),
            errors(found, limits),
            sweeper(found),
            tasks(found),
        ];
        let sum: u32 = parts.iter().map(|part| u32::from(part.score) * u32::from(part.weight)).sum();
        let score = u8::try_from(sum / 100).unwrap_or(100);
        let status = if found.ping.is_err() || score < 50 {
            HealthStatus::Unhealthy
        } else if score < 90 || parts.iter().any(|part| part.score < 50) {
            HealthStatus::Degraded
        } else {
            HealthStatus::Healthy
        };
        Self { score, status, parts }
    }

    /// Whether requests should be sent here.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.status != HealthStatus::Unhealthy
    }
}

/// 100 up to the threshold, then evenly down to 0 at ten times it.
fn fall(value: f64, threshold: f64) -> u8 {
    if value <= threshold {
        return 100;
    }
    if threshold <= 0.0 {
        return 0;
    }
    let left = 100.0 * (10.0 - value / threshold) / 9.0;
    // Between 0 and 100 by the clamp, so the cast keeps the value.
    left.clamp(0.0, 100.0).round() as u8
}

fn part(name: &'static str, weight: u8, score: u8, detail: String) -> HealthPart {
    HealthPart { name, score, weight, detail }
}

fn store(found: &Findings, limits: &HealthThresholds) -> HealthPart {
    match &found.ping {
        Ok(took) => {
            let score = fall(took.as_secs_f64(), limits.ping.as_secs_f64());
            part(
                "store",
                40,
                score,
                format!("answered a probe in {took:.1?}, up to {:?} is well", limits.ping),
            )
        }
        Err(error) => part("store", 40, 0, format!("failed a probe: {error}")),
    }
}

fn acquire(found: &Findings, limits: &HealthThresholds) -> HealthPart {
    let limit = limits.acquire_p95;
    match found.acquire_p95 {
        None => part("acquire", 15, 100, "nothing was asked for lately".to_owned()),
        Some(p95) => part(
            "acquire",
            15,
            fall(p95.as_secs_f64(), limit.as_secs_f64()),
            format!("95 of 100 acquire calls take at most {p95:.1?}, up to {limit:?} is well"),
        ),
    }
}

fn queue(found: &Findings, limits: &HealthThresholds) -> HealthPart {
    let limit = limits.queue;
    match &found.stats {
        None => part("queue", 15, 0, "the store does not say how many wait".to_owned()),
        Some(stats) => part(
            "queue",
            15,
            fall(stats.waiting as f64, limit as f64),
            format!(
                "{} wait, up to {limit} is well; the oldest for {:.0?}",
                stats.waiting, stats.oldest_wait
            ),
        ),
    }
}

fn errors(found: &Findings, limits: &HealthThresholds) -> HealthPart {
    let (calls, failed) = (found.calls, found.failed);
    let rate = if calls == 0 { 0.0 } else { failed as f64 / calls as f64 };
    let detail = format!(
        "the store failed {failed} of {calls} calls in five minutes ({:.1} %), up to {:.1} % is well",
        rate * 100.0,
        limits.error_rate * 100.0
    );
    part("errors", 15, fall(rate, limits.error_rate), detail)
}

fn sweeper(found: &Findings) -> HealthPart {
    match found.sweep {
        None => part("sweeper", 10, 100, "not run here".to_owned()),
        Some((ago, interval)) => part(
            "sweeper",
            10,
            fall(ago.as_secs_f64(), 3.0 * interval.as_secs_f64()),
            format!("last good sweep {ago:.1?} ago, one every {interval:?} is wanted"),
        ),
    }
}

fn tasks(found: &Findings) -> HealthPart {
    match found.tasks_restarted {
        0 => part("tasks", 5, 100, "none was started again in ten minutes".to_owned()),
        some => part("tasks", 5, 0, format!("{some} had to be started again in ten minutes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> Findings {
        Findings {
            ping: Ok(Duration::from_millis(1)),
            stats: Some(Stats::default()),
            acquire_p95: Some(Duration::from_millis(3)),
            calls: 1_000,
            failed: 0,
            sweep: Some((Duration::from_secs(1), Duration::from_secs(1))),
            tasks_restarted: 0,
        }
    }

    #[test]
    fn the_weights_add_up_and_all_well_is_100() {
        let health = Health::of(&well(), &HealthThresholds::default());
        assert_eq!(health.parts.iter().map(|part| u32::from(part.weight)).sum::<u32>(), 100);
        assert_eq!((health.score, health.status), (100, HealthStatus::Healthy));
    }

    #[test]
    fn a_store_that_does_not_answer_is_unhealthy_whatever_the_rest_says() {
        let found = Findings { ping: Err("gone".to_owned()), ..well() };
        let health = Health::of(&found, &HealthThresholds::default());
        assert_eq!((health.score, health.status), (60, HealthStatus::Unhealthy));
        assert!(!health.is_serving());
    }

    #[test]
    fn one_bad_part_degrades_although_the_score_is_high() {
        let found = Findings { tasks_restarted: 1, ..well() };
        let health = Health::of(&found, &HealthThresholds::default());
        assert_eq!((health.score, health.status), (95, HealthStatus::Degraded));
    }

    #[test]
    fn the_seed_thresholds_are_the_edge_of_well() {
        let limits = HealthThresholds::default();
        let queue = |waiting| {
            queue(&Findings { stats: Some(Stats { waiting, ..Stats::default() }), ..well() }, &limits).score
        };
        assert_eq!((queue(100), queue(550), queue(1_000), queue(5_000)), (100, 50, 0, 0));
        let errors = |failed| errors(&Findings { failed, ..well() }, &limits).score;
        assert_eq!((errors(10), errors(100)), (100, 0));
    }
}

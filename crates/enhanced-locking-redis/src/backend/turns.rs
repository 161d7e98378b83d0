//! Waiting for one's turn. Owns the hint and the poll under it; a lost hint costs one poll period at most.

use std::time::Duration;

use enhanced_locking_foundation::{BackendError, RequestState, Ticket};
use tokio::time::Instant;

use super::RedisBackend;
use crate::wire::{self, Operation};

impl RedisBackend {
    /// Waits until the request no longer stands in line, at most `timeout`.
    pub(super) async fn wait_for_turn(
        &self,
        ticket: &Ticket,
        timeout: Duration,
    ) -> Result<RequestState, BackendError> {
        let until = Instant::now().checked_add(timeout);
        if !timeout.is_zero() {
            self.hear_hints(self.bucket(&ticket.key)).await;
        }
        let registration = self.wakes.register(&ticket.id);
        loop {
            let wake = registration.wake().notified();
            let mut wake = std::pin::pin!(wake);
            // Listen first, look then: a hand-off in between is heard.
            wake.as_mut().enable();
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let reply = self.dispatch.ask(self.bucket(&ticket.key), Operation::poll(ticket)).await?;
            let state = wire::turn(&reply.bytes)?;
            if let (RequestState::Held(_), Some(missing)) = (&state, reply.missing) {
                return Err(missing.missing());
            }
            if !matches!(state, RequestState::Queued(_)) || left.is_some_and(|left| left.is_zero()) {
                return Ok(state);
            }
            // Somewhat less than the period, and not the same for everybody: polls spread out.
            let period = self.config.poll_period.mul_f64(0.8 + 0.2 * spread(ticket));
            let pause = left.map_or(period, |left| left.min(period));
            let _ = tokio::time::timeout(pause, wake).await;
        }
    }

    /// Hears the hints of a bucket. Without them everything works, only later.
    async fn hear_hints(&self, bucket: usize) {
        let channel = self.layout.channel(bucket, &self.node);
        let heard = self.hears_hints[bucket].get_or_try_init(|| self.dispatch.driver().hear(&channel)).await;
        if let Err(failure) = heard {
            tracing::warn!(error = %failure.error(false), "hints are not heard; waiting requests are polled");
        }
    }
}

/// A number from 0 to 1 that differs from request to request.
fn spread(ticket: &Ticket) -> f64 {
    let sum =
        ticket.id.as_str().bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    f64::from(sum % 1_000) / 1_000.0
}

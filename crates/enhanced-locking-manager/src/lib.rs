//! Orchestration of Enhanced Locking: guards, renewals, sweeping, events, metrics, health.

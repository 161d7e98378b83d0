//! The Enhanced Locking service: HTTP API, event stream, dashboard.

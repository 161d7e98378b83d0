//! The lock table of Enhanced Locking: a pure state machine, and its in-memory backend.

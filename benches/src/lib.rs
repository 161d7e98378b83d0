//! Workspace benches of Enhanced Locking.

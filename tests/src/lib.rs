//! Workspace tests of Enhanced Locking.

//! Checked configuration of Enhanced Locking, and the wired backend it asks for.

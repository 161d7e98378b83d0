//! Conformance suite, model, generators and checkers for Enhanced Locking backends.

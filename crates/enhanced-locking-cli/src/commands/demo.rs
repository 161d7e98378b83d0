//! `enhanced-locks demo`: a few pretend pull requests contend. Written last.

use clap::Args;

/// Let a few pretend pull requests contend for locks
#[derive(Clone, Debug, Args)]
pub(crate) struct DemoArgs {}

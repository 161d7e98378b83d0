//! What the store is told when it is opened. Owns defaults; where the values come from is the configuration layer's.

use std::path::PathBuf;
use std::sync::Arc;

use enhanced_locking_core::TablePolicy;
use enhanced_locking_foundation::Clock;

/// How to open an embedded store.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// The directory of the store's files; made if it is not there.
    pub directory: PathBuf,
    /// Limits, windows and credits.
    pub policy: TablePolicy,
    /// Address space for the file at first, in bytes; doubled whenever it is full. Not disk space.
    pub map_size: usize,
    /// How much the journal may have, in bytes, before it is moved into the data file. More makes commits cheaper and
    /// opening after a crash slower.
    pub journal_size: u64,
    /// Server time; `None` for the machine's clock, which is right except in tests.
    pub clock: Option<Arc<dyn Clock>>,
}

impl EmbeddedConfig {
    /// The defaults, in a directory.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            policy: TablePolicy::default(),
            map_size: 1 << 30,
            journal_size: 16 << 20,
            clock: None,
        }
    }
}

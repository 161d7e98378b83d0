//! Checked configuration of Enhanced Locking: `defaults < file < environment < flags → checked settings
//! with the source of every value`.
//!
//! * [`Loader`] reads `atlantis.yaml` (the tree `enhanced-locking`; other keys are left alone), the variables
//!   `ATLANTIS_ENHANCED_LOCKING_*` and flags, and returns [`Settings`] or a [`LoadError`] with *all* problems.
//! * [`Settings::show`] lists every value with who said it; secrets are `***`.
//! * [`Settings::diff`] tells what a reload changes and what needs a restart.
//! * [`check_features`] tells which cargo feature a configuration needs and the build lacks.
//! * [`known_keys`] and [`reference_markdown`] come from the same table as everything else.
//!
//! This crate reads files and takes the environment as an argument; it starts nothing and watches nothing.
//!
//! ```
//! use enhanced_locking_config::Loader;
//!
//! let settings = Loader::new()
//!     .text("atlantis.yaml", "enhanced-locking:\n  redis:\n    password: \"${REDIS_PASSWORD}\"\n")
//!     .environment([("REDIS_PASSWORD", "hunter2")])
//!     .load()?;
//! assert_eq!(settings.redis.password.as_ref().unwrap().expose(), "hunter2");
//! assert!(!format!("{settings:?}").contains("hunter2"));
//! # Ok::<(), enhanced_locking_config::LoadError>(())
//! ```
#![forbid(unsafe_code)]

mod checks;
mod choice;
mod collect;
mod document;
mod features;
mod interpolate;
mod layers;
mod loader;
mod problem;
mod reference;
mod reload;
mod schema;
mod secret;
mod sections;
mod settings;
mod suggest;
mod units;
mod value;

pub use choice::{Backend, Durability, LogFormat, LogLevel, MigrationMode};
pub use features::{MissingFeature, check_features};
pub use loader::Loader;
pub use problem::{LoadError, Problem, ProblemKind, Source};
pub use reference::reference_markdown;
pub use reload::Reload;
pub use schema::{KnownKey, known_keys};
pub use secret::Secret;
pub use sections::{
    AtlantisSettings, AtlantisTlsSettings, CreditSettings, DeadlockDetectionSettings, EmbeddedSettings,
    LimitSettings, LockSettings, LogSettings, MetricsSettings, MigrationSettings, PriorityQueueSettings,
    RedisSettings, RedisTlsSettings, RetrySettings, ServerSettings, WebhookSettings,
};
pub use settings::{Settings, ShownSetting};
pub use units::{ByteSize, ParseSizeError};

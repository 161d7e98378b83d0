//! Owns the settings that are one word out of a few, with their names in the configuration.
//! Does not own what the words make the system do.

use std::fmt;

use crate::value::{Field, Value};

macro_rules! choice {
    (
        $(#[$meta:meta])*
        $name:ident { $( $(#[$variant_meta:meta])* $variant:ident = $first:literal $(| $alias:literal)* ),+ $(,)? }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $( $(#[$variant_meta])* $variant ),+ }

        impl $name {
            /// Every name that the configuration accepts.
            pub const NAMES: &'static [&'static str] = &[ $( $first $(, $alias)* ),+ ];

            /// The name in the configuration.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $first ),+ }
            }

            fn from_name(name: &str) -> Option<Self> {
                match name { $( $first $(| $alias)* => Some(Self::$variant), )+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Field for $name {
            fn put(&mut self, value: Value) -> bool {
                let Value::Text(text) = value else { return false };
                let Some(found) = Self::from_name(&text) else { return false };
                *self = found;
                true
            }

            fn value(&self) -> Option<Value> {
                Some(Value::Text(self.as_str().to_owned()))
            }
        }
    };
}

choice! {
    /// Where locks are kept.
    ///
    /// ```
    /// assert_eq!(enhanced_locking_config::Backend::NAMES, ["embedded", "boltdb", "redis", "memory"]);
    /// ```
    Backend {
        /// The durable store in the data directory; `boltdb` is the seed's name for it.
        Embedded = "embedded" | "boltdb",
        /// Redis: one node, Sentinel or Cluster.
        Redis = "redis",
        /// Nothing survives the process.
        Memory = "memory",
    }
}

choice! {
    /// What an acknowledged change survives (design §6).
    Durability {
        /// What the server has done counts.
        Fast = "fast",
        /// What enough replicas have counts.
        Durable = "durable",
        /// Durable, and grants pause after a replica took over.
        Strict = "strict",
    }
}

choice! {
    /// How locks move from the legacy store (design §8).
    MigrationMode {
        /// No migration.
        Disabled = "disabled",
        /// Legacy semantics on the new store.
        Compatibility = "compatibility",
        /// Legacy decides, enhanced watches and compares.
        Shadow = "shadow",
        /// A growing share of the keys is decided by the enhanced system.
        Gradual = "gradual",
        /// A few keys first.
        Canary = "canary",
        /// Everything at once, with a way back.
        BlueGreen = "blue-green",
        /// From one enhanced store to another.
        BackendMigration = "backend-migration",
    }
}

choice! {
    /// How much is logged.
    LogLevel {
        /// Nothing.
        Off = "off",
        /// What failed.
        Error = "error",
        /// And what may fail soon.
        Warn = "warn",
        /// And what happened.
        Info = "info",
        /// And why.
        Debug = "debug",
        /// And everything else.
        Trace = "trace",
    }
}

choice! {
    /// How a log line looks.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object per line.
        Json = "json",
    }
}

//! Log lines of the service: level and format from the settings, changeable while it runs. Owns the subscriber.

use enhanced_locking_config::{LogFormat, LogLevel, Settings};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

/// Changes the level of a running service.
#[derive(Clone, Debug)]
pub(crate) struct LogControl(reload::Handle<Targets, Registry>);

impl LogControl {
    /// Starts logging to standard error. Only the first call in a process has an effect.
    pub(crate) fn start(settings: &Settings, color: bool) -> Self {
        let (level, handle) = reload::Layer::new(filter(settings.log.level));
        let registry = tracing_subscriber::registry().with(level);
        let started = match settings.log.format {
            LogFormat::Json => registry.with(fmt::layer().json().with_writer(std::io::stderr)).try_init(),
            LogFormat::Text => registry
                .with(fmt::layer().with_target(false).with_ansi(color).with_writer(std::io::stderr))
                .try_init(),
        };
        // A second service in one process (tests) logs where the first one does.
        let _ = started;
        Self(handle)
    }

    /// Takes over the level of new settings.
    pub(crate) fn apply(&self, settings: &Settings) {
        let _ = self.0.reload(filter(settings.log.level));
    }
}

/// The level, and audit lines at every level but `off`: a log that is to be short still says who took what away.
fn filter(level: LogLevel) -> Targets {
    let (level, audit) = match level {
        LogLevel::Off => (LevelFilter::OFF, LevelFilter::OFF),
        LogLevel::Error => (LevelFilter::ERROR, LevelFilter::INFO),
        LogLevel::Warn => (LevelFilter::WARN, LevelFilter::INFO),
        LogLevel::Info => (LevelFilter::INFO, LevelFilter::INFO),
        LogLevel::Debug => (LevelFilter::DEBUG, LevelFilter::INFO),
        LogLevel::Trace => (LevelFilter::TRACE, LevelFilter::INFO),
    };
    Targets::new().with_default(level).with_target("audit", audit)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn audit_lines_are_written_at_every_level_but_off() {
        for level in [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace] {
            assert!(filter(level).would_enable("audit", &Level::INFO), "{level}");
        }
        assert!(!filter(LogLevel::Off).would_enable("audit", &Level::ERROR));
        assert!(!filter(LogLevel::Warn).would_enable("enhanced_locking_server", &Level::INFO));
        assert!(filter(LogLevel::Debug).would_enable("enhanced_locking_server", &Level::DEBUG));
    }
}

//! Log lines of the service: level and format from the settings, changeable while it runs. Owns the subscriber.

use enhanced_locking_config::{LogFormat, LogLevel, Settings};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

/// Changes the level of a running service.
#[derive(Clone, Debug)]
pub(crate) struct LogControl(reload::Handle<LevelFilter, Registry>);

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

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

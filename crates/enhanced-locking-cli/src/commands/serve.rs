//! `enhanced-locks serve`: the service as a process. Owns its messages, signals and the file that says it is ready; the parts are wired in [`crate::service`].

use std::path::{Path, PathBuf};

use clap::Args;
use enhanced_locking_config::{Loader, Settings};
use rustix::process::Signal;

use super::config::{SettingsArgs, compiled_in, problems};
use crate::args::Global;
use crate::failure::Failure;
use crate::logging::LogControl;
use crate::output::{Paint, Style, print};
use crate::process::prepare_to_serve;
use crate::service::{LimitControl, Service};
use crate::supervise::{Signals, killed_by};
use crate::watched_file::WatchedFile;

/// Run the service: HTTP API, dashboard, embedded store
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Without arguments: the embedded store in ./enhanced-locks-data, listening on 127.0.0.1:4141 for this machine only.
SIGTERM and SIGINT stop it in good order: calls under way are finished, then it exits with 0. A second one stops it
at once, with 128+N for signal N; what was acknowledged is safe all the same. The configuration is read again when its
file changes, and on SIGHUP.")]
pub(crate) struct ServeArgs {
    /// Where settings come from.
    #[command(flatten)]
    pub settings: SettingsArgs,
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:4141]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Where the embedded store keeps its files [default: ./enhanced-locks-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where locks are kept: embedded (durable), redis or memory
    #[arg(long, value_name = "NAME")]
    pub backend: Option<String>,
    /// Where Atlantis finds its locks, by the protocol of Redis [default: nowhere]
    #[arg(long, value_name = "ADDRESS")]
    pub atlantis_listen: Option<String>,
    /// A file that gets the address once the service is ready, for scripts; removed at the end
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
}

impl ServeArgs {
    fn loader(&self) -> Result<Loader, Failure> {
        let mut loader = self.settings.loader()?;
        if let Some(listen) = &self.listen {
            loader = loader.dedicated_flag("--listen", "server.listen", listen);
        }
        if let Some(listen) = &self.atlantis_listen {
            loader = loader.dedicated_flag("--atlantis-listen", "atlantis.listen", listen);
        }
        if let Some(directory) = &self.data_dir {
            let directory = directory.to_str().ok_or_else(|| Failure::usage("--data-dir is not UTF-8"))?;
            loader = loader.dedicated_flag("--data-dir", "data-dir", directory);
        }
        if let Some(backend) = &self.backend {
            loader = loader.dedicated_flag("--backend", "backend", backend);
        }
        Ok(loader)
    }

    fn load(&self) -> Result<Settings, Failure> {
        let settings = self.loader()?.load().map_err(|error| problems(&error))?;
        if !settings.enabled {
            let source = settings.source_of("enabled").map(ToString::to_string).unwrap_or_default();
            return Err(Failure::new(format!("`enhanced-locking.enabled` is false ({source})"))
                .hint("set it to true, or leave it out, to run the service"));
        }
        compiled_in(&settings)?;
        Ok(settings)
    }
}

/// Runs the service until a signal ends it.
///
/// # Errors
/// A [`Failure`] if it cannot start, or does not stop in good order.
pub(crate) async fn run(args: ServeArgs, global: &Global) -> Result<(), Failure> {
    let settings = args.load()?;
    let mut signals = Signals::listen()?;
    let log = LogControl::start(&settings, global.color.style(&std::io::stderr()).color);
    prepare_to_serve();
    let service = Service::start(&settings).await?;
    let limits = service.limits();
    let url = format!("http://{}", service.address());
    print(&welcome(&service, &settings, &url, global.color.style(&std::io::stdout())))?;
    let ready = args.ready_file.as_deref().map(|path| ReadyFile::write(path, &url)).transpose()?;
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let mut serving = tokio::spawn(service.run(async move {
        let _ = stopped.await;
    }));
    let mut stop = Some(stop);
    let mut settings = settings;
    let mut file = WatchedFile::new(args.settings.file());
    let end = loop {
        tokio::select! {
            end = &mut serving => break end,
            received = signals.next() => match received.signal {
                Signal::HUP => settings = reload(&args, settings, &log, &limits).await,
                Signal::INT | Signal::TERM | Signal::QUIT => match stop.take() {
                    Some(stop) => {
                        tracing::info!("stopping; a second signal stops at once");
                        let _ = stop.send(());
                    }
                    None => {
                        let code = killed_by(received.signal);
                        return Err(Failure::new("stopped at once by a second signal, with calls under way")
                            .hint("what was acknowledged is safe; the other calls are answered when asked again")
                            .code(code));
                    }
                },
                _ => {}
            },
            () = file.changed() => settings = reload(&args, settings, &log, &limits).await,
        }
    };
    drop(ready);
    end.map_err(|error| Failure::new(format!("the service broke down: {error}")))?
}

/// Reads the configuration again and takes over what can change while the service runs.
async fn reload(args: &ServeArgs, old: Settings, log: &LogControl, limits: &LimitControl) -> Settings {
    let new = match args.load() {
        Ok(new) => new,
        Err(failure) => {
            tracing::error!("the configuration is not taken over: {}", failure.message);
            return old;
        }
    };
    let changes = Settings::diff(&old, &new);
    let (now, later) = (changes.applied, changes.needs_restart);
    log.apply(&new);
    if now.iter().any(|key| key.starts_with("limits.")) {
        limits.apply(&new).await;
    }
    if !later.is_empty() {
        tracing::warn!(keys = ?later, "these changes need a restart");
    }
    if now.is_empty() && later.is_empty() {
        tracing::info!("the configuration was read again; nothing has changed");
    } else {
        tracing::info!(taken_over = ?now, "the configuration was read again");
    }
    new
}

fn welcome(service: &Service, settings: &Settings, url: &str, style: Style) -> String {
    // Scripts look for this line: keep it first and as it is.
    let mut text = format!("listening on {url}\n");
    if !style.terminal && settings.log.format.as_str() == "json" {
        return text;
    }
    let info = service.info();
    let dim = |text: &str| style.paint(Paint::Dim, text);
    text += &format!("{}  {}\n", dim("dashboard"), style.paint(Paint::Bold, format!("{url}/")));
    text += &format!("{}      {} at {}\n", dim("store"), info.name, info.location);
    if let Some(port) = service.atlantis_address() {
        text += &format!("{}   --redis-host={} --redis-port={}\n", dim("atlantis"), port.ip(), port.port());
    }
    let server = if url == crate::args::DEFAULT_SERVER { String::new() } else { format!(" --server {url}") };
    text += &format!("{}     enhanced-locks run{server} --key demo -- sleep 5\n", dim("try it"));
    text
}

/// The file that says where the service is, for as long as it is there.
#[derive(Debug)]
struct ReadyFile(PathBuf);

impl ReadyFile {
    /// Writes it in one step: whoever sees it, sees all of it.
    fn write(path: &Path, url: &str) -> Result<Self, Failure> {
        let failed = |error| Failure::new(format!("cannot write the ready file {}: {error}", path.display()));
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        std::fs::write(&name, format!("{url}\n")).map_err(failed)?;
        std::fs::rename(&name, path).map_err(failed)?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

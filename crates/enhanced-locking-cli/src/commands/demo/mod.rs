//! `enhanced-locks demo`: a few pretend pull requests contend for pretend projects. Owns the service it runs on and the end of it all.

mod actors;
mod story;

use std::time::Duration;

use clap::Args;
use enhanced_locking_config::Loader;
use enhanced_locking_foundation::LockBackend;
use enhanced_locking_manager::{LockManager, ManagerConfig};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::args::Global;
use crate::failure::Failure;
use crate::output::{Paint, print};
use crate::service::Service;
use crate::session::Session;
use crate::supervise::{Signals, killed_by};

use story::Story;

/// Let a few pretend pull requests contend for locks
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Starts a service of its own on a free port, with a store in a temporary directory, and leaves nothing behind.
With --server (or ENHANCED_LOCKS_SERVER) it plays on that service, on keys that begin with demo/.")]
pub(crate) struct DemoArgs {
    /// How long it goes on
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// How many pull requests contend
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u8).range(2..=50))]
    pub pulls: u8,
}

/// Runs the demonstration.
///
/// # Errors
/// A [`Failure`] if the service cannot be used, or if what it did was wrong.
pub(crate) async fn run(args: DemoArgs, global: &Global) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let own = match &global.server {
        Some(_) => None,
        None => Some(OwnService::start().await?),
    };
    let global = Global {
        server: own.as_ref().map(|own| own.url.clone()).or_else(|| global.server.clone()),
        ..global.clone()
    };
    let session = Session::new(&global)?;
    let played = tokio::select! {
        played = play(&args, &session, &global) => played,
        signal = signals.next_stop() => Err(Failure::silent(killed_by(signal))),
    };
    if let Some(own) = own {
        own.stop().await?;
    }
    played
}

async fn play(args: &DemoArgs, session: &Session, global: &Global) -> Result<(), Failure> {
    let from = session.backend.events_end().await?;
    if !session.json() {
        let dashboard = session.out.paint(Paint::Bold, format!("{}/", session.backend.server()));
        print(&format!(
            "{} pull requests share {} projects for {} s; watch them at {dashboard}\n\n",
            args.pulls,
            actors::KEYS.len(),
            args.seconds
        ))?;
    }
    // A client of its own: the manager closes it at the end, and the story is read a little longer.
    let acting = Session::new(global)?;
    let manager = LockManager::start(acting.backend.clone(), ManagerConfig::remote());
    let end = Instant::now() + Duration::from_secs(args.seconds);
    let story = Story::follow(session.clone(), from);
    let mut cast = actors::start(&manager, acting.backend.clone(), args.pulls, end);
    let mut played = Ok(());
    while let Some(done) = cast.join_next().await {
        if let Ok(Err(failure)) = done {
            played = Err(failure);
        }
    }
    let _ = manager.shutdown(Duration::from_secs(5)).await;
    let summary = story.finish().await?;
    played?;
    summary.print(session)
}

/// A service for the time of the demonstration.
#[derive(Debug)]
struct OwnService {
    url: String,
    stop: tokio::sync::oneshot::Sender<()>,
    serving: JoinHandle<Result<(), Failure>>,
    /// Removed when it goes out of scope, after the service has let go of it.
    directory: tempfile::TempDir,
}

impl OwnService {
    async fn start() -> Result<Self, Failure> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().to_string_lossy().into_owned();
        let settings = Loader::new()
            .dedicated_flag("demo", "data-dir", &path)
            .dedicated_flag("demo", "server.listen", "127.0.0.1:0")
            .dedicated_flag("demo", "priority-queue", "true")
            .load()
            .map_err(|error| Failure::new(error.to_string()))?;
        let service = Service::start(&settings).await?;
        let url = format!("http://{}", service.address());
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let serving = tokio::spawn(service.run(async move {
            let _ = stopped.await;
        }));
        Ok(Self { url, stop, serving, directory })
    }

    async fn stop(self) -> Result<(), Failure> {
        let _ = self.stop.send(());
        let end =
            self.serving.await.map_err(|error| Failure::new(format!("the service broke down: {error}")));
        self.directory.close()?;
        end?
    }
}

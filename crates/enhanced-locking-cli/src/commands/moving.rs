//! `enhanced-locks import`, `export` and `verify`: what Atlantis stored, into our own store and out of it. Owns reports and
//! progress; what is the same, and what is in the way of what, is the compatibility crate's.

use std::fs::OpenOptions;
use std::io::{BufWriter, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use clap::Args;
use enhanced_locking_compat::transfer::{Difference, Item, Mover, Put};
use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::config::{SettingsArgs, compiled_in, problems};
use crate::args::{Format, Global};
use crate::failure::{Failure, chain, code};
use crate::output::{print, print_json};
use crate::service::Store;
use crate::source::{Found, Source};

/// Things that are put in at the same time.
const AT_ONCE: usize = 64;
/// Lines of a report that people are shown; programs get all.
const LINES: usize = 20;

/// Take over what Atlantis stored: locks, command locks, pull statuses
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The source is only read. What is there already is recognised, so an import that was stopped goes on where it was; a lock
that somebody else holds here is left alone and reported. The embedded store must not be in use: stop the service first.

Examples:
  enhanced-locks import --from atlantis-bolt:/var/lib/atlantis/atlantis.db --dry-run
  enhanced-locks import --from atlantis-redis://redis:6379/0 --config atlantis.yaml
  enhanced-locks import --from locks.jsonl")]
pub(crate) struct ImportArgs {
    /// Atlantis' file or Redis, or a file of `export`
    #[arg(long, value_name = "SOURCE")]
    pub from: Source,
    /// The store to put it in.
    #[command(flatten)]
    pub to: StoreArgs,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// Compare what Atlantis stored with our own store
#[derive(Clone, Debug, Args)]
#[command(after_help = "Changes nothing. Exits with 1 if anything is missing or different.")]
pub(crate) struct VerifyArgs {
    /// Atlantis' file or Redis, or a file of `export`
    #[arg(long, value_name = "SOURCE")]
    pub from: Source,
    /// The store to compare with.
    #[command(flatten)]
    pub with: StoreArgs,
}

/// Write everything of Atlantis in our own store, or in another source, into a file
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
One JSON object per line, as `import` reads it. Atlantis keeps the token of the version control system in its values:
the file has it too, and only its owner may read it.")]
pub(crate) struct ExportArgs {
    /// Another source than our own store
    #[arg(long, value_name = "SOURCE")]
    pub from: Option<Source>,
    /// The store to read.
    #[command(flatten)]
    pub store: StoreArgs,
    /// The file to write; it must not be there
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
}

/// Which store.
#[derive(Clone, Debug, Args)]
pub(crate) struct StoreArgs {
    /// Where settings come from.
    #[command(flatten)]
    pub settings: SettingsArgs,
    /// Where the embedded store keeps its files [default: ./enhanced-locks-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

impl StoreArgs {
    async fn open(&self) -> Result<Store, Failure> {
        let mut loader = self.settings.loader()?;
        if let Some(directory) = &self.data_dir {
            let directory = directory.to_str().ok_or_else(|| Failure::usage("--data-dir is not UTF-8"))?;
            loader = loader.dedicated_flag("--data-dir", "data-dir", directory);
        }
        let settings = loader.load().map_err(|error| problems(&error))?;
        compiled_in(&settings)?;
        Store::open(&settings).await
    }
}

/// What an import or a comparison came to.
#[derive(Debug, Default, Serialize)]
struct Report {
    source: String,
    dry_run: bool,
    /// Put in, or as it should be.
    moved: usize,
    already: usize,
    conflicts: Vec<Line>,
    missing: Vec<Line>,
    /// What could not be read, or is nothing that Atlantis stores.
    refused: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
    key: String,
    reason: String,
}

impl Report {
    fn is_clean(&self) -> bool {
        self.conflicts.is_empty() && self.missing.is_empty() && self.refused.is_empty()
    }

    fn show(&self, summary: &str, global: &Global) -> Result<(), Failure> {
        if global.output == Format::Json {
            print_json(self)?;
        } else {
            let mut text = format!("{summary}\n");
            for (what, lines) in
                [("in conflict", &self.conflicts), ("missing", &self.missing), ("refused", &self.refused)]
            {
                for line in lines.iter().take(LINES) {
                    text += &format!("  {what}: {}: {}\n", line.key, line.reason);
                }
                if lines.len() > LINES {
                    text += &format!("  … and {} more; `--output json` has all\n", lines.len() - LINES);
                }
            }
            print(&text)?;
        }
        if self.is_clean() { Ok(()) } else { Err(Failure::silent(code::GENERAL)) }
    }
}

/// Runs `import`.
///
/// # Errors
/// A [`Failure`] if source or store cannot be used; without a message if something is in conflict or was refused.
pub(crate) async fn import(args: ImportArgs, global: &Global) -> Result<(), Failure> {
    let found = args.from.read().await?;
    let store = args.to.open().await?;
    let mover = Mover::new(store.legacy());
    let mut report = Report { source: args.from.to_string(), dry_run: args.dry_run, ..Report::default() };
    let items = readable(found, &mut report);
    let bar = progress(items.len(), "moving");
    let put = |item: Item| {
        let mover = &mover;
        async move {
            let put = mover.put(&item, args.dry_run).await;
            (item.key, put)
        }
    };
    let mut results = stream::iter(items).map(put).buffered(AT_ONCE);
    while let Some((key, put)) = results.next().await {
        bar.inc(1);
        match put {
            Ok(Put::Moved) => report.moved += 1,
            Ok(Put::Already) => report.already += 1,
            Ok(Put::Conflict { with }) => {
                report.conflicts.push(Line { key, reason: format!("{with} is here") })
            }
            Ok(_) => {}
            Err(error) if error.is_of_the_store() => {
                bar.finish_and_clear();
                return Err(
                    Failure::new(chain(&error)).hint("what was moved stays; run the same command again")
                );
            }
            Err(error) => report.refused.push(Line { key, reason: chain(&error) }),
        }
    }
    drop(results);
    bar.finish_and_clear();
    store.backend().close().await?;
    let verb = if args.dry_run { "would be moved" } else { "moved" };
    let summary = format!(
        "{} {verb} from {}, {} there already, {} in conflict, {} refused",
        report.moved,
        report.source,
        report.already,
        report.conflicts.len(),
        report.refused.len()
    );
    report.show(&summary, global)
}

/// Runs `verify`.
///
/// # Errors
/// As [`import`].
pub(crate) async fn verify(args: VerifyArgs, global: &Global) -> Result<(), Failure> {
    let found = args.from.read().await?;
    let store = args.with.open().await?;
    let mover = Mover::new(store.legacy());
    let mut report = Report { source: args.from.to_string(), ..Report::default() };
    let items = readable(found, &mut report);
    let bar = progress(items.len(), "comparing");
    let compare = |item: Item| {
        let mover = &mover;
        async move {
            let difference = mover.compare(&item).await;
            (item.key, difference)
        }
    };
    let mut results = stream::iter(items).map(compare).buffered(AT_ONCE);
    while let Some((key, difference)) = results.next().await {
        bar.inc(1);
        match difference {
            Ok(Difference::None) => report.already += 1,
            Ok(Difference::Missing) => report.missing.push(Line { key, reason: "it is not here".to_owned() }),
            Ok(Difference::Other { found }) => {
                report.conflicts.push(Line { key, reason: format!("{found} is here") });
            }
            Ok(_) => {}
            Err(error) if error.is_of_the_store() => return Err(Failure::new(chain(&error))),
            Err(error) => report.refused.push(Line { key, reason: chain(&error) }),
        }
    }
    drop(results);
    bar.finish_and_clear();
    store.backend().close().await?;
    let summary = format!(
        "{} of {} are the same here, {} missing, {} different, {} refused",
        report.already,
        report.source,
        report.missing.len(),
        report.conflicts.len(),
        report.refused.len()
    );
    report.show(&summary, global)
}

/// Runs `export`.
///
/// # Errors
/// A [`Failure`] if something cannot be read, or the file not be written.
pub(crate) async fn export(args: ExportArgs, global: &Global) -> Result<(), Failure> {
    let mut report = Report::default();
    let items = match &args.from {
        Some(source) => {
            report.source = source.to_string();
            readable(source.read().await?, &mut report)
        }
        None => {
            let store = args.store.open().await?;
            report.source = "our own store".to_owned();
            let items = Mover::new(store.legacy()).items().await;
            let items = items.map_err(|error| Failure::new(chain(&error)))?;
            store.backend().close().await?;
            items
        }
    };
    let failed = |error: std::io::Error| Failure::new(format!("cannot write {}: {error}", args.to.display()));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&args.to).map_err(failed)?;
    let mut file = BufWriter::new(file);
    for item in &items {
        writeln!(file, "{}", item.to_line()).map_err(failed)?;
    }
    let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
    file.sync_all().map_err(failed)?;
    report.moved = items.len();
    let summary = format!(
        "{} written to {}, {} refused; it may contain tokens of the version control system",
        report.moved,
        args.to.display(),
        report.refused.len()
    );
    report.show(&summary, global)
}

/// What can be read; the rest is in the report.
fn readable(found: Vec<Found>, report: &mut Report) -> Vec<Item> {
    let mut items = Vec::with_capacity(found.len());
    for found in found {
        match found {
            Ok(item) => items.push(item),
            Err((key, reason)) => report.refused.push(Line { key, reason }),
        }
    }
    items
}

/// A bar for people.
fn progress(count: usize, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(count).unwrap_or(u64::MAX));
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:40}] {pos}/{len} {per_sec}, {eta} left") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(what);
    bar
}

//! `enhanced-locks check`: whether the files of a store are sound, without a service.

use std::path::PathBuf;

use clap::Args;

use crate::args::{Format, Global};
use crate::failure::{Failure, chain};
use crate::output::{print, print_json};

/// Check the files of a store that no service has open
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Checks every page, every record and every rule about locks, and changes nothing. Exits with 0 if all is sound, 1 if \
not, or if a service has the store open: check a copy then (`enhanced-locks backup`).")]
pub(crate) struct CheckArgs {
    /// The directory of the store, or of a backup
    #[arg(long, value_name = "DIR", default_value = "./enhanced-locks-data")]
    pub data_dir: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// A [`Failure`] that says what is damaged.
pub(crate) fn run(args: &CheckArgs, global: &Global) -> Result<(), Failure> {
    let report =
        enhanced_locking_embedded::check(&args.data_dir).map_err(|error| Failure::new(chain(&error)))?;
    if global.output == Format::Json {
        return print_json(&serde_json::json!({
            "sound": true,
            "locks": report.locks,
            "waiting": report.waiting,
            "documents": report.documents,
            "events": report.events,
            "last_token": report.last_token,
        }));
    }
    print(&format!(
        "{} is sound: {} locks, {} waiting, {} documents, {} events, last token {}\n",
        args.data_dir.display(),
        report.locks,
        report.waiting,
        report.documents,
        report.events,
        report.last_token
    ))
}

//! `enhanced-locks man`: manual pages, made from the same definitions as the help.

use std::path::PathBuf;

use clap::{Args, CommandFactory};

use crate::args::Cli;
use crate::failure::Failure;
use crate::output::print;

/// Print or write manual pages
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  enhanced-locks man | man -l -
  enhanced-locks man --directory ~/.local/share/man/man1")]
pub(crate) struct ManArgs {
    /// Write the pages of all commands into this directory
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// If the pages cannot be written.
pub(crate) fn run(args: &ManArgs) -> Result<(), Failure> {
    let command = Cli::command();
    match &args.directory {
        Some(directory) => {
            let failed = |error| Failure::new(format!("cannot write to {}: {error}", directory.display()));
            std::fs::create_dir_all(directory).map_err(failed)?;
            clap_mangen::generate_to(command, directory).map_err(failed)
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            print(&String::from_utf8_lossy(&page))
        }
    }
}

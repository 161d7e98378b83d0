//! `enhanced-locks completions`: a script for the shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::Failure;
use crate::output::print;

/// Print shell completions
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  enhanced-locks completions bash > ~/.local/share/bash-completion/completions/enhanced-locks
  enhanced-locks completions zsh > ~/.zfunc/_enhanced-locks
  enhanced-locks completions fish > ~/.config/fish/completions/enhanced-locks.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Runs the command.
///
/// # Errors
/// If standard output cannot be written.
pub(crate) fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "enhanced-locks", &mut script);
    print(&String::from_utf8_lossy(&script))
}

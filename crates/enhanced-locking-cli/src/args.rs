//! The command line: what is given to every command, and the list of commands. Each command owns its own arguments.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands;
use crate::failure::Failure;
use crate::identity::environment;
use crate::output::Style;

/// Where a service listens unless told otherwise.
pub(crate) const DEFAULT_SERVER: &str = "http://127.0.0.1:4141";

/// A lock manager for infrastructure automation: locks with leases, fencing tokens, a fair line and a dashboard
#[derive(Debug, Parser)]
#[command(name = "enhanced-locks", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "\
Start a service with `enhanced-locks serve`, then try `enhanced-locks run --key demo -- sleep 5` in two terminals.

Exit codes: 0 done, 1 failed, 2 wrong usage, 69 service not reachable, 75 lock not acquired in time, \
76 lock lost; `run` exits with the code of the command it ran.")]
pub(crate) struct Cli {
    /// Given to every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command understands.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// The service to talk to [default: http://127.0.0.1:4141]
    #[arg(long, global = true, value_name = "URL", env = "ENHANCED_LOCKS_SERVER")]
    pub server: Option<String>,
    /// A file with the token to show to the service; or set ENHANCED_LOCKS_TOKEN
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// How to write results
    #[arg(long, short, global = true, value_enum, default_value_t)]
    pub output: Format,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t)]
    pub color: Color,
}

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// For programs: the same shapes as the HTTP API
    Json,
}

/// Whether a command line that cannot be read asks for JSON: its errors are for a program, too.
pub(crate) fn wants_json(arguments: impl IntoIterator<Item = OsString>) -> bool {
    let mut before = String::new();
    for argument in arguments {
        let Some(argument) = argument.to_str() else { continue };
        match argument {
            // What follows is the command's of `run`.
            "--" => return false,
            "--output=json" | "-ojson" | "-o=json" => return true,
            "json" if before == "--output" || before == "-o" => return true,
            _ => argument.clone_into(&mut before),
        }
    }
    false
}

/// When colours are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On terminals, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Color {
    /// The style for a stream.
    #[must_use]
    pub(crate) fn style(self, stream: &impl IsTerminal) -> Style {
        let terminal = stream.is_terminal();
        let color = match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                terminal
                    && environment("NO_COLOR").is_none()
                    && environment("TERM").is_none_or(|term| term != "dumb")
            }
        };
        Style { color, terminal }
    }
}

impl Global {
    /// The token to show to the service, if there is one.
    ///
    /// # Errors
    /// A [`Failure`] if the file cannot be read or is empty.
    pub(crate) fn token(&self) -> Result<Option<String>, Failure> {
        let Some(path) = &self.token_file else { return Ok(environment("ENHANCED_LOCKS_TOKEN")) };
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::new(format!("cannot read the token file {}: {error}", path.display()))
        })?;
        match text.trim() {
            "" => Err(Failure::new(format!("the token file {} is empty", path.display()))),
            token => Ok(Some(token.to_owned())),
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the service: HTTP API, dashboard, embedded store
    Serve(commands::serve::ServeArgs),
    /// Take a lock, run a command, release the lock
    Run(commands::run::RunArgs),
    /// Take a lock and keep it until `unlock`
    Lock(commands::lock::LockArgs),
    /// Release a lock
    Unlock(commands::unlock::UnlockArgs),
    /// Extend the lease of a lock
    Renew(commands::renew::RenewArgs),
    /// Hand a lock to another owner
    Transfer(commands::transfer::TransferArgs),
    /// Take a lock away from its holder; needs a reason
    ForceUnlock(commands::force_unlock::ForceUnlockArgs),
    /// Show one lock, or who holds a key and who waits for it
    Get(commands::get::GetArgs),
    /// List the locks that are held
    List(commands::list::ListArgs),
    /// Show who waits, in line
    Queue(commands::queue::QueueArgs),
    /// Follow what happens, live
    Watch(commands::watch::WatchArgs),
    /// Check and show the configuration
    #[command(subcommand)]
    Config(commands::config::ConfigCommand),
    /// Take over what Atlantis stored
    Import(commands::moving::ImportArgs),
    /// Write what Atlantis stored into a file
    Export(commands::moving::ExportArgs),
    /// Compare what Atlantis stored with our own store
    Verify(commands::moving::VerifyArgs),
    /// Copy the store of the running service
    Backup(commands::backup::BackupArgs),
    /// Check the files of a store that no service has open
    Check(commands::check::CheckArgs),
    /// Show how the service is
    Health(commands::health::HealthArgs),
    /// Measure how fast the service is, and check that it is right
    Bench(commands::bench::BenchArgs),
    /// Let a few pretend pull requests contend for locks
    Demo(commands::demo::DemoArgs),
    /// Print shell completions
    Completions(commands::completions::CompletionsArgs),
    /// Print or write manual pages
    Man(commands::man::ManArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// The command lines of the page of examples: from `enhanced-locks` to the end of the line or of its block.
    fn examples() -> Vec<String> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/integration-examples.md");
        let page = std::fs::read_to_string(path).unwrap();
        let mut found = Vec::new();
        let (mut in_code, mut open) = (false, false);
        for line in page.lines() {
            if line.starts_with("```") {
                (in_code, open) = (!in_code, false);
            } else if !in_code {
            } else if let Some((_, rest)) = line.split_once("enhanced-locks ").filter(|_| !line.contains('#'))
            {
                found.push(rest.to_owned());
                open = !rest.contains(" -- ");
            } else if open && line.trim_start().starts_with("--") {
                let last = found.last_mut().unwrap();
                *last = format!("{last} {}", line.trim());
                open = !line.contains("-- ");
            } else {
                open = false;
            }
        }
        found
    }

    #[test]
    fn every_command_line_of_the_examples_is_understood() {
        let examples = examples();
        assert!(examples.len() > 15, "{examples:?}");
        for example in examples {
            let line = example.split(" || ").next().unwrap().replace("$PULL", "42");
            let mut words = vec!["enhanced-locks".to_owned()];
            let mut quote = None;
            let mut word = String::new();
            for c in line.chars().chain([' ']) {
                match (quote, c) {
                    (None, ' ') if word.is_empty() => {}
                    (None, ' ') => words.push(std::mem::take(&mut word)),
                    (None, '\'' | '"') => quote = Some(c),
                    (Some(open), c) if open == c => quote = None,
                    (_, c) => word.push(c),
                }
            }
            if let Err(error) = Cli::try_parse_from(&words) {
                panic!("{words:?}: {error}");
            }
        }
    }

    #[test]
    fn a_wish_for_json_is_seen_in_a_command_line_that_is_wrong() {
        let wants = |line: &str| wants_json(line.split(' ').map(OsString::from));
        for line in ["x -o json", "x lst --output json", "x --output=json lst", "x -ojson"] {
            assert!(wants(line), "{line}");
        }
        for line in ["x -o table", "x json", "x run -- y -o json", "x -o"] {
            assert!(!wants(line), "{line}");
        }
    }

    #[test]
    fn a_token_file_must_hold_a_token() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let global = |path: &std::path::Path| Global {
            server: None,
            token_file: Some(path.into()),
            output: Format::Table,
            color: Color::Auto,
        };
        assert!(global(&path).token().is_err());
        std::fs::write(&path, "\n").unwrap();
        assert!(global(&path).token().unwrap_err().message.contains("empty"));
        std::fs::write(&path, "secret\n").unwrap();
        assert_eq!(global(&path).token().unwrap().as_deref(), Some("secret"));
    }
}

//! The command `enhanced-locks`: arguments in, work done through the crates below, exit code out.
//!
//! Owns the command line and everything about processes: signals, exit codes, terminals. Rules about locks, waiting
//! and renewing are in the crates below. The library exists for the program and its tests; programs in Rust use the
//! crate `enhanced-locking` instead.

#![forbid(unsafe_code)]

mod acquire;
mod args;
mod commands;
mod duration;
mod failure;
mod identity;
mod logging;
mod output;
mod process;
mod repository;
mod service;
mod session;
mod source;
mod supervise;
mod surroundings;
mod waiting;
mod watched_file;

use std::future::Future;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use args::{Cli, Command, Format};
use failure::Failure;
use output::{Paint, Style};
use session::Session;

/// Runs the program with the arguments of this process.
#[must_use]
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == supervise::EXEC) {
        return ExitCode::from(supervise::exec(arguments));
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            if !help && args::wants_json(std::env::args_os()) {
                return refuse(&usage(&error), Format::Json, Style::default());
            }
            // A reader of the help that has gone is no reason to fail.
            let _ = error.print();
            return ExitCode::from(if help { 0 } else { failure::code::USAGE });
        }
    };
    let (format, style) = (cli.global.output, cli.global.color.style(&std::io::stderr()));
    match dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => refuse(&failure, format, style),
    }
}

/// Says what went wrong; the exit code for it.
fn refuse(failure: &Failure, format: Format, style: Style) -> ExitCode {
    // Nobody may be there to read it any more.
    let mut err = std::io::stderr().lock();
    if failure.message.is_empty() {
    } else if format == Format::Json {
        let _ = writeln!(err, "{}", failure.json());
    } else {
        let _ = writeln!(err, "{} {failure}", style.paint(Paint::Bad, "error:"));
        if let Some(hint) = &failure.hint {
            let _ = writeln!(err, "{} {hint}", style.paint(Paint::Good, "hint:"));
        }
    }
    ExitCode::from(failure.code)
}

/// What the reader of the command line says, without the title and the help it adds for people.
fn usage(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let message = text.split("\n\nUsage:").next().unwrap_or(text);
    let message = message.split("\n\nFor more information").next().unwrap_or(message);
    Failure::usage(message.trim_end()).hint("`enhanced-locks help COMMAND` lists what is understood")
}

fn dispatch(cli: Cli) -> Result<(), Failure> {
    let Cli { global, command } = cli;
    let session = || Session::new(&global);
    match command {
        Command::Completions(args) => commands::completions::run(&args),
        Command::Man(args) => commands::man::run(&args),
        Command::Config(command) => commands::config::run(command, &global),
        Command::Serve(args) => on_all_cores(commands::serve::run(args, &global)),
        Command::Demo(args) => on_all_cores(commands::demo::run(args, &global)),
        Command::Bench(args) => on_all_cores(commands::bench::run(args, &session()?)),
        Command::Run(args) => here(commands::run::run(args, &session()?)),
        Command::Lock(args) => here(commands::lock::run(args, &session()?)),
        Command::Unlock(args) => here(commands::unlock::run(args, &session()?)),
        Command::Renew(args) => here(commands::renew::run(args, &session()?)),
        Command::Transfer(args) => here(commands::transfer::run(args, &session()?)),
        Command::ForceUnlock(args) => here(commands::force_unlock::run(args, &session()?)),
        Command::Get(args) => here(commands::get::run(args, &session()?)),
        Command::List(args) => here(commands::list::run(args, &session()?)),
        Command::Queue(args) => here(commands::queue::run(args, &session()?)),
        Command::Watch(args) => here(commands::watch::run(args, &session()?)),
        Command::Import(args) => on_all_cores(commands::moving::import(args, &global)),
        Command::Export(args) => on_all_cores(commands::moving::export(args, &global)),
        Command::Verify(args) => on_all_cores(commands::moving::verify(args, &global)),
        Command::Backup(_) => here(commands::backup::run(&session()?)),
        Command::Check(args) => commands::check::run(&args, &global),
        Command::Health(_) => here(commands::health::run(&session()?)),
    }
}

/// Runs on this thread alone: it lives as long as the process, which `run` relies on.
fn here(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(work);
    // Name look-ups that hang must not keep the program from ending.
    runtime.shutdown_background();
    result
}

/// Runs on all cores.
fn on_all_cores(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}

//! `enhanced-locks config`: the configuration, checked and explained. Owns how files and flags are given; the rules are the configuration crate's.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use enhanced_locking_config::{
    LoadError, Loader, MissingFeature, Settings, check_features, reference_markdown,
};
use serde_json::json;

use crate::args::{Format, Global};
use crate::failure::{Failure, code};
use crate::output::{Paint, Table, print, print_json};

/// The file that is read without being named, if it is there.
pub(crate) const DEFAULT_FILE: &str = "atlantis.yaml";

/// Cargo features whose parts this program contains.
const COMPILED: &[&str] = &["embedded", "memory", "metrics", "priority-queue", "redis"];

/// Where settings come from.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SettingsArgs {
    /// The configuration file [default: atlantis.yaml, if it is there]
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set one value: wins over file and environment; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Check and show the configuration
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check the configuration; exits with 1 and says everything that is wrong
    Validate(SettingsArgs),
    /// Show every setting with its source; secrets are hidden
    Show(SettingsArgs),
    /// Check that this program contains everything the configuration asks for
    CheckFeatures(SettingsArgs),
    /// Print the reference of all settings as Markdown
    Reference,
}

impl SettingsArgs {
    /// The configuration file, whether or not it is there.
    pub(crate) fn file(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(|| DEFAULT_FILE.into())
    }

    /// A loader for file, environment and flags.
    ///
    /// # Errors
    /// A [`Failure`] if `--set` is not `KEY=VALUE`.
    pub(crate) fn loader(&self) -> Result<Loader, Failure> {
        let mut loader = match &self.config {
            Some(file) => Loader::new().file(file),
            None => Loader::new().optional_file(DEFAULT_FILE),
        };
        loader = loader.environment(std::env::vars_os());
        for pair in &self.set {
            let (key, value) = pair.split_once('=').ok_or_else(|| {
                Failure::usage(format!("--set {pair} is not KEY=VALUE"))
                    .hint("write it like --set locks.default-lease=1m")
            })?;
            loader = loader.flag(key, value);
        }
        Ok(loader)
    }
}

/// What is wrong with a configuration, ready to be shown.
#[must_use]
pub(crate) fn problems(error: &LoadError) -> Failure {
    let count = error.problems().len();
    let list: Vec<String> = error.problems().iter().map(ToString::to_string).collect();
    let what = if count == 1 { "1 problem".to_owned() } else { format!("{count} problems") };
    Failure::new(format!("the configuration has {what}:\n{}", list.join("\n")))
        .hint("`enhanced-locks config reference` lists all settings")
}

/// What the configuration asks for and this program does not contain.
///
/// # Errors
/// A [`Failure`] that names the features.
pub(crate) fn compiled_in(settings: &Settings) -> Result<(), Failure> {
    let missing = check_features(settings, COMPILED);
    if missing.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = missing.iter().map(ToString::to_string).collect();
    let failure = Failure::new(list.join("\n"));
    // What no build has says itself what to do.
    let buildable = missing.iter().any(MissingFeature::exists);
    Err(if buildable { failure.hint("use a build that has it, or change the setting") } else { failure })
}

/// Runs the command.
///
/// # Errors
/// A [`Failure`] with everything that is wrong.
pub(crate) fn run(command: ConfigCommand, global: &Global) -> Result<(), Failure> {
    match command {
        ConfigCommand::Reference => print(&reference_markdown()),
        ConfigCommand::Validate(args) => validate(&args, global),
        ConfigCommand::Show(args) => show(&args, global),
        ConfigCommand::CheckFeatures(args) => {
            let settings = args.loader()?.load().map_err(|error| problems(&error))?;
            check(&settings, global)
        }
    }
}

fn check(settings: &Settings, global: &Global) -> Result<(), Failure> {
    if global.output == Format::Table {
        compiled_in(settings)?;
        return print("everything the configuration asks for is compiled in\n");
    }
    let missing: Vec<_> = check_features(settings, COMPILED).iter().map(missing_json).collect();
    print_json(&json!({"missing": missing, "compiled": COMPILED}))?;
    if missing.is_empty() { Ok(()) } else { Err(Failure::silent(code::GENERAL)) }
}

fn missing_json(missing: &MissingFeature) -> serde_json::Value {
    json!({
        "path": missing.path,
        "value": missing.value,
        "source": missing.source_of_value,
        "feature": missing.feature,
        "exists": missing.exists(),
        "message": missing.to_string(),
    })
}

fn validate(args: &SettingsArgs, global: &Global) -> Result<(), Failure> {
    match (args.loader()?.load(), global.output) {
        (Ok(settings), Format::Json) => {
            let missing: Vec<_> = check_features(&settings, COMPILED).iter().map(missing_json).collect();
            print_json(&json!({"valid": true, "problems": [], "missing": missing}))
        }
        (Ok(settings), Format::Table) => {
            // Valid all the same: it may be for another build, and this one refuses to start with it.
            let (missing, style) =
                (check_features(&settings, COMPILED), global.color.style(&std::io::stderr()));
            for missing in &missing {
                eprintln!("{} {missing}", style.paint(Paint::Warn, "warning:"));
            }
            if !missing.is_empty() {
                let hint =
                    "`enhanced-locks config check-features` fails because of that, and so does `serve`";
                eprintln!("{} {hint}", style.paint(Paint::Good, "hint:"));
            }
            let said =
                settings.show().iter().filter(|setting| setting.source.to_string() != "default").count();
            print(&format!("the configuration is valid; {said} settings differ from the defaults\n"))
        }
        (Err(error), Format::Json) => {
            let list: Vec<_> = error
                .problems()
                .iter()
                .map(|problem| {
                    json!({
                        "path": problem.path,
                        "source": problem.source,
                        "message": problem.message,
                        "help": problem.help,
                    })
                })
                .collect();
            print_json(&json!({"valid": false, "problems": list, "missing": []}))?;
            Err(Failure::silent(code::GENERAL))
        }
        (Err(error), Format::Table) => Err(problems(&error)),
    }
}

fn show(args: &SettingsArgs, global: &Global) -> Result<(), Failure> {
    let settings = args.loader()?.load().map_err(|error| problems(&error))?;
    if global.output == Format::Json {
        return print_json(&settings.show());
    }
    let style = global.color.style(&std::io::stdout());
    let mut table = Table::new(style, &["SETTING", "VALUE", "SOURCE"]);
    for setting in settings.show() {
        let source = setting.source.to_string();
        let paint = if source == "default" { Paint::Dim } else { Paint::Good };
        table.row([
            setting.path.to_owned(),
            setting.value.unwrap_or_else(|| "-".to_owned()),
            style.paint(paint, source),
        ]);
    }
    print(&table.to_string())
}

//! `cargo xtask interop`: Atlantis' own locking code against the Atlantis port, and against a real Redis server.
//!
//! Owns the servers, which are fresh and gone afterwards. What is compared, and what may differ, is in `interop/`: a
//! program in Go, because Atlantis is one. Nothing else needs Go, so this is no part of `ci`.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use xshell::{Shell, cmd};

use crate::background::Background;
use crate::tools;
use crate::ui::{Context as _, Failure, Result, yellow};
use crate::workspace::{CLI, Workspace};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How often two clients race for the same thing
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long each speed is measured
    #[arg(long, value_name = "S", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Build the service optimised: for speeds that mean something
    #[arg(long)]
    release: bool,
}

/// Where the program in Go is.
const MODULE: &str = "interop";

/// How many locks `List` is measured with.
const LOCKS: &str = "5000";

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let sh = workspace.shell()?;
    let go_mod = workspace.text(&format!("{MODULE}/go.mod"))?.unwrap_or_default();
    if !tools::present("go")? {
        return Err(Failure::new(go_is_missing(&go_mod)));
    }
    let redis = tools::redis_server()?;
    let service = build_service(workspace, &sh, args.release)?;
    let program = build_program(workspace, &sh, &go_mod)?;

    let temp = sh.create_temp_dir()?;
    // A configuration file of the directory that the chore is run in is none of its business.
    sh.change_dir(temp.path());
    let (_redis, redis_at) = start_redis(&sh, &redis)?;
    let (_embedded, embedded_at) = start_service(&sh, &service, temp.path(), "embedded")?;
    let (_memory, memory_at) = start_service(&sh, &service, temp.path(), "memory")?;

    let atlantis = required(&go_mod, ATLANTIS).unwrap_or("of unknown version");
    println!("\nAtlantis {atlantis} on {} and on the Atlantis port\n", tools::describe_redis(&redis)?);
    let (rounds, measure) = (args.rounds.to_string(), format!("{}s", args.seconds));
    let compared = cmd!(
        sh,
        "{program} -rounds {rounds} -measure {measure} -locks {LOCKS} -redis {redis_at}
         -port embedded={embedded_at} -port memory={memory_at} -cluster 'as a cluster'={embedded_at}"
    );
    let ended = compared.quiet().run();
    if !args.release {
        println!(
            "\n{} the service was built for debugging; --release is for speeds to compare",
            yellow("note:")
        );
    }
    ended.map_err(|_| Failure::new("the comparison failed, see above: every answer must be that of Redis, or the better one that interop/ expects"))
}

/// The module that is tried.
const ATLANTIS: &str = "github.com/runatlantis/atlantis";

/// The version in a `go.mod` of a module that is required, or of `go` itself.
fn required<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    go_mod.lines().find_map(|line| {
        let mut words = line.split_whitespace().filter(|word| *word != "require");
        (words.next() == Some(module)).then(|| words.next()).flatten()
    })
}

fn go_is_missing(go_mod: &str) -> String {
    let version = required(go_mod, "go").unwrap_or("of today");
    format!(
        "go is needed and was not found in PATH: install Go {version} or later as https://go.dev/doc/install says, then \
         run this again; nothing else in this project needs it"
    )
}

fn build_service(workspace: &Workspace, sh: &Shell, release: bool) -> Result<PathBuf> {
    let optimised = release.then_some("--release");
    cmd!(sh, "cargo build -p {CLI} {optimised...}").run()?;
    Ok(if release { workspace.release_binary() } else { workspace.debug_binary() })
}

/// Builds the program in Go beside what cargo builds, and not among the sources.
fn build_program(workspace: &Workspace, sh: &Shell, go_mod: &str) -> Result<PathBuf> {
    let program = workspace.target_dir.join(MODULE).join(MODULE);
    let _there = sh.push_dir(workspace.root.join(MODULE));
    cmd!(sh, "go build -o {program} .").run().map_err(|error| {
        let version = required(go_mod, "go").unwrap_or("of today");
        Failure::new(format!(
            "{error}; it needs Go {version} or later, and for the first time a module proxy (`go env GOPROXY`)"
        ))
    })?;
    Ok(program)
}

/// Starts a server that keeps nothing; returns its address.
fn start_redis(sh: &Shell, program: &str) -> Result<(Background, String)> {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .context("looking for a free port on 127.0.0.1")?;
    let port = free.port().to_string();
    // Not protected, because one of the clients comes from 127.0.0.2, which Redis does not count as this machine.
    let server =
        cmd!(sh, "{program} --bind 127.0.0.1 --port {port} --protected-mode no --save '' --appendonly no");
    let (running, ()) =
        Background::start(server, |line| line.contains("Ready to accept connections").then_some(()))?;
    Ok((running, free.to_string()))
}

/// Starts the service with an Atlantis port; returns the address of that.
fn start_service(sh: &Shell, program: &Path, dir: &Path, backend: &str) -> Result<(Background, String)> {
    let data = dir.join(backend);
    let server = cmd!(
        sh,
        "{program} serve --listen 127.0.0.1:0 --data-dir {data} --backend {backend} --atlantis-listen 127.0.0.1:0"
    );
    Background::start(server, atlantis_address)
}

/// The address in the line that tells people how to start Atlantis.
fn atlantis_address(line: &str) -> Option<String> {
    let options = line.strip_prefix("atlantis")?;
    let of = |option: &str| {
        options.split_whitespace().find_map(|word| word.strip_prefix(option)?.strip_prefix('='))
    };
    Some(format!("{}:{}", of("--redis-host")?, of("--redis-port")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_says_where_atlantis_finds_it() {
        let line = "atlantis   --redis-host=127.0.0.1 --redis-port=38969\n";
        assert_eq!(atlantis_address(line).unwrap(), "127.0.0.1:38969");
        assert!(atlantis_address("listening on http://127.0.0.1:41095").is_none());
    }

    #[test]
    fn the_versions_that_are_needed_are_those_of_the_module() {
        let workspace = Workspace::load().unwrap();
        let text = workspace.text("interop/go.mod").unwrap().unwrap();
        assert!(required(&text, ATLANTIS).unwrap().starts_with('v'));
        assert_eq!(required("go 1.2\nrequire example.com/m v3\n", "example.com/m"), Some("v3"));
        assert!(go_is_missing("go 1.2").contains("install Go 1.2 or later"));
    }
}

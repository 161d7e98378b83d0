//! `enhanced-locks serve` as a process: starting, stopping, reloading, refusing; and `demo`, `config`, help.
use std::io::{Read, Write};

use crate::common::{Done, Service, bare, on_redis, until};
use rustix::process::Signal;

#[test]
fn it_stops_in_good_order_and_takes_its_ready_file_with_it() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut service = Service::start();
        assert!(service.ready_file().exists());
        service.signal(signal);
        assert_eq!(service.ended(), 0);
        assert!(!service.ready_file().exists());
    }
}

#[test]
fn a_second_signal_stops_it_at_once_with_calls_under_way() {
    let mut service = Service::start_with(&["--set", "server.shutdown-grace=10m"]);
    // A call that never sends the body it announced.
    let mut call = std::net::TcpStream::connect(service.url.trim_start_matches("http://")).unwrap();
    let head = "POST /api/enhanced-locks/locks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                Content-Length: 10\r\nExpect: 100-continue\r\n\r\n";
    call.write_all(head.as_bytes()).unwrap();
    // The service asks for the body: it works on the call now.
    let mut asked = [0; 12];
    call.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100");
    let log = || std::fs::read_to_string(service.log()).unwrap();
    service.signal(Signal::TERM);
    until("it drains", || log().contains("a second signal stops at once"));
    service.signal(Signal::TERM);
    assert_eq!(service.ended(), 143);
    let log = std::fs::read_to_string(service.log()).unwrap();
    assert!(log.contains("stopped at once by a second signal"), "{log}");
    assert!(!service.ready_file().exists());
    service.restart();
    service.run(&["health"]).expect_code(0);
}

#[test]
fn how_many_wait_and_how_long_is_as_configured() {
    let service = Service::start_with(&[
        "--set",
        "server.max-waiting-requests=1",
        "--set",
        "server.read-timeout=300ms",
    ]);
    service.run(&["lock", "-k", "a", "--owner", "somebody"]).expect_code(0);
    let address = service.url.trim_start_matches("http://");
    let ask = |owner: &str| {
        let body = format!("{{\"key\":\"a\",\"owner\":\"{owner}\",\"wait_ms\":600000}}");
        let mut call = std::net::TcpStream::connect(address).unwrap();
        let head = "POST /api/enhanced-locks/locks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
        write!(call, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        call
    };
    let _first = ask("first");
    service.until_waiting(1);
    let mut status = [0; 12];
    ask("second").read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 503");
    service.until_waiting(1);
    // A connection that says nothing is closed.
    let mut idle = std::net::TcpStream::connect(address).unwrap();
    idle.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).unwrap();
    assert!(!rest.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn it_takes_as_many_open_files_as_it_may() {
    let service = Service::start_after("ulimit -Sn 64", &[]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", service.pid().as_raw_pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert!(numbers.len() == 2 && numbers[0] == numbers[1] && numbers[0] > 200, "{line}");
    let address = service.url.trim_start_matches("http://");
    let mut clients: Vec<_> = (0..100).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    for client in &mut clients {
        client.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut status = [0; 12];
        client.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
    }
}

#[test]
fn the_log_says_who_took_what_away_and_why_even_when_it_is_to_be_short() {
    let service = Service::start_with(&["--set", "log.level=error", "--set", "log.format=json"]);
    let lock = |key: &str, owner: &str| {
        service.run(&["lock", "-k", key, "--owner", owner]).expect_code(0);
    };
    lock("a", "ann");
    service.run(&["force-unlock", "a", "--reason", "stuck since noon", "--actor", "olga"]).expect_code(0);
    lock("b", "ben");
    service.run(&["transfer", "-k", "b", "--owner", "ben", "--to", "cleo"]).expect_code(0);
    lock("c", "dan");
    lock("d", "dan");
    service.run(&["unlock", "--all", "--owner", "dan"]).expect_code(0);
    // Who releases its own lock takes nothing away.
    service.run(&["unlock", "-k", "b", "--owner", "cleo"]).expect_code(0);
    let log = std::fs::read_to_string(service.log()).unwrap();
    let told: Vec<_> = log
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|line| line["target"] == "audit")
        .map(|line| {
            let fields = &line["fields"];
            let word = |name: &str| fields[name].as_str().unwrap_or_default().to_owned();
            assert!(word("peer").starts_with("127.0.0.1:"), "{fields}");
            (
                word("action"),
                word("what"),
                word("actor"),
                word("reason"),
                fields["affected"].as_u64().unwrap(),
            )
        })
        .collect();
    let line = |action: &str, what: &str, actor: &str, reason: &str, affected: u64| {
        (action.to_owned(), what.to_owned(), actor.to_owned(), reason.to_owned(), affected)
    };
    assert_eq!(
        told,
        [
            line("force-release", "a", "olga", "stuck since noon", 1),
            line("transfer", "b", "ben", "to cleo", 1),
            line("release-by-owner", "dan", "dan", "unlock --all", 2),
        ],
        "{log}"
    );
}

#[test]
fn what_was_locked_before_is_locked_after() {
    let mut service = Service::start();
    let before = service.json(&["lock", "-k", "a"])["lock"]["token"].clone();
    service.signal(Signal::TERM);
    assert_eq!(service.ended(), 0);
    service.restart();
    assert_eq!(service.json(&["list"])["locks"][0]["token"], before);
}

#[test]
fn a_second_service_on_the_same_directory_or_address_is_refused_with_the_reason() {
    if on_redis() {
        return eprintln!("only with files");
    }
    let service = Service::start();
    let data = service.path("data");
    let data = data.to_str().unwrap();
    let done = service.run(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data]).expect_code(1);
    assert!(
        done.err.contains("is in use by") && done.err.contains("choose another data directory"),
        "{}",
        done.err
    );
    let taken = service.url.trim_start_matches("http://");
    let done = service.run(&["serve", "--listen", taken, "--backend", "memory"]).expect_code(1);
    assert!(done.err.contains("cannot listen on") && done.err.contains("in use"), "{}", done.err);
}

#[test]
fn a_wrong_configuration_is_refused_with_everything_that_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("atlantis.yaml"),
        "enhanced-locking:\n  backnd: redis\n  locks:\n    default-lease: 30\n",
    )
    .unwrap();
    for arguments in [&["serve"][..], &["config", "validate"][..], &["config", "show"][..]] {
        let done = Done::of(bare(arguments).current_dir(&directory).output().unwrap()).expect_code(1);
        assert!(done.err.contains("did you mean `backend`?"), "{}", done.err);
        assert!(done.err.contains("default-lease"), "{}", done.err);
    }
    let json =
        Done::of(bare(&["config", "validate", "--output", "json"]).current_dir(&directory).output().unwrap())
            .expect_code(1);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((json["valid"].as_bool(), json["problems"].as_array().unwrap().len()), (Some(false), 2));
}

#[test]
fn settings_are_shown_with_their_sources_and_without_secrets() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("c.yaml"), "enhanced-locking: {server: {auth-token: hunter2}}\n")
        .unwrap();
    let mut command = bare(&["config", "show", "--config", "c.yaml", "--set", "locks.default-lease=1m"]);
    command.env("ATLANTIS_ENHANCED_LOCKING_LOG_LEVEL", "debug").current_dir(&directory);
    let done = Done::of(command.output().unwrap()).expect_code(0);
    assert!(!done.out.contains("hunter2") && done.out.contains("***"), "{}", done.out);
    let line = |setting: &str| {
        let line = done.out.lines().find(|line| line.starts_with(setting)).unwrap();
        line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("locks.default-lease"), "1m flag --set locks.default-lease");
    assert_eq!(line("log.level"), "debug environment ATLANTIS_ENHANCED_LOCKING_LOG_LEVEL");
    assert_eq!(line("backend"), "embedded default");
    let done = Done::of(bare(&["config", "check-features", "--set", "retries=true"]).output().unwrap());
    let done = done.expect_code(1);
    assert!(
        done.err.contains("which is not in this version of enhanced-locks yet; leave it off"),
        "{done:?}"
    );
    assert!(!done.err.contains("cargo") && !done.err.contains("use a build"), "{}", done.err);
    let done = Done::of(bare(&["config", "validate", "--set", "retries=true"]).output().unwrap());
    let done = done.expect_code(0);
    assert!(done.out.starts_with("the configuration is valid"), "{}", done.out);
    assert!(done.err.contains("leave it off") && done.err.contains("config check-features"), "{}", done.err);
    let reference = Done::of(bare(&["config", "reference"]).output().unwrap()).expect_code(0);
    assert!(reference.out.contains("| `locks.default-lease` |"), "{}", reference.out);
}

#[test]
fn a_file_is_no_data_directory() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    for arguments in
        [&["serve", "--listen", "127.0.0.1:0", "--data-dir", path][..], &["check", "--data-dir", path]]
    {
        let done = Done::of(bare(arguments).output().unwrap()).expect_code(1);
        assert!(done.err.contains("is a file, not a directory; choose another"), "{}", done.err);
    }
}

#[test]
fn a_hang_up_reads_the_configuration_again() {
    let service = Service::start();
    service.signal(Signal::HUP);
    until("it is read", || std::fs::read_to_string(service.log()).unwrap().contains("nothing has changed"));
    let file = service.path("atlantis.yaml");
    std::fs::write(&file, "enhanced-locking: {data-dir: ./elsewhere, limits: {events: 7}}\n").unwrap();
    service.signal(Signal::HUP);
    until("it is read", || {
        let log = std::fs::read_to_string(service.log()).unwrap();
        log.contains("these changes need a restart") && log.contains("limits.events")
    });
    std::fs::write(&file, "enhanced-locking: {nonsense: 1}\n").unwrap();
    service.signal(Signal::HUP);
    until("it is refused", || std::fs::read_to_string(service.log()).unwrap().contains("is not taken over"));
    service.run(&["health"]).expect_code(0);
}

#[test]
fn a_token_is_asked_for_and_shown() {
    let service = Service::start_with(&["--set", "server.auth-token=open-sesame"]);
    let done = service.run(&["list"]).expect_code(1);
    assert!(done.err.contains("--token-file"), "{}", done.err);
    let token = service.path("token");
    std::fs::write(&token, "open-sesame\n").unwrap();
    service.run(&["list", "--token-file", token.to_str().unwrap()]).expect_code(0);
    let mut command = service.command(&["run", "-k", "a", "--", "true"]);
    Done::of(command.env("ENHANCED_LOCKS_TOKEN", "open-sesame").output().unwrap()).expect_code(0);
}

#[test]
fn the_demonstration_tells_a_story_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = bare(&["demo", "--seconds", "4"]);
    command.env("TMPDIR", directory.path()).current_dir(&directory);
    let done = Done::of(command.output().unwrap()).expect_code(0);
    for words in [
        "watch them at http://127.0.0.1:",
        "waits for prod/",
        "is handed prod/",
        "Never did two hold one lock",
    ] {
        assert!(done.out.contains(words), "{words}: {}", done.out);
    }
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
}

#[test]
fn the_demonstration_can_play_on_a_service_that_is_there() {
    let service = Service::start();
    service.run(&["demo", "--seconds", "2", "--pulls", "3"]).expect_code(0);
    // The process that crashed still holds its lock until its short lease has run out.
    service.until_held(0);
    service.until_waiting(0);
}

#[test]
fn completions_and_manual_pages_are_made() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let done = Done::of(bare(&["completions", shell]).output().unwrap()).expect_code(0);
        assert!(done.out.contains("force-unlock") && !done.out.contains("__exec"), "{shell}");
    }
    let done = Done::of(bare(&["man"]).output().unwrap()).expect_code(0);
    assert!(done.out.starts_with(".ie") || done.out.contains(".TH enhanced-locks"), "{}", done.out);
    let directory = tempfile::tempdir().unwrap();
    let into = directory.path().to_str().unwrap();
    Done::of(bare(&["man", "--directory", into]).output().unwrap()).expect_code(0);
    assert!(directory.path().join("enhanced-locks-run.1").exists());
}

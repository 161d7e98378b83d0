//! `enhanced-locks run` and signals: passed on once, at the right time, to the right processes.
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use crate::common::{Service, file, lives, until};
use rustix::process::Signal;

/// A script that writes down every signal it gets, and ends on USR2 with code 9.
fn recorder(service: &Service) -> String {
    let (log, ready) = (service.path("log-of-signals"), service.path("recorder"));
    let traps: String = ["INT", "TERM", "HUP", "QUIT", "USR1"]
        .map(|name| format!("trap 'echo {name} >> {}' {name}; ", log.display()))
        .concat();
    format!(
        "{traps} trap 'exit 9' USR2; echo $$ > {0}.new; mv {0}.new {0}; while :; do sleep 0.02; done",
        ready.display()
    )
}

#[test]
fn every_signal_reaches_the_command_exactly_once() {
    let service = Service::start();
    let run = service.spawn(&["run", "-k", "a", "--", "sh", "-c", &recorder(&service)]);
    file(&service.path("recorder"));
    let mut expected = String::new();
    for (signal, name) in [
        (Signal::INT, "INT"),
        (Signal::TERM, "TERM"),
        (Signal::HUP, "HUP"),
        (Signal::QUIT, "QUIT"),
        (Signal::USR1, "USR1"),
    ] {
        run.signal(signal);
        expected += &format!("{name}\n");
        until(name, || {
            std::fs::read_to_string(service.path("log-of-signals")).is_ok_and(|log| log == expected)
        });
    }
    run.signal(Signal::USR2);
    run.end().expect_code(9);
    assert_eq!(std::fs::read_to_string(service.path("log-of-signals")).unwrap(), expected);
    service.until_held(0);
}

#[test]
fn a_command_that_dies_of_a_signal_is_told_apart_and_its_lock_is_free() {
    let service = Service::start();
    let run = service.spawn(&["run", "-k", "a", "--", "sleep", "600"]);
    service.until_held(1);
    // The command may not have become `sleep` yet; whatever it is, it dies of it.
    run.signal(Signal::TERM);
    run.end().expect_code(143);
    service.until_held(0);
}

#[test]
fn what_the_command_started_ends_with_it_when_a_runner_stops_the_job() {
    let service = Service::start();
    let pid = service.path("pid");
    let script = format!("sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait", pid.display());
    let run = service.spawn(&["run", "-k", "a", "--", "sh", "-c", &script]);
    let grandchild: i32 = file(&pid).trim().parse().unwrap();
    run.signal(Signal::TERM);
    run.end().expect_code(143);
    until("the grandchild is gone", || !lives(grandchild));
}

#[test]
fn a_signal_while_waiting_leaves_the_line() {
    let service = Service::start();
    service.run(&["lock", "-k", "a"]).expect_code(0);
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let waiter = service.spawn(&["run", "-k", "a", "--", "touch", "started"]);
        service.until_waiting(1);
        waiter.signal(signal);
        waiter.end().expect_code(code);
        service.until_waiting(0);
    }
    assert!(!service.path("started").exists());
}

#[test]
fn a_signal_that_the_caller_ignores_stays_ignored() {
    let service = Service::start();
    let ready = service.path("ready-for-hup");
    let script = format!("touch {}; while [ ! -e done ]; do sleep 0.02; done; exit 4", ready.display());
    let mut nohup = Command::new("nohup");
    let inner = service.command(&["run", "-k", "a", "--", "sh", "-c", &script]);
    nohup.arg(inner.get_program()).args(inner.get_args()).current_dir(&service.directory);
    nohup.env("ENHANCED_LOCKS_SERVER", &service.url).stdin(Stdio::null());
    let run = crate::common::Running::start(nohup);
    file(&ready);
    run.signal(Signal::HUP);
    std::fs::write(service.path("done"), "").unwrap();
    run.end().expect_code(4);
}

/// Whether a process is stopped; a shell whose child was stopped between `vfork` and `exec` sits in the kernel (`D`).
fn is_stopped(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(')').next().unwrap().trim_start().starts_with(['T', 'D'])
}

#[test]
fn stopping_and_continuing_takes_the_command_along() {
    let service = Service::start();
    let run = service.spawn(&["run", "-k", "a", "--", "sh", "-c", &recorder(&service)]);
    let command: i32 = file(&service.path("recorder")).trim().parse().unwrap();
    let own = run.pid().as_raw_pid();
    run.signal(Signal::TSTP);
    until("both are stopped", || is_stopped(command) && is_stopped(own));
    run.signal(Signal::CONT);
    until("both go on", || !is_stopped(command) && !is_stopped(own));
    run.signal(Signal::USR2);
    run.end().expect_code(9);
}

fn parent_of(pid: i32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The program in the foreground of a terminal of its own.
fn on_a_terminal(service: &Service, arguments: &[&str]) -> (std::process::Child, File) {
    in_a_session(service, &service.command(arguments))
}

/// A program as the leader of a session with a terminal.
fn in_a_session(service: &Service, inner: &Command) -> (std::process::Child, File) {
    let master =
        rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY).unwrap();
    rustix::pty::grantpt(&master).unwrap();
    rustix::pty::unlockpt(&master).unwrap();
    let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
    let slave: OwnedFd = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap().into();
    let stream = || Stdio::from(slave.try_clone().unwrap());
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait"]).arg(inner.get_program()).args(inner.get_args());
    command.current_dir(&service.directory).env("ENHANCED_LOCKS_SERVER", &service.url).env("TERM", "xterm");
    let child = command.stdin(stream()).stdout(stream()).stderr(stream()).spawn().unwrap();
    (child, File::from(master))
}

#[test]
fn a_key_at_the_terminal_reaches_the_command_once_and_a_kill_of_us_does_too() {
    let service = Service::start();
    let script = recorder(&service);
    let (mut child, mut terminal) = on_a_terminal(&service, &["run", "-k", "a", "--", "sh", "-c", &script]);
    let command: i32 = file(&service.path("recorder")).trim().parse().unwrap();
    let log = || std::fs::read_to_string(service.path("log-of-signals")).unwrap_or_default();
    terminal.write_all(b"\x03").unwrap();
    until("^C has arrived", || log() == "INT\n");
    let parent = rustix::process::Pid::from_raw(parent_of(command)).unwrap();
    rustix::process::kill_process(parent, Signal::TERM).unwrap();
    until("TERM has arrived", || log() == "INT\nTERM\n");
    rustix::process::kill_process(parent, Signal::USR2).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(9));
    assert_eq!(log(), "INT\nTERM\n");
}

#[test]
fn the_command_can_read_from_the_terminal_and_the_waiting_line_is_live() {
    let service = Service::start();
    service.run(&["lock", "-k", "a", "--owner", "somebody"]).expect_code(0);
    let (mut child, mut terminal) =
        on_a_terminal(&service, &["run", "-k", "a", "--", "sh", "-c", "read line; echo \"<$line>\""]);
    service.until_waiting(1);
    let mut seen = String::new();
    let mut read_until = |what: &str, terminal: &mut File| {
        let mut buffer = [0; 4096];
        until(what, || {
            if seen.contains(what) {
                return true;
            }
            let n = terminal.read(&mut buffer).unwrap();
            seen += &String::from_utf8_lossy(&buffer[..n]);
            seen.contains(what)
        });
    };
    read_until("\u{1b}[2K", &mut terminal);
    read_until("place 1 of 1; held by somebody", &mut terminal);
    service.run(&["unlock", "-k", "a", "--owner", "somebody"]).expect_code(0);
    read_until("got a with token", &mut terminal);
    terminal.write_all(b"hello\n").unwrap();
    read_until("<hello>", &mut terminal);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_shell_can_stop_it_with_a_key_and_fetch_it_back_to_the_foreground() {
    let service = Service::start();
    let script = service.path("recorder.sh");
    std::fs::write(&script, recorder(&service)).unwrap();
    let mut shell = Command::new("sh");
    shell.arg("-i");
    let (mut child, mut terminal) = in_a_session(&service, &shell);
    let program = crate::common::program();
    for _ in 0..2 {
        let line = format!("{} run -k a -- sh {}\n", program.display(), script.display());
        terminal.write_all(line.as_bytes()).unwrap();
        let command: i32 = file(&service.path("recorder")).trim().parse().unwrap();
        let own = parent_of(command);
        terminal.write_all(b"\x1a").unwrap();
        until("both are stopped", || is_stopped(command) && is_stopped(own));
        terminal.write_all(b"fg\n").unwrap();
        until("both go on", || !is_stopped(command) && !is_stopped(own));
        // In the foreground again: keys reach the command, once.
        let log = service.path("log-of-signals");
        terminal.write_all(b"\x03").unwrap();
        until("^C has arrived", || std::fs::read_to_string(&log).is_ok_and(|log| log == "INT\n"));
        std::fs::remove_file(service.path("recorder")).unwrap();
        std::fs::remove_file(&log).unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(own).unwrap(), Signal::USR2).unwrap();
        until("it ends", || !lives(own));
        service.until_held(0);
    }
    terminal.write_all(b"exit 3\n").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

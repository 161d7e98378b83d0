//! Supervision with fake locks and fake signals; the real ones are in `tests/`.

use std::future::pending;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::{mpsc, oneshot};

use super::*;

const LONG: Duration = Duration::from_secs(60);

fn shell(script: &str, grouping: Grouping, grace: Duration) -> Supervisor {
    let command = ["sh", "-c", script].map(Into::into).to_vec();
    let launch =
        Launch { command, environment: vec![("GIVEN", "value".into())], grouping, json: false, tied: false };
    Supervisor::start(&launch, grace, &Signals::fake().1).unwrap()
}

/// A script that says when it is ready, so that no test has to guess: it makes `file`.
async fn ready(file: &Path) {
    while !file.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn send(sender: &mpsc::UnboundedSender<Received>, signal: Signal, from_terminal: bool) {
    sender.send(Received { signal, from_terminal }).unwrap();
}

#[tokio::test]
async fn the_commands_own_exit_code_is_told() {
    let (_sender, mut signals) = Signals::fake();
    for code in [0, 1, 75, 255] {
        let ended = shell(&format!("exit {code}"), Grouping::Own, LONG).run(&mut signals, pending()).await;
        assert_eq!(ended.unwrap(), Ended::Exited(code));
    }
}

#[tokio::test]
async fn a_command_killed_by_a_signal_has_128_more() {
    let (_sender, mut signals) = Signals::fake();
    let ended = shell("kill -SEGV $$", Grouping::Own, LONG).run(&mut signals, pending()).await.unwrap();
    assert_eq!(ended.code(76), 139);
}

#[tokio::test]
async fn the_environment_is_handed_over() {
    let (_sender, mut signals) = Signals::fake();
    let ended = shell("test \"$GIVEN\" = value", Grouping::Own, LONG).run(&mut signals, pending()).await;
    assert_eq!(ended.unwrap(), Ended::Exited(0));
}

#[tokio::test]
async fn a_signal_sent_to_us_reaches_the_command() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ready");
    for (grouping, signal, name, code) in [
        (Grouping::Own, Signal::TERM, "TERM", 3),
        (Grouping::Own, Signal::USR1, "USR1", 4),
        (Grouping::Shared, Signal::INT, "INT", 5),
        (Grouping::Shared, Signal::USR2, "USR2", 6),
    ] {
        let _ = std::fs::remove_file(&file);
        let (sender, mut signals) = Signals::fake();
        let script =
            format!("trap 'exit {code}' {name}; touch {}; while :; do sleep 0.05; done", file.display());
        let run = shell(&script, grouping, LONG);
        let (ended, ()) = tokio::join!(run.run(&mut signals, pending()), async {
            ready(&file).await;
            send(&sender, signal, false);
        });
        assert_eq!(ended.unwrap(), Ended::Exited(code), "{name}");
    }
}

#[tokio::test]
async fn what_the_terminal_sent_to_the_whole_group_is_not_passed_on() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ready");
    let (sender, mut signals) = Signals::fake();
    let script = format!(
        "trap 'exit 9' INT; trap 'exit 3' TERM; touch {}; while :; do sleep 0.05; done",
        file.display()
    );
    let run = shell(&script, Grouping::Shared, LONG);
    let (ended, ()) = tokio::join!(run.run(&mut signals, pending()), async {
        ready(&file).await;
        send(&sender, Signal::INT, true);
        send(&sender, Signal::TERM, false);
    });
    assert_eq!(ended.unwrap(), Ended::Exited(3));
}

#[tokio::test]
async fn the_same_signal_twice_in_a_row_is_passed_on_once() {
    let directory = tempfile::tempdir().unwrap();
    let (file, log) = (directory.path().join("ready"), directory.path().join("log"));
    let (sender, mut signals) = Signals::fake();
    let script = format!(
        "trap 'echo one >> {log}' TERM; trap 'exit 0' HUP; touch {file}; while :; do sleep 0.05; done",
        log = log.display(),
        file = file.display()
    );
    let run = shell(&script, Grouping::Own, LONG);
    let (ended, ()) = tokio::join!(run.run(&mut signals, pending()), async {
        ready(&file).await;
        send(&sender, Signal::TERM, false);
        send(&sender, Signal::TERM, false);
        ready(&log).await;
        // Both were taken from the queue before this one, and handled before the shell sees it.
        tokio::time::sleep(TWICE / 2).await;
        send(&sender, Signal::HUP, false);
    });
    assert_eq!(ended.unwrap(), Ended::Exited(0));
    assert_eq!(std::fs::read_to_string(log).unwrap(), "one\n");
}

#[tokio::test]
async fn a_lost_lock_ends_the_command_and_what_it_started() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let (_sender, mut signals) = Signals::fake();
    let script = format!("sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait", file.display());
    let run = shell(&script, Grouping::Own, LONG);
    let ended = run.run(&mut signals, ready(&file)).await.unwrap();
    assert_eq!(ended, Ended::Lost { stuck: 0 });
    assert_eq!(ended.code(76), 76);
    let pid: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z"), "{state}");
}

#[tokio::test]
async fn a_command_that_ignores_term_is_killed_after_the_grace() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ready");
    let (_sender, mut signals) = Signals::fake();
    let script = format!("trap '' TERM; touch {}; while :; do sleep 0.05; done", file.display());
    let run = shell(&script, Grouping::Own, Duration::from_millis(200));
    let begun = Instant::now();
    let ended = run.run(&mut signals, ready(&file)).await.unwrap();
    assert_eq!(ended, Ended::Lost { stuck: 0 });
    assert!(begun.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn a_stopped_command_is_ended_too() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ready");
    let (_sender, mut signals) = Signals::fake();
    let run = shell(&format!("touch {}; kill -STOP $$; sleep 600", file.display()), Grouping::Own, LONG);
    assert_eq!(run.run(&mut signals, ready(&file)).await.unwrap(), Ended::Lost { stuck: 0 });
}

#[tokio::test]
async fn a_command_that_had_finished_keeps_its_code_when_the_lock_is_lost_at_the_same_time() {
    let (_sender, mut signals) = Signals::fake();
    let run = shell("exit 7", Grouping::Own, LONG);
    let pid = run.pid;
    // The lock is lost only once the command has exited, and both are seen in the same turn.
    let (seen, lost) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        let _ = seen.send(());
    });
    let lost = lost.await;
    let ended = run.run(&mut signals, async move { drop(lost) }).await.unwrap();
    assert_eq!(ended, Ended::Exited(7));
}

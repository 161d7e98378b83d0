//! `enhanced-locks run` in every corner that needs no trouble with the service: exit codes, streams, environment, lines.
use std::io::{Read, Write};
use std::process::Stdio;

use crate::common::{Service, bare, file, lives, until};
use rustix::process::Signal;

#[test]
fn the_exit_code_is_that_of_the_command() {
    let service = Service::start();
    for code in [0, 1, 3, 75, 76, 255] {
        service.run(&["run", "-k", "a", "--", "sh", "-c", &format!("exit {code}")]).expect_code(code);
    }
    service.run(&["run", "-k", "a", "--", "sh", "-c", "kill -KILL $$"]).expect_code(137);
    service.run(&["run", "-k", "a", "--", "sh", "-c", "kill -TERM $$"]).expect_code(143);
    service.until_held(0);
}

#[test]
fn a_command_that_cannot_run_releases_its_lock_and_says_why() {
    let service = Service::start();
    let done = service.run(&["run", "-k", "a", "--", "no-such-command"]).expect_code(127);
    assert_eq!(done.err, "enhanced-locks: no-such-command: command not found\n");
    let done = service.run(&["run", "-k", "a", "--", "/"]).expect_code(126);
    assert!(done.err.contains("not executable"), "{}", done.err);
    service.run(&["run", "-k", "a", "--wait", "0", "--", "true"]).expect_code(0);
}

#[test]
fn standard_streams_are_the_commands_own_to_the_byte() {
    let service = Service::start();
    let bytes: Vec<u8> = (0..1 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut command = service.command(&["run", "-k", "a", "--", "sh", "-c", "cat; printf 'e\\0r' >&2"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let sent = bytes.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&sent).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    assert!(output.stdout == bytes, "{} bytes came back, not the same as were sent", output.stdout.len());
    assert_eq!(output.stderr, b"e\0r");
}

#[test]
fn a_reader_that_stops_ends_the_command_by_sigpipe_as_usual() {
    let service = Service::start();
    let mut command = service.command(&["run", "-k", "a", "--", "sh", "-c", "yes; exit 1"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut some = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut some).unwrap();
    // `yes` dies of SIGPIPE, not of an error message: 141 is its code, 1 is the shell's.
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn the_command_finds_its_locks_in_its_environment() {
    let service = Service::start();
    let print = "printf '%s\\n' \"$ENHANCED_LOCK_KEY\" \"$ENHANCED_LOCK_ID\" \"$ENHANCED_LOCK_TOKEN\" \"$ENHANCED_LOCKS\"";
    let held = format!("{print}; \"$0\" list --output json");
    let program = crate::common::program();
    let program = program.to_str().unwrap();
    let done = service.run(&["run", "-k", "b", "-k", "a", "--", "sh", "-c", &held, program]).expect_code(0);
    let mut lines = done.out.lines();
    let (key, id, token) = (lines.next().unwrap(), lines.next().unwrap(), lines.next().unwrap());
    let all: serde_json::Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!((key, all[0]["key"].as_str(), all[1]["key"].as_str()), ("b", Some("b"), Some("a")));
    let listed: serde_json::Value = serde_json::from_str(&lines.collect::<String>()).unwrap();
    assert_eq!(listed["locks"][1]["id"], id);
    assert_eq!(listed["locks"][1]["token"].to_string(), token);
    assert_eq!(listed["locks"][0]["token"], all[1]["token"]);
    service.until_held(0);
}

#[test]
fn a_lock_that_is_held_is_waited_for_in_sight_or_not_at_all() {
    let service = Service::start();
    let gate = service.path("gate");
    let wait = format!("while [ ! -e {} ]; do sleep 0.02; done", gate.display());
    let holder = service.spawn(&["run", "-k", "a", "--owner", "first", "--", "sh", "-c", &wait]);
    service.until_held(1);

    let done = service.run(&["run", "-k", "a", "--wait", "0", "--", "true"]).expect_code(75);
    assert!(done.err.contains("a is held by first (tester) for "), "{}", done.err);
    let done = service.run(&["run", "-k", "a", "--wait", "300ms", "--", "true"]).expect_code(75);
    assert!(done.err.contains("waiting for a: place 1 of 1; held by first"), "{}", done.err);
    assert!(done.err.contains("EL006"), "{}", done.err);

    let waiter = service.spawn(&["run", "-k", "a", "--", "echo", "mine"]);
    service.until_waiting(1);
    std::fs::write(&gate, "").unwrap();
    holder.end().expect_code(0);
    let done = waiter.end().expect_code(0);
    assert_eq!(done.out, "mine\n");
    assert!(done.err.contains("enhanced-locks: got a with token "), "{}", done.err);
    service.until_held(0);
}

#[test]
fn quiet_says_nothing_and_json_says_it_for_programs() {
    let service = Service::start();
    service.run(&["lock", "-k", "a"]).expect_code(0);
    let done = service.run(&["run", "-q", "-k", "a", "--wait", "200ms", "--", "true"]).expect_code(75);
    assert!(!done.err.contains("waiting for"), "{}", done.err);
    let done =
        service.run(&["run", "-k", "a", "--output", "json", "--wait", "200ms", "--", "true"]).expect_code(75);
    let first: serde_json::Value = serde_json::from_str(done.err.lines().next().unwrap()).unwrap();
    assert_eq!((first["state"].as_str(), first["position"].as_u64()), (Some("queued"), Some(1)));
}

#[test]
fn several_keys_are_all_held_or_none() {
    let service = Service::start();
    service.run(&["lock", "-k", "b"]).expect_code(0);
    let done = service.run(&["run", "-k", "a", "-k", "b", "--wait", "0", "--", "true"]).expect_code(75);
    assert!(done.err.contains("b by tester@"), "{}", done.err);
    service.run(&["run", "-k", "a", "-k", "b", "--wait", "300ms", "--", "true"]).expect_code(75);
    service.until_held(1);
    service.run(&["unlock", "-k", "b"]).expect_code(0);
    service.run(&["run", "-k", "a", "-k", "b", "--wait", "0", "--", "true"]).expect_code(0);
    service.until_held(0);
}

#[test]
fn shared_locks_are_held_together() {
    let service = Service::start();
    let inner = format!("{} run -k a --mode shared --wait 0 -- true", crate::common::program().display());
    service.run(&["run", "-k", "a", "--mode", "shared", "--", "sh", "-c", &inner]).expect_code(0);
    let inner = format!("{} run -k a --wait 0 -- true", crate::common::program().display());
    service.run(&["run", "-k", "a", "--mode", "shared", "--", "sh", "-c", &inner]).expect_code(75);
}

#[test]
fn a_run_inside_a_run_does_not_wait_for_itself() {
    let service = Service::start();
    let program = crate::common::program();
    let nested = |inner: &str| {
        let inner = format!("{} {inner}", program.display());
        service.run(&["run", "-k", "b", "-k", "a", "--owner", "outer", "--", "sh", "-c", &inner])
    };
    let done = nested("run -k a -- true").expect_code(2);
    assert!(done.err.contains("a is held by the `run` around this command"), "{}", done.err);
    assert!(done.err.contains("--owner 'outer'"), "{}", done.err);
    nested("lock -k b --wait 10m").expect_code(2);
    // The same owner joins, other keys are free, and who does not wait is told who holds it.
    nested("run -k a --owner outer -- true").expect_code(0);
    nested("run -k c -- true").expect_code(0);
    nested("run -k a --wait 0 -- true").expect_code(75);
    // What is left in the environment of a lock that is over does not count.
    let mut command = service.command(&["run", "-k", "a", "--", "true"]);
    command.env("ENHANCED_LOCKS", r#"[{"id":"old","key":"a","token":1}]"#);
    crate::common::Done::of(command.output().unwrap()).expect_code(0);
}

#[test]
fn without_a_service_it_says_so_and_how_to_start_one() {
    let done = crate::common::Done::of(
        bare(&["run", "-k", "a", "--server", "http://127.0.0.1:1", "--", "true"]).output().unwrap(),
    )
    .expect_code(69);
    assert!(done.err.contains("http://127.0.0.1:1 cannot be reached"), "{}", done.err);
    assert!(done.err.contains("enhanced-locks serve"), "{}", done.err);
}

#[test]
fn wrong_usage_is_said_before_anything_happens() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, words) in [
        (&["run", "--", "true"][..], "what to lock is missing"),
        (&["run", "-k", "a"][..], "<CMD>"),
        (&["run", "-k", "a", "-k", "a", "--", "true"][..], "a is given twice"),
        (&["run", "-k", "a", "--lease", "30", "--", "true"][..], "needs a unit"),
        (&["run", "-k", "a", "--lease", "1ms", "--", "true"][..], "too short to be renewed in time"),
        (&["run", "-k", "a", "--lease", "999ms", "--", "true"][..], "use 1s or longer"),
        (&["run", "-k", "a", "--wait", "soon", "--", "true"][..], "or `forever`"),
        (&["run", "-k", "a", "--mode", "both", "--", "true"][..], "shared"),
        (&["run", "--project", "p", "--", "true"][..], "--repo"),
        (&["run", "-k", "a", "--pull", "7", "--", "true"][..], "of which repository"),
        (&["run", "-k", "a", "--meta", "x", "--", "true"][..], "name=value"),
        (&["run", "-k", "a", "--server", "https://h", "--", "true"][..], "plain http"),
        (&["run", "-k", "a\nb", "--", "true"][..], "control character"),
    ] {
        // Away from any repository.
        let mut command = bare(arguments);
        command.current_dir(&directory).env_remove("BASE_REPO_OWNER").env_remove("BASE_REPO_NAME");
        let done = crate::common::Done::of(command.output().unwrap()).expect_code(2);
        assert!(done.err.contains(words), "{arguments:?}: {}", done.err);
    }
}

#[test]
fn the_variables_of_atlantis_make_the_project_and_the_owner() {
    let service = Service::start();
    let mut command =
        service.command(&["run", "--from-atlantis-env", "--", "sh", "-c", "\"$0\" list --output json"]);
    command.arg(crate::common::program());
    for (name, value) in [
        ("BASE_REPO_OWNER", "acme"),
        ("BASE_REPO_NAME", "infra"),
        ("PULL_NUM", "42"),
        ("PROJECT_NAME", "net"),
        ("REPO_REL_DIR", "envs/prod"),
        ("WORKSPACE", "blue"),
        ("USER_NAME", "alice"),
    ] {
        command.env(name, value);
    }
    let done = crate::common::Done::of(command.output().unwrap()).expect_code(0);
    let listed: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    let lock = &listed["locks"][0];
    assert_eq!(lock["key"], "project::acme/infra:envs/prod:blue:net");
    assert_eq!((lock["owner"].as_str(), lock["user"].as_str()), (Some("acme/infra#42"), Some("alice")));
    assert_eq!(lock["pull"]["number"], 42);
}

#[test]
fn a_project_without_a_repository_is_that_of_the_working_directory() {
    let service = Service::start();
    let git = |arguments: &[&str]| {
        let status =
            std::process::Command::new("git").args(arguments).current_dir(&service.directory).status();
        assert!(status.unwrap().success(), "{arguments:?}");
    };
    let run = |variables: &[(&str, &str)]| {
        let script = "echo $ENHANCED_LOCK_KEY";
        let mut command =
            service.command(&["run", "--project", "net", "--workspace", "blue", "--", "sh", "-c", script]);
        command.env_remove("BASE_REPO_OWNER").env_remove("BASE_REPO_NAME");
        crate::common::Done::of(command.envs(variables.iter().copied()).output().unwrap())
    };
    git(&["init", "-q", "."]);
    let done = run(&[]).expect_code(2);
    assert!(done.err.contains("no git remote `origin`") && done.err.contains("--repo"), "{}", done.err);
    git(&["remote", "add", "origin", "git@github.com:acme/infra.git"]);
    let done = run(&[]).expect_code(0);
    assert_eq!(done.out, "project::acme/infra:.:blue:net\n");
    assert_eq!(done.err, "enhanced-locks: repository acme/infra, from the git remote `origin`\n");
    let done = run(&[("BASE_REPO_OWNER", "other"), ("BASE_REPO_NAME", "place")]).expect_code(0);
    assert_eq!(done.out, "project::other/place:.:blue:net\n");
    git(&["remote", "set-url", "origin", "https://x:secret@git.example/infra"]);
    let done = run(&[]).expect_code(2);
    assert!(done.err.contains("https://git.example/infra") && !done.err.contains("secret"), "{}", done.err);
}

#[test]
fn a_lock_that_the_owner_held_before_is_left_held() {
    let service = Service::start();
    let before = service.json(&["lock", "-k", "a", "--owner", "pr"])["lock"]["token"].clone();
    let done = service
        .run(&["run", "-k", "a", "--owner", "pr", "--", "sh", "-c", "echo $ENHANCED_LOCK_TOKEN"])
        .expect_code(0);
    assert_eq!(done.out.trim(), before.to_string());
    assert_eq!(service.json(&["list"])["locks"][0]["token"], before);
}

#[test]
fn a_process_that_is_killed_takes_its_command_with_it_and_its_lock_runs_out() {
    let service = Service::start();
    let pid = service.path("pid");
    let script = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 600", pid.display());
    let run = service.spawn(&["run", "-k", "a", "--lease", "1s", "--", "sh", "-c", &script]);
    let command: i32 = file(&pid).trim().parse().unwrap();
    assert!(lives(command));
    run.signal(Signal::KILL);
    until("the command is gone", || !lives(command));
    drop(run);
    service.run(&["run", "-k", "a", "--wait", "20s", "--", "true"]).expect_code(0);
}

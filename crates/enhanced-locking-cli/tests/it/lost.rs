//! `enhanced-locks run` when the lock or the service goes away while the command works.
use crate::common::{Service, file, lives, until};

/// A script that works until `done` is there, then ends with code 5.
const WORK: &str = "touch working; while [ ! -e done ]; do sleep 0.02; done; exit 5";

#[test]
fn a_lock_that_is_taken_away_stops_the_command_and_all_it_started() {
    let service = Service::start();
    let script = "sleep 600 & echo $! > pid.new; mv pid.new pid; wait";
    let run = service.spawn(&["run", "-k", "a", "--lease", "2s", "--", "sh", "-c", script]);
    let grandchild: i32 = file(&service.path("pid")).trim().parse().unwrap();
    service.run(&["force-unlock", "a", "--reason", "stuck"]).expect_code(0);
    let done = run.end().expect_code(76);
    assert!(done.err.contains("the lock a is lost: an operator released it by force"), "{}", done.err);
    assert!(!lives(grandchild));
    service.until_held(0);
}

#[test]
fn a_command_that_does_not_listen_is_killed_after_the_grace() {
    let service = Service::start();
    let script = "trap '' TERM; touch working; while :; do sleep 0.02; done";
    let arguments = ["run", "-k", "a", "--lease", "2s", "--kill-after", "300ms", "--", "sh", "-c", script];
    let run = service.spawn(&arguments);
    file(&service.path("working"));
    service.run(&["force-unlock", "a", "--reason", "stuck"]).expect_code(0);
    run.end().expect_code(76);
}

#[test]
fn a_service_that_restarts_is_taken_up_again_with_the_same_lock() {
    let mut service = Service::start();
    let mut run = service.spawn(&["run", "-k", "a", "--lease", "5s", "--", "sh", "-c", WORK]);
    file(&service.path("working"));
    let before = service.json(&["list"])["locks"][0]["token"].clone();
    for _ in 0..3 {
        service.kill();
        service.restart();
    }
    let expires = || service.json(&["list"])["locks"][0]["expires_at"].clone();
    let first = expires();
    until("the lease is renewed at the new service", || expires() != first);
    assert!(run.is_running());
    assert_eq!(service.json(&["list"])["locks"][0]["token"], before);
    std::fs::write(service.path("done"), "").unwrap();
    run.end().expect_code(5);
    service.until_held(0);
}

#[test]
fn a_service_that_restarts_keeps_the_places_in_line() {
    let mut service = Service::start();
    let holder = service.spawn(&["run", "-k", "a", "--lease", "5s", "--", "sh", "-c", WORK]);
    file(&service.path("working"));
    let waiter = service.spawn(&["run", "-k", "a", "--", "echo", "got it"]);
    service.until_waiting(1);
    service.kill();
    service.restart();
    service.until_waiting(1);
    std::fs::write(service.path("done"), "").unwrap();
    holder.end().expect_code(5);
    assert_eq!(waiter.end().expect_code(0).out, "got it\n");
}

#[test]
fn a_service_that_stays_away_longer_than_the_lease_stops_the_command() {
    let mut service = Service::start();
    let run = service.spawn(&["run", "-k", "a", "--lease", "2s", "--", "sh", "-c", WORK]);
    file(&service.path("working"));
    service.kill();
    let done = run.end().expect_code(76);
    assert!(done.err.contains("could not be renewed"), "{}", done.err);
    assert!(!done.err.contains("panic"), "{}", done.err);
}

#[test]
fn a_command_that_ends_while_the_service_is_away_keeps_its_code() {
    let mut service = Service::start();
    let run = service.spawn(&["run", "-k", "a", "--lease", "20s", "--", "sh", "-c", WORK]);
    file(&service.path("working"));
    service.kill();
    std::fs::write(service.path("done"), "").unwrap();
    let done = run.end().expect_code(5);
    assert!(done.err.contains("is free when its lease runs out"), "{}", done.err);
}

#[test]
fn a_process_that_was_frozen_for_longer_than_its_lease_does_not_go_on() {
    let service = Service::start();
    let run = service.spawn(&["run", "-k", "a", "--lease", "1s", "--", "sh", "-c", WORK]);
    file(&service.path("working"));
    run.signal(rustix::process::Signal::STOP);
    // Somebody else gets the lock in the meantime.
    service.run(&["run", "-k", "a", "--wait", "20s", "--", "true"]).expect_code(0);
    run.signal(rustix::process::Signal::CONT);
    run.end().expect_code(76);
}

#[test]
fn a_waiter_that_was_frozen_when_its_turn_came_joins_the_line_again() {
    let service = Service::start_with(&["--set", "locks.claim-window=200ms"]);
    service.run(&["lock", "-k", "a", "--owner", "somebody"]).expect_code(0);
    let run = service.spawn(&["run", "-k", "a", "--lease", "1s", "--", "echo", "got it"]);
    service.until_waiting(1);
    run.signal(rustix::process::Signal::STOP);
    service.run(&["unlock", "-k", "a", "--owner", "somebody"]).expect_code(0);
    // Its turn comes and goes: unclaimed, or claimed by a call that was under way and never renewed.
    service.until_held(0);
    service.until_waiting(0);
    service.run(&["lock", "-k", "a", "--owner", "another"]).expect_code(0);
    run.signal(rustix::process::Signal::CONT);
    service.until_waiting(1);
    service.run(&["unlock", "-k", "a", "--owner", "another"]).expect_code(0);
    let done = run.end().expect_code(0);
    assert_eq!(done.out, "got it\n");
    let told: Vec<_> = done.err.lines().filter(|line| line.contains("joining again as")).collect();
    assert!(told.len() == 1 && told[0].contains("lost the place in line: it"), "{}", done.err);
}

#[test]
fn a_waiter_that_was_frozen_for_longer_than_it_wanted_to_wait_gives_up() {
    let service = Service::start_with(&["--set", "locks.claim-window=200ms"]);
    service.run(&["lock", "-k", "a", "--owner", "somebody"]).expect_code(0);
    let arguments = ["run", "-k", "a", "--lease", "1s", "--wait", "3s", "--", "touch", "started"];
    let run = service.spawn(&arguments);
    service.until_waiting(1);
    run.signal(rustix::process::Signal::STOP);
    service.run(&["unlock", "-k", "a", "--owner", "somebody"]).expect_code(0);
    service.until_held(0);
    service.run(&["lock", "-k", "a", "--owner", "another"]).expect_code(0);
    run.signal(rustix::process::Signal::CONT);
    // The second place counts what was waited in the first one.
    run.end().expect_code(75);
    service.until_waiting(0);
    assert!(!service.path("started").exists());
}

#[test]
fn a_waiter_whose_service_is_gone_says_so_at_once_and_ends_in_time() {
    let mut service = Service::start();
    service.run(&["lock", "-k", "a", "--owner", "somebody"]).expect_code(0);
    let clock = enhanced_locking_foundation::SteadyClock::new();
    let begun = enhanced_locking_foundation::Clock::now(&clock);
    let run = service.spawn(&["run", "-k", "a", "--wait", "4s", "--", "true"]);
    service.until_waiting(1);
    service.kill();
    let done = run.end().expect_code(75);
    let took = enhanced_locking_foundation::Clock::now(&clock).since(begun);
    assert!(took < std::time::Duration::from_secs(8), "{took:?}: {}", done.err);
    let told = done.err.lines().find(|line| line.contains("trying again; waited "));
    assert!(told.is_some(), "{}", done.err);
    let last = done.err.lines().rfind(|line| line.starts_with("error: ")).unwrap();
    assert!(last.contains("a was not acquired in time: the service at http://127.0.0.1:"), "{last}");
    assert!(last.ends_with(" cannot be reached (EL006)") && !last.contains("somebody"), "{last}");
}

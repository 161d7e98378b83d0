//! The single operations: lock, unlock, renew, transfer, force-unlock, get, list, queue, watch, health.
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::common::{Service, on_redis, until};

#[test]
fn a_lock_stays_until_it_is_unlocked_by_its_owner() {
    let service = Service::start();
    let locked = service.json(&["lock", "-k", "a", "--meta", "why=repair", "--owner", "ann"]);
    assert_eq!(locked["state"], "held");
    assert_eq!(
        (locked["lock"]["sticky"].as_bool(), locked["lock"]["metadata"]["why"].as_str()),
        (Some(true), Some("repair"))
    );
    // Asking again is the same lock, not another one.
    assert_eq!(
        service.json(&["lock", "-k", "a", "--owner", "ann"])["lock"]["token"],
        locked["lock"]["token"]
    );
    let done = service.run(&["lock", "-k", "a", "--owner", "bob", "--wait", "0"]).expect_code(75);
    assert!(done.err.contains("a is held by ann (tester)"), "{}", done.err);
    let done = service.run(&["unlock", "-k", "a", "--owner", "bob"]).expect_code(1);
    assert!(
        done.err.contains("a is held by ann, not by bob") && done.err.contains("force-unlock"),
        "{}",
        done.err
    );
    let done = service.run(&["unlock", "-k", "a", "--owner", "ann"]).expect_code(0);
    assert_eq!(done.out, "released a\n");
    let done = service.run(&["unlock", "-k", "a", "--owner", "ann"]).expect_code(1);
    assert!(done.err.contains("a is not locked"), "{}", done.err);
}

#[test]
fn ids_and_tokens_name_exactly_one_grant() {
    let service = Service::start();
    let lock = service.json(&["lock", "-k", "a"])["lock"].clone();
    let (id, token) = (lock["id"].as_str().unwrap(), lock["token"].to_string());
    let stale = service.run(&["unlock", "--id", id, "--token", "7"]).expect_code(1);
    assert!(stale.err.contains("EL003") && stale.err.contains(&token), "{}", stale.err);
    service.run(&["unlock", "-k", "a", "--token", "7"]).expect_code(1);
    service.run(&["unlock", "--id", id, "--token", &token]).expect_code(0);
    let done = service.run(&["unlock", "--id", id]).expect_code(1);
    assert!(done.err.contains("does not hold a any more: it was released"), "{}", done.err);
    let done = service.run(&["unlock", "--id", "never-seen"]).expect_code(1);
    assert!(done.err.contains("no lock has the id never-seen"), "{}", done.err);
}

#[test]
fn a_lease_can_be_renewed_and_a_lost_one_cannot() {
    let service = Service::start();
    let lock = service.json(&["lock", "-k", "a", "--lease", "1m"])["lock"].clone();
    let renewed = service.json(&["renew", "-k", "a", "--lease", "1h"])["lock"].clone();
    assert_eq!(renewed["token"], lock["token"]);
    assert!(renewed["expires_at"].as_str() > lock["expires_at"].as_str());
    let done = service.run(&["renew", "-k", "a", "--token", "7"]).expect_code(1);
    assert!(done.err.contains("not held with token 7"), "{}", done.err);
    let id = lock["id"].as_str().unwrap();
    service.run(&["renew", "--id", id, "--token", "7"]).expect_code(76);
}

#[test]
fn a_sticky_lock_does_not_get_a_lease_in_passing() {
    let service = Service::start();
    service.run(&["lock", "-k", "st", "--owner", "o"]).expect_code(0);
    let done = service.run(&["renew", "-k", "st", "--owner", "o", "--lease", "5s"]).expect_code(1);
    assert!(done.err.contains("st is sticky and has no lease"), "{}", done.err);
    assert!(done.err.contains("unlock it and lock anew with --lease"), "{}", done.err);
    let done = service.run(&["renew", "-k", "st", "--owner", "o"]).expect_code(0);
    assert_eq!(done.out, "st is held, expires never\n");
    let done = service.run(&["lock", "-k", "st", "--owner", "o", "--lease", "5s"]).expect_code(0);
    assert!(done.out.starts_with("st is already held, never expires; token "), "{}", done.out);
    service.run(&["lock", "-k", "le", "--owner", "o", "--lease", "1h"]).expect_code(0);
    let done = service.run(&["lock", "-k", "le", "--owner", "o"]).expect_code(0);
    assert!(done.out.starts_with("le is already held, expires in 59m"), "{}", done.out);
}

#[test]
fn a_lock_changes_hands_with_a_new_token() {
    let service = Service::start();
    let lock = service.json(&["lock", "-k", "a", "--owner", "ann"])["lock"].clone();
    let to = ["transfer", "-k", "a", "--owner", "ann", "--to", "bob", "--repo", "o/r", "--to-pull", "9"];
    // With a key, the repository is only there for the pull request.
    let moved = service.json(&to)["lock"].clone();
    assert_eq!((moved["owner"].as_str(), moved["pull"]["number"].as_i64()), (Some("bob"), Some(9)));
    assert!(moved["token"].as_u64() > lock["token"].as_u64());
    service.run(&["unlock", "-k", "a", "--owner", "ann"]).expect_code(1);
    service.run(&["unlock", "-k", "a", "--owner", "bob"]).expect_code(0);
}

#[test]
fn force_needs_a_reason_and_tells_whom_it_was_taken_from() {
    let service = Service::start();
    service.run(&["lock", "-k", "a", "--owner", "ann"]).expect_code(0);
    service.run(&["force-unlock", "a"]).expect_code(2);
    let done = service.run(&["force-unlock", "a", "--reason", "   "]).expect_code(2);
    assert!(done.err.contains("reason is empty"), "{}", done.err);
    let done = service.run(&["force-unlock", "a", "--reason", "stuck"]).expect_code(0);
    assert!(done.out.starts_with("took a from ann (tester) for "), "{}", done.out);
    let done = service.run(&["force-unlock", "a", "--reason", "stuck"]).expect_code(1);
    assert!(done.err.contains("a is not locked"), "{}", done.err);
}

#[test]
fn a_place_in_line_can_be_taken_without_waiting() {
    let service = Service::start();
    service.run(&["lock", "-k", "a", "--owner", "ann"]).expect_code(0);
    let place = service.json(&["lock", "-k", "a", "--owner", "bob", "--queue"]);
    assert_eq!((place["state"].as_str(), place["position"].as_u64()), (Some("queued"), Some(1)));
    let id = place["request_id"].as_str().unwrap();
    assert_eq!(service.json(&["get", "--id", id])["state"], "queued");
    service.run(&["unlock", "-k", "a", "--owner", "ann"]).expect_code(0);
    assert_eq!(service.json(&["get", "--id", id])["state"], "held");
    service.run(&["lock", "-k", "a", "--queue", "--lease", "1m"]).expect_code(2);
}

#[test]
fn everything_of_a_pull_request_goes_at_once() {
    let service = Service::start();
    let of = |number| ["--repo", "acme/infra", "--pull", number];
    service.run(&[&["lock", "-k", "a", "--owner", "one"][..], &of("42")].concat()).expect_code(0);
    service.run(&[&["lock", "-k", "b", "--owner", "two"][..], &of("42")].concat()).expect_code(0);
    service.run(&[&["lock", "-k", "c", "--owner", "other"][..], &of("43")].concat()).expect_code(0);
    service.run(&[&["lock", "-k", "c", "--owner", "two", "--queue"][..], &of("42")].concat()).expect_code(0);
    let cleared = service.json(&[&["unlock", "--all"][..], &of("42")].concat());
    assert_eq!(cleared["released"].as_array().unwrap().len(), 2);
    assert_eq!(cleared["cancelled"].as_array().unwrap().len(), 1);
    service.until_held(1);
    service.run(&["unlock", "--all"]).expect_code(2);
}

#[test]
fn tables_show_who_holds_and_who_waits() {
    let service = Service::start();
    assert_eq!(service.run(&["list"]).out, "no locks are held\n");
    assert_eq!(service.run(&["queue"]).out, "nobody waits\n");
    service.run(&["lock", "-k", "prod/a", "--owner", "ann"]).expect_code(0);
    service.run(&["lock", "-k", "dev/b", "--owner", "ann"]).expect_code(0);
    service.run(&["lock", "-k", "prod/a", "--owner", "bob", "--queue", "--priority", "high"]).expect_code(0);
    let list = service.run(&["list"]).expect_code(0).out;
    assert!(list.starts_with("KEY     OWNER  USER    MODE       AGE"), "{list}");
    assert_eq!(list.lines().count(), 3);
    assert!(!list.contains('\u{1b}'), "no colours in a pipe");
    assert!(service.run(&["list", "--color", "always"]).out.contains('\u{1b}'));
    let wide = service.run(&["list", "prod/", "--wide"]).out;
    assert!(wide.contains(" ID") && wide.contains("prod/a") && !wide.contains("dev/b"), "{wide}");
    assert_eq!(service.json(&["list", "--owner", "nobody"])["locks"].as_array().unwrap().len(), 0);
    let queue = service.run(&["queue"]).out;
    assert!(queue.starts_with("prod/a  held by ann (tester) for "), "{queue}");
    assert!(queue.lines().nth(2).unwrap().starts_with("1      bob    tester  exclusive  high"), "{queue}");
    let get = service.run(&["get", "prod/a"]).expect_code(0).out;
    assert!(get.contains("\nowner    ann\n") && get.contains("1 waiting:"), "{get}");
    service.run(&["get", "free"]).expect_code(1);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let service = Service::start();
    let mut command = service.command(&["watch", "--after", "start"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    service.run(&["run", "-k", "a", "--", "true"]).expect_code(0);
    until("watch ends", || child.try_wait().unwrap().is_some());
    let done = child.wait_with_output().unwrap();
    assert_eq!((done.status.code(), done.stderr.len()), (Some(141), 0));
}

#[test]
fn watching_survives_a_restart_without_a_gap() {
    let mut service = Service::start();
    let mut command = service.command(&["watch", "--all", "--after", "start", "--output", "json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next =
        move || -> serde_json::Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    service.run(&["run", "-k", "a", "--", "true"]).expect_code(0);
    let mut events = vec![next(), next()];
    service.kill();
    service.restart();
    service.run(&["run", "-k", "b", "--", "true"]).expect_code(0);
    while events.last().unwrap()["kind"] != "released" || events.last().unwrap()["key"] != "b" {
        events.push(next());
    }
    let numbers: Vec<u64> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn watching_filters_and_stops_after_a_count() {
    let service = Service::start();
    for key in ["a", "b", "prod/a"] {
        service.run(&["run", "-k", key, "--", "true"]).expect_code(0);
    }
    let done = service.run(&["watch", "--after", "start", "-k", "b", "--count", "2"]).expect_code(0);
    let words: Vec<&str> = done.out.lines().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    assert_eq!(words, ["acquired", "released"]);
    let done =
        service.run(&["watch", "--after", "start", "--prefix", "prod/", "--count", "1"]).expect_code(0);
    assert!(done.out.contains("prod/a"), "{}", done.out);
    service.run(&["watch", "--after", "nonsense"]).expect_code(2);
}

#[test]
fn health_is_shown_with_its_parts() {
    if on_redis() {
        return eprintln!("only with files");
    }
    let service = Service::start();
    let done = service.run(&["health"]).expect_code(0);
    assert!(done.out.starts_with("healthy  score 100 of 100"), "{}", done.out);
    assert!(
        done.out.contains("store: embedded at ") && done.out.contains("survives: durable"),
        "{}",
        done.out
    );
    assert_eq!(service.json(&["health"])["healthy"], true);
}

#[test]
fn a_service_is_named_with_or_without_its_scheme() {
    let service = Service::start();
    let place = service.url.trim_start_matches("http://");
    service.run(&["list", "--server", place]).expect_code(0);
    let mut command = service.command(&["list"]);
    crate::common::Done::of(command.env("ENHANCED_LOCKS_SERVER", place).output().unwrap()).expect_code(0);
    // Nothing in it is the same as no variable: the usual address, where a service may or may not be.
    let mut command = service.command(&["list"]);
    let done = crate::common::Done::of(command.env("ENHANCED_LOCKS_SERVER", "").output().unwrap());
    assert!(done.code == 0 || done.err.contains("http://127.0.0.1:4141"), "{done:?}");
    assert_ne!(done.code, 2, "{done:?}");
}

//! Atlantis on the service: its port, and taking over what it stored before. Through the real program.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use enhanced_locking_testkit::redis::{Client, RedisServer, ServerOptions};
use serde_json::Value;

use crate::common::{Done, Service, bare, on_redis, until};

/// A lock as Atlantis writes it.
fn lock(number: u32) -> String {
    format!(
        "{{\"Project\":{{\"ProjectName\":\"net\",\"RepoFullName\":\"acme/infra\",\"Path\":\"envs/prod\"}},\"Pull\":{{\"Num\":{number},\
         \"URL\":\"https://github.com/acme/infra/pull/{number}\",\"BaseRepo\":{{\"FullName\":\"acme/infra\",\
         \"CloneURL\":\"https://bot:t0ken@github.com/acme/infra.git\"}}}},\"User\":{{\"Username\":\"ann\",\"Teams\":null}},\
         \"Workspace\":\"default\",\"Time\":\"2026-08-22T09:30:15Z\"}}"
    )
}

const KEY: &str = "pr/acme/infra/envs/prod/default/net";

/// The address of the port of a service that was started so many times, as its log says.
fn port(service: &Service, starts: usize) -> SocketAddr {
    let mut address = None;
    until("the Atlantis port listens", || {
        let log = std::fs::read_to_string(service.log()).unwrap_or_default();
        let mut lines = log.lines().filter(|line| line.contains("the Atlantis port is listening"));
        let line = lines.nth(starts - 1);
        address = line.and_then(|line| line.rsplit("address=").next()?.trim().parse().ok());
        address.is_some()
    });
    address.unwrap()
}

fn client(address: SocketAddr) -> Client {
    Client::tcp(address, Duration::from_secs(10)).unwrap()
}

/// A command on the store of a stopped service.
fn offline(data: &Path, arguments: &[&str]) -> Done {
    Done::of(bare(arguments).arg("--data-dir").arg(data).output().unwrap())
}

/// A file that Atlantis itself wrote, in a place where it may be locked.
fn atlantis_db(directory: &Path) -> String {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../enhanced-locking-compat/tests/data");
    let copy = directory.join("atlantis.db");
    std::fs::copy(data.join("atlantis-0.47.1.db"), &copy).unwrap();
    format!("atlantis-bolt:{}", copy.display())
}

#[test]
fn atlantis_and_pipelines_exclude_each_other_and_the_lock_outlives_the_service() {
    let mut service = Service::start_with(&["--atlantis-listen", "127.0.0.1:0"]);
    let mut redis = client(port(&service, 1));
    assert_eq!(redis.call(["PING"]).unwrap().text().as_deref(), Some("PONG"));
    assert_eq!(redis.call(["SET", KEY, &lock(42)]).unwrap().text().as_deref(), Some("OK"));
    let second = redis.call(["SET", KEY, &lock(77)]).unwrap_err();
    assert!(second.refusal().unwrap().contains("acme/infra#42"), "{second:?}");

    let project =
        ["--repo", "acme/infra", "--path", "envs/prod", "--project", "net", "--workspace", "default"];
    let run = |more: &[&str]| {
        let arguments: Vec<&str> = ["run"].iter().chain(&project).chain(more).copied().collect();
        service.run(&arguments)
    };
    run(&["--wait", "0", "--", "true"]).expect_code(75);
    // A step of the pull request itself is let in, and leaves the lock held.
    run(&["--owner", "acme/infra#42", "--wait", "0", "--", "true"]).expect_code(0);

    service.kill();
    service.restart();
    let mut redis = client(port(&service, 2));
    let stored = redis.call(["GET", KEY]).unwrap();
    assert_eq!(stored.text().as_deref(), Some(lock(42).as_str()), "byte for byte");
    for shown in [
        service.run(&["list"]).out,
        service.run(&["get", "-o", "json", "project::acme/infra:envs/prod:default:net"]).out,
        std::fs::read_to_string(service.log()).unwrap(),
    ] {
        assert!(!shown.contains("t0ken"), "a token is shown: {shown}");
    }
    service.run(&["unlock", "--all", "--repo", "acme/infra", "--pull", "42"]).expect_code(0);
    assert_eq!(redis.call(["GET", KEY]).unwrap().text(), None);
}

#[test]
fn a_password_is_asked_for_and_other_machines_are_not_served_without_one() {
    let arguments = ["--atlantis-listen", "127.0.0.1:0", "--set", "atlantis.password=s3cret"];
    let service = Service::start_with(&arguments);
    let mut redis = client(port(&service, 1));
    assert!(redis.call(["GET", KEY]).unwrap_err().refusal().unwrap().starts_with("NOAUTH"));
    assert!(redis.call(["AUTH", "wrong"]).unwrap_err().refusal().unwrap().starts_with("WRONGPASS"));
    assert_eq!(redis.call(["AUTH", "s3cret"]).unwrap().text().as_deref(), Some("OK"));
    assert_eq!(redis.call(["GET", KEY]).unwrap().text(), None);
    let open = bare(&["config", "validate", "--set", "atlantis.listen=0.0.0.0:6380"]).output().unwrap();
    let said = Done::of(open).expect_code(1);
    assert!(said.err.contains("atlantis.password-file"), "{}", said.err);
}

#[test]
fn what_atlantis_kept_in_its_file_is_taken_over_once_and_verified() {
    if on_redis() {
        return eprintln!("only with files");
    }
    let mut service = Service::start();
    service.kill();
    let (data, from) = (service.path("data"), atlantis_db(service.directory.path()));
    let report = |done: Done| serde_json::from_str::<Value>(&done.out).unwrap();

    let missing = report(offline(&data, &["verify", "--from", &from, "-o", "json"]).expect_code(1));
    assert_eq!(missing["missing"].as_array().unwrap().len(), 5, "{missing}");
    let dry = report(offline(&data, &["import", "--from", &from, "--dry-run", "-o", "json"]).expect_code(0));
    assert_eq!((&dry["moved"], &dry["dry_run"]), (&5.into(), &true.into()), "{dry}");
    let moved = report(offline(&data, &["import", "--from", &from, "-o", "json"]).expect_code(0));
    assert_eq!((&moved["moved"], &moved["already"]), (&5.into(), &0.into()), "{moved}");
    let again = report(offline(&data, &["import", "--from", &from, "-o", "json"]).expect_code(0));
    assert_eq!((&again["moved"], &again["already"]), (&0.into(), &5.into()), "an import may be repeated");
    offline(&data, &["verify", "--from", &from]).expect_code(0);

    // Out again, and into another store: nothing is lost on the way.
    let file = service.path("locks.jsonl");
    let file = file.to_str().unwrap();
    offline(&data, &["export", "--to", file]).expect_code(0);
    assert!(offline(&data, &["export", "--to", file]).expect_code(1).err.contains("cannot write"));
    let other = service.path("other");
    offline(&other, &["import", "--from", file]).expect_code(0);
    offline(&other, &["verify", "--from", &from]).expect_code(0);

    service.restart();
    let list = service.run(&["list"]).expect_code(0).out;
    assert!(list.contains("acme/infra#42") || list.contains("group/sub/repo"), "{list}");
}

#[test]
fn a_lock_that_somebody_else_holds_here_is_a_conflict_and_left_alone() {
    if on_redis() {
        return eprintln!("only with files");
    }
    let mut service = Service::start();
    let arguments =
        ["lock", "--repo", "acme/infra", "--path", ".", "--workspace", "default", "--owner", "me"];
    service.run(&arguments).expect_code(0);
    // In use, the store is not touched.
    let from = atlantis_db(service.directory.path());
    let used = offline(&service.path("data"), &["import", "--from", &from]).expect_code(1);
    assert!(used.err.contains("in use"), "{}", used.err);
    service.kill();
    let done = offline(&service.path("data"), &["import", "--from", &from]).expect_code(1);
    assert!(
        done.out.contains("4 moved") && done.out.contains("in conflict: pr/acme/infra/./default/"),
        "{}",
        done.out
    );
    service.restart();
    let held = service.json(&["get", "project::acme/infra:.:default:"]);
    assert_eq!(held["holders"][0]["owner"], "me");
}

#[test]
fn what_atlantis_kept_in_redis_is_taken_over() {
    let server = RedisServer::start(&ServerOptions::default()).unwrap();
    let mut redis = server.client().unwrap();
    redis.call(["SET", KEY, &lock(42)]).unwrap();
    redis.call(["SET", "pr/broken/./default/", "nonsense"]).unwrap();
    redis.call(["LPUSH", "pr/a/list/./default/", "x"]).unwrap();
    redis.call(["SET", "somebody:else", "x"]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let from = format!("atlantis-redis://127.0.0.1:{}/0", server.address().port());
    let done = offline(directory.path(), &["import", "--from", &from, "-o", "json"]).expect_code(1);
    let report: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!((&report["moved"], report["refused"].as_array().unwrap().len()), (&1.into(), 2), "{report}");
    assert!(!done.out.contains("t0ken"));
    let after = redis.call(["GET", KEY]).unwrap();
    assert_eq!(after.text().as_deref(), Some(lock(42).as_str()), "the source is only read");
}

#[test]
fn an_import_that_is_killed_goes_on_where_it_was_and_loses_nothing() {
    const LOCKS: u64 = 5_000;
    let directory = tempfile::tempdir().unwrap();
    let (data, file) = (directory.path().join("data"), directory.path().join("locks.jsonl"));
    let line = |n: u64| {
        let value = lock(42).replace("envs/prod", &format!("p{n}"));
        format!(
            "{}\n",
            serde_json::json!({ "key": format!("pr/acme/infra/p{n}/default/net"), "value": value })
        )
    };
    std::fs::write(&file, (0..LOCKS).map(line).collect::<String>()).unwrap();
    let from = file.to_str().unwrap();
    let mut child = bare(&["import", "--from", from, "--data-dir"]).arg(&data).spawn().unwrap();
    let journal = data.join("journal");
    until("some locks are moved", || std::fs::metadata(&journal).is_ok_and(|file| file.len() > 200_000));
    child.kill().unwrap();
    child.wait().unwrap();

    let done = offline(&data, &["import", "--from", from, "-o", "json"]).expect_code(0);
    let report: Value = serde_json::from_str(&done.out).unwrap();
    let count = |name: &str| report[name].as_u64().unwrap();
    assert_eq!(count("moved") + count("already"), LOCKS, "{report}");
    assert!(count("already") > 0, "what was moved before is recognised: {report}");
    offline(&data, &["verify", "--from", from]).expect_code(0);
    let sound = offline(&data, &["check"]).expect_code(0).out;
    assert!(sound.contains("5000 locks"), "{sound}");
}

//! `--output json` when something goes wrong: programs read that, too.
use serde_json::{Value, json};

use crate::common::{Done, Service, bare};

/// The one object on standard error.
#[track_caller]
fn error(done: &Done) -> Value {
    let value: Value =
        serde_json::from_str(&done.err).unwrap_or_else(|error| panic!("{error}: {}", done.err));
    assert_eq!(value["error"]["exit"], done.code);
    value["error"].clone()
}

#[test]
fn a_failure_is_one_object_with_message_hint_code_and_exit_code() {
    let service = Service::start();
    service.run(&["lock", "-k", "a", "--owner", "ann"]).expect_code(0);
    let done = service.run(&["lock", "-k", "a", "--owner", "bob", "--wait", "0", "-o", "json"]);
    let told = error(&done.expect_code(75));
    assert_eq!(told["code"], "EL001");
    assert!(told["message"].as_str().unwrap().starts_with("a is held by ann (tester) for "), "{told}");
    assert!(!told["message"].as_str().unwrap().contains("EL001"), "{told}");
    assert!(told["hint"].as_str().unwrap().contains("--wait"), "{told}");
    let done = service.run(&["unlock", "-k", "a", "--owner", "bob", "-o", "json"]).expect_code(1);
    assert_eq!(error(&done)["code"], Value::Null);
    let done = service.run(&["run", "-k", "b", "-o", "json", "--", "no-such-command"]).expect_code(127);
    assert_eq!(error(&done)["message"], "no-such-command: command not found");
}

#[test]
fn so_is_a_service_that_is_not_there_and_a_command_line_that_is_wrong() {
    let run = |arguments: &[&str]| Done::of(bare(arguments).output().unwrap());
    let told = error(&run(&["list", "--server", "http://127.0.0.1:1", "-o", "json"]).expect_code(69));
    assert_eq!(told["code"], "EL007");
    let told = error(&run(&["run", "-o", "json", "--", "true"]).expect_code(2));
    assert_eq!(told["message"], "what to lock is missing");
    let told = error(&run(&["lst", "--output=json"]).expect_code(2));
    assert!(told["message"].as_str().unwrap().starts_with("unrecognized subcommand 'lst'"), "{told}");
    let told = error(&run(&["run", "-k", "a", "--lease", "1ms", "-o", "json", "--", "true"]).expect_code(2));
    assert!(!told["message"].as_str().unwrap().contains("For more"), "{told}");
}

#[test]
fn what_a_build_lacks_and_a_free_key_are_results() {
    let arguments = ["config", "check-features", "--set", "retries=true", "-o", "json"];
    let done = Done::of(bare(&arguments).output().unwrap()).expect_code(1);
    let found: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!((found["missing"][0]["path"].as_str(), done.err.as_str()), (Some("retries.enabled"), ""));
    assert_eq!(found["missing"].as_array().unwrap().len(), 1);
    let service = Service::start();
    let done = service.run(&["get", "free", "-o", "json"]).expect_code(1);
    let view: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(view, json!({"key": "free", "depth": 0, "holders": [], "waiters": []}));
    assert_eq!(done.err, "");
}

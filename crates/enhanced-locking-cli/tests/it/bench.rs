//! `enhanced-locks bench`: figures and the check behind them, against a real service.

use crate::common::{Done, Service, bare};

#[test]
fn everybody_on_keys_of_their_own_waits_for_nobody() {
    let service = Service::start();
    let result = service.json(&["bench", "--callers", "4", "--keys", "8", "--pairs", "40"]);
    assert_eq!((result["pairs"].as_u64(), result["keys"].as_u64()), (Some(40), Some(8)));
    assert_eq!(result["times"]["acquire"]["count"], 40);
    assert_eq!(result["times"]["hand_off"]["count"], 0, "nobody meets anybody: {result}");
    assert!(result["times"]["release"]["p99_us"].as_u64() > Some(0), "{result}");
    assert_eq!((&result["correct"], &result["errors"]), (&true.into(), &0.into()));
    let held = service.json(&["list"]);
    assert_eq!(held["locks"].as_array().unwrap().len(), 0, "nothing is left behind");
}

#[test]
fn everybody_on_one_key_stands_in_line() {
    let service = Service::start();
    let name = ["--contended", "--name", "one"];
    let done = service.run(&[&["bench", "--callers", "5", "--pairs", "50"][..], &name].concat());
    let done = done.expect_code(0);
    assert!(done.out.starts_with("50 pairs in ") && done.out.contains("5 callers on 1 keys"), "{}", done.out);
    assert!(
        done.out.contains("\nhand-off  ") && done.out.contains("Never did two hold one key"),
        "{}",
        done.out
    );
    let events = service.run(&["watch", "--after", "start", "--prefix", "bench/one/", "--count", "1"]);
    assert!(events.expect_code(0).out.contains("bench/one/000000"), "the service has seen it, too");
}

#[test]
fn it_ends_in_time_although_some_wait_and_leaves_the_line() {
    let service = Service::start();
    let arguments = ["bench", "--callers", "3", "--contended", "--duration", "500ms", "--hold", "200ms"];
    let result = service.json(&arguments);
    assert!(result["pairs"].as_u64() <= Some(4), "{result}");
    assert_eq!(result["errors"], 0, "{result}");
    assert_eq!(service.json(&["queue"])["depth"], 0);
    assert_eq!(service.json(&["list"])["locks"].as_array().unwrap().len(), 0);
}

#[test]
fn without_a_service_there_is_nothing_to_measure() {
    let command = ["bench", "--server", "http://127.0.0.1:1", "--pairs", "1"];
    Done::of(bare(&command).output().unwrap()).expect_code(69);
    Done::of(bare(&["bench", "--pairs", "1", "--duration", "1s"]).output().unwrap()).expect_code(2);
}

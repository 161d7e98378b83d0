//! `backup` and `check`: copies of a store that serves, and whether files are sound.

use crate::common::{Service, bare, on_redis};

#[test]
fn a_store_is_copied_while_it_serves_and_the_copy_is_a_store() {
    if on_redis() {
        return eprintln!("only with files");
    }
    let mut service = Service::start();
    service.run(&["lock", "-k", "a", "--owner", "somebody"]).expect_code(0);
    let done = service.run(&["backup"]).expect_code(0);
    let copy = done.out.trim().to_owned();
    service.run(&["lock", "-k", "b", "--owner", "somebody"]).expect_code(0);
    let second = service.json(&["backup"]);
    assert_ne!(second["directory"].as_str().unwrap(), copy);

    let check = |directory: &str| {
        let done = crate::common::Done::of(bare(&["check", "--data-dir", directory]).output().unwrap());
        done.expect_code(0).out
    };
    assert!(check(&copy).contains("is sound: 1 locks, 0 waiting, 0 documents, 1 events"), "{}", check(&copy));
    assert!(check(second["directory"].as_str().unwrap()).contains("2 locks"));

    // While it is open nobody else may look at it.
    let data = service.path("data");
    let refused = bare(&["check", "--data-dir"]).arg(&data).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is in use by process"));

    // What the page on restoring says: its files over those of the store.
    service.kill();
    for file in ["data.mdb", "journal"] {
        std::fs::copy(std::path::Path::new(&copy).join(file), data.join(file)).unwrap();
    }
    service.restart();
    let list = service.run(&["list"]).expect_code(0).out;
    assert!(list.contains("somebody") && list.lines().count() == 2, "{list}");
}

#[test]
fn a_damaged_store_is_reported_with_what_to_do() {
    if on_redis() {
        return eprintln!("only with files");
    }
    let mut service = Service::start();
    service.run(&["lock", "-k", "a", "--owner", "somebody"]).expect_code(0);
    service.kill();
    let data = service.path("data/data.mdb");
    let mut bytes = std::fs::read(&data).unwrap();
    bytes[4096 * 2 + 10] ^= 0xff;
    std::fs::write(&data, bytes).unwrap();
    let output = bare(&["check", "--data-dir"]).arg(service.path("data")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("data.mdb is damaged") && said.contains("restore a backup"), "{said}");

    let output = bare(&["check", "--data-dir", "no-such-directory"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("has no store"));
}

#[test]
fn a_store_in_memory_has_nothing_to_copy() {
    let service = Service::start_with(&["--set", "backend=memory"]);
    let done = service.run(&["backup"]);
    assert_eq!(done.code, 1, "a refusal, not an outcome that is unknown");
    assert!(done.err.contains("this store has no files to copy"), "{}", done.err);
    assert!(!done.err.contains("unknown"), "{}", done.err);
}

//! Every good and damaged value of `data/cases.tsv`, which Atlantis' own code judged: we read what it reads, refuse what
//! it refuses, and write what it writes.

use enhanced_locking_compat::json;
use enhanced_locking_compat::key::{LockKey, clean_path};
use enhanced_locking_compat::record::{CommandLock, OtherMembers, ProjectLock, Record};

use crate::support::{data, unhex};

/// One line: what was given, and what Atlantis made of it, if it did not refuse it.
struct Case {
    given: Vec<u8>,
    answer: Option<Vec<u8>>,
}

/// The cases of a kind; there have to be `least` of them, so that none get lost.
fn cases(kind: &str, least: usize) -> Vec<Case> {
    let table = std::fs::read_to_string(data("cases.tsv")).unwrap();
    let lines = table.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let cases: Vec<_> = lines
        .filter(|fields| fields[0] == kind)
        .map(|fields| match fields[2] {
            "ok" => Case { given: unhex(fields[1]), answer: Some(unhex(fields[3])) },
            verdict => {
                assert_eq!(verdict, "error");
                Case { given: unhex(fields[1]), answer: None }
            }
        })
        .collect();
    assert!(cases.len() >= least, "{} {kind}", cases.len());
    cases
}

/// The beginning of bytes, for people.
fn shown(bytes: &[u8]) -> String {
    bytes.get(..300).unwrap_or(bytes).escape_ascii().to_string()
}

/// What differs, from a little in front of the first difference on.
fn difference(got: &[u8], want: &[u8]) -> Option<String> {
    let same = got.iter().zip(want).take_while(|(a, b)| a == b).count();
    let tail = |bytes: &[u8]| shown(bytes.get(same.saturating_sub(20)..).unwrap_or_default());
    (got != want).then(|| format!("written ...{} instead of ...{}", tail(got), tail(want)))
}

/// A lock without the members that Atlantis drops when it writes.
fn without_unknown(mut lock: ProjectLock) -> ProjectLock {
    let repo = &mut lock.pull.base_repo;
    for other in [&mut repo.vcs_host.other, &mut repo.other] {
        *other = OtherMembers::default();
    }
    for other in [&mut lock.project.other, &mut lock.pull.other, &mut lock.user.other, &mut lock.other] {
        *other = OtherMembers::default();
    }
    lock
}

#[test]
fn locks_are_read_and_written_as_atlantis_does() {
    let mut wrong = Vec::new();
    for Case { given, answer } in cases("lock", 500) {
        let what = match (ProjectLock::decode(&given), answer) {
            // Atlantis reads a few offsets of time that it then refuses to write.
            (Ok(_), Some(answer)) if answer.is_empty() => None,
            (Ok(lock), Some(answer)) => difference(&without_unknown(lock).to_json().unwrap(), &answer),
            (Err(_), None) => None,
            (Ok(_), None) => Some("read, and refused by Atlantis".to_owned()),
            (Err(error), Some(_)) => Some(error.to_string()),
        };
        wrong.extend(what.map(|what| format!("{}: {what}", shown(&given))));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn command_locks_are_read_and_written_as_atlantis_does() {
    for Case { given, answer } in cases("command", 13) {
        // Atlantis drops what it does not know.
        let lock =
            CommandLock::decode(&given).map(|lock| CommandLock { other: OtherMembers::default(), ..lock });
        let written = lock.ok().map(|lock| lock.to_json().unwrap());
        assert_eq!(written, answer, "{}", given.escape_ascii());
    }
}

#[test]
fn texts_are_written_as_atlantis_does() {
    for Case { given, answer } in cases("string", 9) {
        let text = String::from_utf8(given).unwrap();
        assert_eq!(Some(json::to_vec(&text).unwrap()), answer, "{text:?}");
    }
}

#[test]
fn keys_are_taken_apart_as_atlantis_does() {
    for Case { given, answer } in cases("key", 150) {
        let text = String::from_utf8(given).unwrap();
        let parts = LockKey::parse(&text).ok();
        let parts = parts.map(|key| json::to_vec(&[key.repo, key.path, key.workspace, key.project]).unwrap());
        assert_eq!(parts, answer, "{text:?}");
    }
}

#[test]
fn paths_are_cleaned_as_atlantis_does() {
    for Case { given, answer } in cases("path", 150) {
        let text = String::from_utf8(given).unwrap();
        assert_eq!(Some(clean_path(&text).into_bytes()), answer, "{text:?}");
    }
}

//! Random values: whatever bytes there are, reading ends without a panic, and what was read is written and read again.

use enhanced_locking_compat::key::{LockKey, PullKey, RedisKey, clean_path};
use enhanced_locking_compat::record::{
    CloneUrl, CommandLock, Project, ProjectLock, Pull, PullState, PullStatus, Record, RecordTime, Repo,
    Stored, User, VcsHost, VcsKind, redact,
};
use proptest::prelude::*;

use crate::support::random;

/// Names of members, in the case of Atlantis and in others.
const NAMES: &[&str] = &[
    "Project",
    "ProjectName",
    "RepoFullName",
    "Path",
    "Pull",
    "Num",
    "BaseRepo",
    "CloneURL",
    "VCSHost",
    "Type",
    "User",
    "Teams",
    "Workspace",
    "Time",
    "Projects",
    "Status",
    "PolicyStatus",
    "LockMetadata",
    "UnixTime",
    "CommandName",
    "workspace",
    "pull",
    "Extra",
];

/// Text that is JSON, or nearly: the members of records, punctuation, numbers, broken UTF-8.
fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    let name = proptest::sample::select(NAMES).prop_map(|name| format!("\"{name}\":").into_bytes());
    let piece = proptest::sample::select(
        &[
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "null",
            "true",
            "-1",
            "1.5",
            "9223372036854775808",
            "\"\"",
            "\"2026-08-22T09:30:15Z\"",
            "\"\\ud83d\"",
            "\"\\u003c\"",
            " ",
        ][..],
    );
    let piece = piece.prop_map(|piece| piece.as_bytes().to_vec());
    let bytes = proptest::collection::vec(any::<u8>(), 0..4);
    let part = prop_oneof![4 => name, 8 => piece, 1 => bytes];
    proptest::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
}

/// An object that is JSON, with members that records have and others.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    let name = prop_oneof![
        Just("Pull".to_owned()),
        Just("User".to_owned()),
        Just("Extra".to_owned()),
        "[A-Za-z]{0,8}"
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            proptest::collection::btree_map(name.clone(), inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

fn lock() -> impl Strategy<Value = ProjectLock> {
    let texts = proptest::collection::vec(any::<String>(), 12);
    let teams = proptest::option::of(proptest::collection::vec(any::<String>(), 0..3));
    let time = (0..253_402_300_800_000_000_u64, any::<bool>());
    (texts, teams, any::<[i64; 3]>(), any::<bool>(), time).prop_map(
        |(texts, teams, numbers, flag, (micros, zero))| {
            let mut texts = texts.into_iter();
            let mut text = || texts.next().unwrap();
            let vcs_host =
                VcsHost { hostname: text(), kind: VcsKind::from_number(numbers[0]), ..VcsHost::default() };
            let base_repo = Repo {
                full_name: text(),
                clone_url: CloneUrl::new(text()),
                sanitized_clone_url: text(),
                vcs_host,
                ..Repo::default()
            };
            let time = enhanced_locking_foundation::Timestamp::from_micros(micros);
            ProjectLock {
                project: Project { name: text(), repo: text(), path: text(), ..Project::default() },
                pull: Pull {
                    number: numbers[1],
                    head_commit: text(),
                    body: text(),
                    author: text(),
                    hardened_non_pr_ref_checkout: flag,
                    state: PullState::from_number(numbers[2]),
                    base_repo,
                    ..Pull::default()
                },
                user: User { username: text(), teams, ..User::default() },
                workspace: text(),
                time: if zero { RecordTime::default() } else { time.into() },
                ..ProjectLock::default()
            }
        },
    )
}

/// Reads a value as everything; what is a lock is written and read again.
fn survive(raw: &[u8]) -> Result<(), TestCaseError> {
    let _ = redact(raw);
    let _ = PullStatus::decode(raw);
    if let Ok(lock) = CommandLock::decode(raw) {
        let again = lock.to_json().map(|raw| CommandLock::decode(&raw));
        prop_assert!(matches!(again, Ok(Ok(again)) if again == lock));
    }
    if let Ok(stored) = Stored::<ProjectLock>::read(raw) {
        prop_assert_eq!(stored.raw(), raw);
        let written = stored.value().to_json().unwrap();
        let again = ProjectLock::decode(&written).unwrap();
        prop_assert_eq!(again.to_json().unwrap(), written);
    }
    Ok(())
}

proptest! {
    #![proptest_config(random(500))]

    #[test]
    fn any_bytes_are_survived(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
        survive(&raw)?;
    }

    #[test]
    fn what_is_nearly_a_record_is_survived(raw in nearly_json()) {
        survive(&raw)?;
    }

    #[test]
    fn what_is_json_is_survived(value in json()) {
        survive(value.to_string().as_bytes())?;
    }

    #[test]
    fn locks_survive_the_round_trip(lock in lock()) {
        let stored = Stored::<ProjectLock>::write(lock.clone()).unwrap();
        let again = Stored::<ProjectLock>::read(stored.raw()).unwrap();
        prop_assert_eq!(again.value(), &lock);
        prop_assert_eq!(stored, again);
        // Other readers read the same, whatever we escaped.
        let theirs: serde_json::Value = serde_json::from_slice(&lock.to_json().unwrap()).unwrap();
        prop_assert_eq!(theirs["Pull"]["Body"].as_str(), Some(lock.pull.body.as_str()));
        prop_assert_eq!(theirs["Pull"]["BaseRepo"]["CloneURL"].as_str(), Some(lock.pull.base_repo.clone_url.expose()));
    }

    #[test]
    fn a_lock_with_a_wrong_byte_is_survived(lock in lock(), at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        let mut raw = lock.to_json().unwrap();
        let at = at.index(raw.len());
        raw[at] = byte;
        survive(&raw)?;
        survive(&raw[..at])?;
    }

    #[test]
    fn any_key_is_survived(text in any::<String>(), near in "(pr/|global/)?[a-z/:.]{0,24}") {
        for text in [text, near] {
            let _ = (LockKey::parse(&text), PullKey::parse(&text), RedisKey::of(&text), clean_path(&text));
        }
    }

    #[test]
    fn keys_from_the_parts_are_keys_again(repo in "[a-z]{1,4}/[a-z]{1,4}", path in "[a-z./]{0,9}", rest in "[a-z]{1,4}") {
        let key = LockKey::new(&repo, &path, &rest, &rest);
        let again = LockKey::parse(&key.text()).unwrap();
        prop_assert_eq!(again.text(), key.text());
        prop_assert_eq!(again.repo, repo);
    }
}

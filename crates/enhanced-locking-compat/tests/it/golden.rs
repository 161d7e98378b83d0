//! Files of every bbolt that Atlantis used, and of three releases of Atlantis: what we read is what bbolt reads.

use std::fmt::Write;

use enhanced_locking_compat::bolt::{BoltError, BoltFile, Damage, EntryFault};
use enhanced_locking_compat::key::{CommandName, LockKey, PullKey};
use enhanced_locking_compat::record::{PlanStatus, RecordError, VcsKind};

use crate::support::{bolt, bolt_names, data};

/// What `data/generate` writes about a file: the buckets, and each entry with the length and the FNV-1a of its value.
fn dump(file: &BoltFile) -> String {
    let mut text = String::new();
    for name in file.buckets() {
        let name = std::str::from_utf8(name.unwrap()).unwrap();
        writeln!(text, "bucket\t{name}").unwrap();
        for entry in file.entries(name).unwrap() {
            let entry = entry.unwrap();
            if !entry.path.is_empty() {
                continue;
            }
            let key = std::str::from_utf8(entry.key).unwrap();
            let Some(value) = entry.value else {
                writeln!(text, "nested\t{key}").unwrap();
                continue;
            };
            let sum = value.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
                (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
            writeln!(text, "entry\t{key}\t{}\t{sum:016x}", value.len()).unwrap();
        }
    }
    text
}

#[test]
fn every_file_reads_as_bbolt_reads_it() {
    for name in bolt_names() {
        let want = std::fs::read_to_string(data(&format!("{name}.txt"))).unwrap();
        let file = bolt(&name);
        assert_eq!(dump(&file), want, "{name}");
        assert!(!file.may_be_behind(), "{name}");
    }
}

#[test]
fn a_file_on_disk_reads_as_its_bytes_do() {
    let file = BoltFile::open(data("bbolt-1.5.0-body.db")).unwrap();
    assert_eq!(dump(&file), dump(&bolt("bbolt-1.5.0-body")));
}

#[test]
fn locks_that_atlantis_stored_are_read() {
    for version in ["0.35.1", "0.40.0", "0.47.1"] {
        let file = bolt(&format!("atlantis-{version}"));
        let locks: Vec<_> = file.locks().unwrap().map(Result::unwrap).collect();
        let numbers: Vec<_> = locks.iter().map(|lock| lock.record.value().pull.number).collect();
        assert_eq!(numbers, [43, 42, -7], "{version}");
        for lock in &locks {
            let value = lock.record.value();
            // v0.39 and older keys have no fourth part.
            let key = LockKey::of(value);
            assert_eq!(lock.key, if version == "0.35.1" { key.old_text() } else { key.text() });
            assert!(value.pull.base_repo.clone_url.expose().contains("ghp_TOKEN0123456789"));
            // The newest release is the one whose form we write.
            if version == "0.47.1" {
                assert_eq!(value.to_json().unwrap(), lock.record.raw(), "{}", lock.key);
            }
        }
        let [_, prod, staging] = locks.as_slice() else { panic!("three locks") };
        assert_eq!(prod.record.value().project.name, "prod-net");
        assert_eq!(prod.record.value().time.as_str(), "2026-08-22T09:30:15.123456789+02:00");
        assert_eq!(staging.record.value().pull.base_repo.vcs_host.kind, VcsKind::GitLab);
        assert_eq!(staging.record.value().user.username, "ümlaut\u{2028}");
    }
}

#[test]
fn command_locks_and_statuses_that_atlantis_stored_are_read() {
    for version in ["0.35.1", "0.40.0", "0.47.1"] {
        let file = bolt(&format!("atlantis-{version}"));
        let command = file.command_locks().unwrap().next().unwrap().unwrap();
        assert_eq!(CommandName::of_bolt_key(&command.key), Some(CommandName::Apply));
        assert_eq!(command.record.value().unix_seconds, 1_787_383_815);
        assert_eq!(command.record.value().to_json().unwrap(), command.record.raw());
        let statuses: Vec<_> = file.pull_statuses().unwrap().map(Result::unwrap).collect();
        let status = statuses[0].record.value();
        assert_eq!(PullKey::parse(&statuses[0].key), PullKey::of(&status.pull).ok());
        let plans: Vec<_> = status.projects.iter().map(|project| project.status).collect();
        assert_eq!((statuses.len(), plans), (1, vec![PlanStatus::Planned, PlanStatus::PlanErrored]));
    }
}

#[test]
fn every_shape_that_locks_ever_had_is_read() {
    for version in ["1.3.6", "1.3.12", "1.4.3", "1.5.0"] {
        let file = bolt(&format!("bbolt-{version}-shapes"));
        let (locks, damages): (Vec<_>, Vec<_>) = file.locks().unwrap().partition(Result::is_ok);
        let paths: Vec<_> =
            locks.into_iter().map(|lock| lock.unwrap().record.value().project.path.clone()).collect();
        assert_eq!(paths, ["future", "old", "v0.19-no-base-repo", "v0.19", "v0.28", "v0.30", "v0.45"]);
        // The two that Atlantis cannot read either are two reports, and keep nobody else from being read.
        let damages: Vec<_> = damages.into_iter().map(Result::unwrap_err).collect();
        let [Damage::Record { key, source: wrong, .. }, Damage::Record { source: RecordError::Empty, .. }] =
            damages.as_slice()
        else {
            panic!("{damages:?}")
        };
        assert_eq!(key, "acme/infra/damaged/default/");
        assert!(wrong.to_string().starts_with("Pull.Num is a text"), "{wrong}");
    }
}

#[test]
fn long_values_span_pages() {
    for version in ["1.3.12", "1.5.0"] {
        let file = bolt(&format!("bbolt-{version}-body"));
        let bodies: Vec<_> =
            file.locks().unwrap().map(|lock| lock.unwrap().record.value().pull.body.len()).collect();
        assert_eq!(bodies, [0, 24_000, 0]);
    }
}

#[test]
fn buckets_inside_of_buckets_are_entered_and_are_no_locks() {
    let file = bolt("bbolt-1.5.0-nested");
    let entries: Vec<_> = file.entries("runLocks").unwrap().map(Result::unwrap).collect();
    let count = |path: &[&[u8]]| entries.iter().filter(|entry| entry.path == path).count();
    assert_eq!((count(&[]), count(&[b"inner"]), count(&[b"inner", b"deep"])), (2, 2, 200));
    let locks: Vec<_> = file.locks().unwrap().collect();
    assert!(
        matches!(&locks[..], [Ok(_), Err(Damage::Entry { fault: EntryFault::UnexpectedBucket, .. })]),
        "{locks:?}"
    );
}

#[test]
fn a_bucket_that_is_missing_is_told() {
    let file = bolt("bbolt-1.5.0-empty");
    let (commands, statuses) = (file.command_locks().unwrap(), file.pull_statuses().unwrap());
    assert_eq!(file.locks().unwrap().count() + commands.count() + statuses.count(), 0);
    let error = file.entries("runlocks").unwrap_err();
    assert!(matches!(error, BoltError::NoBucket { .. }), "{error}");
}

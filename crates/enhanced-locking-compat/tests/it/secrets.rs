//! No token is ever shown: not by `Debug`, `Display`, serde or errors, not of sound records and not of damaged ones.

use enhanced_locking_compat::bolt::{BoltFile, BoltRecord, Damage};
use enhanced_locking_compat::record::{CloneUrl, ProjectLock, Record, Stored, redact};
use proptest::prelude::*;

use crate::support::{bolt, bolt_bytes, random};

/// A piece of the token of the test data: a wrong bit outside of it shows this whole, or the token not at all.
const TOKEN: &str = "TOKEN01";

/// Everything there is to see of a value.
fn seen<T: std::fmt::Debug>(value: &T) -> String {
    format!("{value:?} {value:#?}")
}

/// The error with its sources, as an operator sees it.
fn seen_error(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(Some(error), |error| error.source());
    sources.map(|error| format!("{error} {error:?}")).collect()
}

/// Everything there is to see of what was found in a file.
fn seen_found<T: std::fmt::Debug + serde::Serialize>(found: Result<BoltRecord<T>, Damage>) -> String {
    match found {
        Ok(found) => seen(&found) + &serde_json::to_string(&found.record).unwrap(),
        Err(damage) => seen_error(&damage),
    }
}

/// Everything there is to see of a file.
fn seen_file(bytes: Vec<u8>) -> String {
    let file = match BoltFile::from_bytes(bytes) {
        Ok(file) => file,
        Err(error) => return seen_error(&error),
    };
    let mut all = seen(&file);
    match file.locks() {
        Ok(locks) => all.extend(locks.map(seen_found)),
        Err(error) => all.push_str(&seen_error(&error)),
    }
    all.extend(file.pull_statuses().into_iter().flatten().map(seen_found));
    all.extend(file.command_locks().into_iter().flatten().map(seen_found));
    for name in ["runLocks", "pulls", "globalLocks"] {
        let entries = file.entries(name).into_iter().flatten();
        all.extend(
            entries.map(|entry| entry.map_or_else(|damage| seen_error(&damage), |entry| seen(&entry))),
        );
    }
    all
}

#[test]
fn a_sound_record_shows_no_token_and_keeps_it() {
    for version in ["0.35.1", "0.40.0", "0.47.1"] {
        let name = format!("atlantis-{version}");
        for lock in bolt(&name).locks().unwrap().map(Result::unwrap) {
            let (raw, value) = (lock.record.raw(), lock.record.value());
            let shown =
                [seen(&lock), seen(value), serde_json::to_string(value).unwrap(), redact(raw)].concat();
            assert!(!shown.contains("TOKEN") && shown.contains("redacted"), "{shown}");
            for whole in [raw, &value.to_json().unwrap()] {
                assert!(String::from_utf8_lossy(whole).contains("ghp_TOKEN0123456789"));
            }
        }
        assert!(!seen_file(bolt_bytes(&name)).contains("TOKEN"));
    }
}

#[test]
fn members_that_nobody_knows_show_nothing_but_how_many() {
    for member in [
        r#""X":{"CloneURL":"TOKEN"}"#,
        r#""Pull":{"BaseRepo":{"Token":"TOKEN"}}"#,
        r#""User":{"T":["TOKEN"]}"#,
    ] {
        let stored = Stored::<ProjectLock>::read(format!("{{{member}}}").into_bytes()).unwrap();
        let shown = [seen(&stored), serde_json::to_string(&stored).unwrap()].concat();
        assert!(!shown.contains("TOKEN"), "{shown}");
        assert!(String::from_utf8(stored.value().to_json().unwrap()).unwrap().contains("TOKEN"));
    }
}

#[test]
fn errors_quote_no_value() {
    for raw in [
        r#"TOKEN"#,
        r#"{"TOKEN"}"#,
        r#"{"Pull":"TOKEN"}"#,
        r#"{"Pull":{"Num":"TOKEN"}}"#,
        r#"{"Pull":{"BaseRepo":{"CloneURL":["TOKEN"]}}}"#,
        r#"{"Time":"TOKEN"}"#,
        r#"{"User":{"Teams":{"TOKEN":1}}}"#,
    ] {
        let error = ProjectLock::decode(raw.as_bytes()).unwrap_err();
        let shown = seen_error(&error);
        assert!(!shown.contains("TOKEN"), "{shown}");
    }
}

#[test]
fn a_damaged_url_shows_no_token() {
    let url = "https://atlantis-bot:ghp_TOKEN0123456789@github.com/acme/infra.git";
    let token = url.find("ghp_").unwrap()..url.find('@').unwrap();
    for at in (0..url.len()).filter(|at| !token.contains(at)) {
        // Everything that one wrong bit makes of it, and everything else that is text.
        for byte in 0x20..0x7F_u8 {
            let mut damaged = url.as_bytes().to_vec();
            damaged[at] = byte;
            let damaged = CloneUrl::new(String::from_utf8(damaged).unwrap());
            assert!(!seen(&damaged).contains(TOKEN), "{} is shown as {damaged}", damaged.expose());
            let value = serde_json::json!({ "CloneURL": damaged.expose() });
            let shown = redact(value.to_string().as_bytes());
            assert!(!shown.contains(TOKEN), "{} is shown as {shown}", damaged.expose());
        }
    }
}

proptest! {
    #![proptest_config(random(300))]

    #[test]
    fn a_damaged_file_shows_no_token(
        name in proptest::sample::select(vec!["bbolt-1.5.0-shapes", "atlantis-0.47.1", "bbolt-1.5.0-hashmap"]),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), 0..8_u8), 1..6),
        headers in any::<bool>(),
    ) {
        let mut bytes = bolt_bytes(name);
        for (at, bit) in changes {
            let at = at.index(bytes.len());
            // The numbers at the beginning of a page are what could lead into the middle of a value.
            bytes[if headers { at / 4096 * 4096 + at % 200 } else { at }] ^= 1 << bit;
        }
        let shown = seen_file(bytes);
        prop_assert!(!shown.contains(TOKEN), "{}", shown);
    }
}

//! Damaged files: every part that is whole is still read, every part that is not is reported, and nothing else happens.

use std::collections::BTreeMap;
use std::fs::File;

use enhanced_locking_compat::bolt::{BoltError, BoltFile, Damage, Entries, PageFault};
use proptest::prelude::*;

use crate::support::{bolt_bytes, bolt_names, data, random};

/// Everything that can be asked of a file, and what there was: locks, and reports.
fn read_all(bytes: Vec<u8>) -> Option<(usize, usize)> {
    let len = bytes.len();
    let file = BoltFile::from_bytes(bytes).ok()?;
    let mut names: Vec<_> =
        file.buckets().flatten().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    names.truncate(8);
    let (mut entries, mut damages, mut read) = (0, 0, 0);
    for name in &names {
        for entry in file.entries(name).into_iter().flatten() {
            match entry {
                Ok(entry) => {
                    entries += 1;
                    read += entry.value.map_or(0, <[u8]>::len);
                }
                Err(_) => damages += 1,
            }
        }
    }
    assert!(
        read <= names.len() * len * usize::try_from(Entries::READ_MAX_FACTOR).unwrap(),
        "{read} of {len}"
    );
    let _ = file.locks().map(Iterator::count);
    let _ = (file.command_locks().map(Iterator::count), file.pull_statuses().map(Iterator::count));
    Some((entries, damages))
}

/// The locks by their keys, and the damage.
fn locks(bytes: Vec<u8>) -> (BTreeMap<String, i64>, Vec<Damage>) {
    let file = BoltFile::from_bytes(bytes).unwrap();
    let (mut locks, mut damages) = (BTreeMap::new(), Vec::new());
    for lock in file.locks().unwrap() {
        match lock {
            Ok(lock) => drop(locks.insert(lock.key, lock.record.value().pull.number)),
            Err(damage) => damages.push(damage),
        }
    }
    (locks, damages)
}

#[test]
fn a_file_that_was_cut_off_is_read_as_far_as_it_goes() {
    for name in bolt_names() {
        let bytes = bolt_bytes(&name);
        let whole = read_all(bytes.clone()).unwrap();
        assert_eq!(whole.1, 0, "{name}");
        for end in (0..bytes.len()).step_by(4096).flat_map(|end| [end, end + 1, end + 100]) {
            match read_all(bytes[..end].to_vec()) {
                Some((entries, damages)) => {
                    assert!(entries <= whole.0, "{name} {end}");
                    assert!(
                        entries == whole.0 || damages > 0 || entries == 0,
                        "{name} {end}: lost without a word"
                    );
                }
                None => assert!(end <= 4096 + 100 || name.contains("16k"), "{name} {end}"),
            }
        }
    }
}

#[test]
fn a_damaged_page_costs_what_is_on_it_and_no_more() {
    let name = "bbolt-1.3.12-many";
    let bytes = bolt_bytes(name);
    let (whole, none) = locks(bytes.clone());
    assert_eq!((whole.len(), none.len()), (300, 0));
    let mut partial = 0;
    for page in 2..bytes.len() / 4096 {
        let mut damaged = bytes.clone();
        damaged[page * 4096..][..4096].fill(0xA5);
        let Ok(file) = BoltFile::from_bytes(damaged.clone()) else { panic!("page {page}") };
        if file.locks().is_err() {
            panic!("the bucket is lost without a word: page {page}");
        }
        let (left, damages) = locks(damaged);
        assert!(left.iter().all(|(key, number)| whole.get(key) == Some(number)));
        assert_eq!(left.len() < 300, !damages.is_empty(), "page {page}: {damages:?}");
        if (1..300).contains(&left.len()) {
            partial += 1;
            // A leaf with all its locks, and exactly one report about it.
            assert!(left.len() > 250 && damages.len() == 1, "page {page}: {} {damages:?}", left.len());
            assert!(matches!(damages[0], Damage::Page { fault: PageFault::Number, .. }), "{damages:?}");
        }
    }
    assert!(partial >= 10, "{partial}");
}

#[test]
fn no_wrong_bit_in_the_numbers_of_a_page_loses_a_lock_without_a_word() {
    for name in ["bbolt-1.3.12-many", "bbolt-1.5.0-shapes"] {
        let mut bytes = bolt_bytes(name);
        let count = |bytes: &[u8]| {
            let file = BoltFile::from_bytes(bytes.to_vec()).unwrap();
            let entries = file.entries("runLocks").unwrap();
            entries.fold((0, 0), |(entries, damages), entry| match entry {
                Ok(_) => (entries + 1, damages),
                Err(_) => (entries, damages + 1),
            })
        };
        let (whole, none) = count(&bytes);
        assert_eq!(none, 0, "{name}");
        for page in 2..bytes.len() / 4096 {
            // The header and the first entries; of branches, all of it that is not a key.
            let is_branch = bytes[page * 4096 + 8] == 1;
            let end = if is_branch { 16 + 16 * usize::from(bytes[page * 4096 + 10]) } else { 40 };
            for at in page * 4096..page * 4096 + end {
                for bit in 0..8 {
                    bytes[at] ^= 1 << bit;
                    let (entries, damages) = count(&bytes);
                    assert!(entries == whole || damages > 0, "{name} {page} {} {bit}: {entries}", at % 4096);
                    bytes[at] ^= 1 << bit;
                }
            }
        }
    }
}

#[test]
fn one_damaged_meta_is_survived_and_told() {
    for (name, page) in [("bbolt-1.5.0-shapes", 4096), ("bbolt-1.5.0-pages16k", 16384)] {
        let whole = bolt_bytes(name);
        for broken in [0, page] {
            let mut bytes = whole.clone();
            bytes[broken..][..200].fill(0);
            let file = BoltFile::from_bytes(bytes).unwrap();
            assert!(file.may_be_behind(), "{name} {broken}");
            // The newer one says the same as before; the older one is at most one write behind.
            let difference = locks(whole.clone()).0.len().abs_diff(file.locks().unwrap().flatten().count());
            assert!(difference <= 80, "{name} {broken}: {difference}");
        }
        let mut bytes = whole;
        bytes[16 + 30] ^= 1;
        bytes[page + 16 + 30] ^= 1;
        assert!(matches!(BoltFile::from_bytes(bytes), Err(BoltError::Meta)), "{name}");
    }
}

#[test]
fn a_file_in_use_is_refused_until_it_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("atlantis.db");
    std::fs::copy(data("atlantis-0.47.1.db"), &path).unwrap();
    // Go's flock, as Atlantis takes it, is that of the standard library.
    let atlantis = File::options().read(true).write(true).open(&path).unwrap();
    atlantis.lock().unwrap();
    let error = BoltFile::open(&path).unwrap_err();
    assert!(matches!(error, BoltError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("Atlantis still runs"), "{error}");
    atlantis.unlock().unwrap();
    let (one, two) = (BoltFile::open(&path).unwrap(), BoltFile::open(&path).unwrap());
    assert!(atlantis.try_lock().is_err(), "Atlantis must not start while the file is read");
    drop((one, two));
    atlantis.try_lock().unwrap();
}

#[test]
fn what_is_no_bolt_file_is_refused_with_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    assert!(matches!(BoltFile::open(&path), Err(BoltError::Open { .. })));
    assert!(matches!(BoltFile::open(directory.path()), Err(BoltError::NotAFile { .. })));
    std::fs::write(&path, "").unwrap();
    assert!(matches!(BoltFile::open(&path), Err(BoltError::Empty)));
    std::fs::write(&path, "# not a database\n".repeat(1000)).unwrap();
    assert!(matches!(BoltFile::open(&path), Err(BoltError::NotBolt)));
    // Nothing is written there: it takes no room.
    File::options().write(true).open(&path).unwrap().set_len(BoltFile::BYTES_MAX + 1).unwrap();
    assert!(matches!(BoltFile::open(&path), Err(BoltError::TooLong { max: BoltFile::BYTES_MAX })));
}

/// A file of the data, with some bytes of it replaced.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let changes = proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..12);
    (proptest::sample::select(bolt_names()), changes, any::<bool>()).prop_map(|(name, changes, near)| {
        let mut bytes = bolt_bytes(&name);
        let len = bytes.len();
        for (at, byte) in changes {
            // Near the beginning of a page is where the numbers are.
            let at = at.index(len);
            bytes[if near { at / 4096 * 4096 + at % 128 } else { at }] = byte;
        }
        bytes
    })
}

proptest! {
    #![proptest_config(random(200))]

    #[test]
    fn whatever_is_in_a_file_reading_ends(bytes in damaged()) {
        read_all(bytes);
    }

    #[test]
    fn any_bytes_are_survived(mut bytes in proptest::collection::vec(any::<u8>(), 0..9000)) {
        prop_assert!(read_all(bytes.clone()).is_none());
        // With a sound beginning, too.
        let sound = bolt_bytes("bbolt-1.5.0-empty");
        bytes.splice(..0, sound[..8192].iter().copied());
        prop_assert!(read_all(bytes).is_some());
    }
}

proptest! {
    #![proptest_config(random(100))]

    #[test]
    fn no_lock_is_lost_without_a_word_for_one_wrong_bit(page in 2..64_usize, at in 0..4096_usize, bit in 0..8_u8) {
        // The number of the page where the bucket begins: that of another page of it is as good.
        prop_assume!(page != 32 || !(152..160).contains(&at));
        let mut bytes = bolt_bytes("bbolt-1.3.12-many");
        let whole = locks(bytes.clone()).0.len();
        bytes[page * 4096 + at] ^= 1_u8 << bit;
        let file = BoltFile::from_bytes(bytes.clone()).unwrap();
        if let Err(error) = file.locks() {
            // The name of the bucket is another one.
            prop_assert!(matches!(error, BoltError::NoBucket { .. }), "{}", error);
            return Ok(());
        }
        let (locks, damages) = locks(bytes);
        // A wrong bit in a key makes another key of it, perhaps one that there is already.
        prop_assert!(locks.len() + 1 >= whole || !damages.is_empty(), "{} of {}", locks.len(), whole);
    }
}

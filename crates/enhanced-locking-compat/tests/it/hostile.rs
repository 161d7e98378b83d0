//! Files that bbolt never wrote: pages that point at each other, entries that overlap, numbers beyond everything. Reading
//! them ends, and says what is wrong.

use enhanced_locking_compat::bolt::{BoltFile, Damage, Entries, EntryFault, PageFault};

const PAGE: usize = 512;
const LOCK: &[u8] = br#"{"Pull":{"Num":7}}"#;

/// An entry: whether it is a bucket, its key, its value.
type Entry<'a> = (bool, &'a [u8], &'a [u8]);

fn header(number: u64, flags: u16, count: usize, overflow: u32) -> Vec<u8> {
    let count = u16::try_from(count).unwrap();
    let [number, flags, count] = [&number.to_le_bytes()[..], &flags.to_le_bytes(), &count.to_le_bytes()];
    [number, flags, count, &overflow.to_le_bytes()].concat()
}

/// A leaf as bbolt writes it, with nothing behind it.
fn leaf(number: u64, entries: &[Entry<'_>]) -> Vec<u8> {
    let mut page = header(number, 2, entries.len(), 0);
    let mut position = entries.len() * 16;
    for (is_bucket, key, value) in entries {
        for field in [usize::from(*is_bucket), position, key.len(), value.len()] {
            page.extend(u32::try_from(field).unwrap().to_le_bytes());
        }
        position += key.len() + value.len() - 16;
    }
    page.extend(entries.iter().flat_map(|(_, key, value)| [*key, *value].concat()));
    page
}

/// A branch, all of whose keys are empty, so that no other key is in their way.
fn branch(number: u64, children: &[u64]) -> Vec<u8> {
    let mut page = header(number, 1, children.len(), 0);
    for (index, child) in children.iter().enumerate() {
        // Only the first one says where its key is; the others are nowhere.
        let position = if index == 0 { children.len() * 16 } else { usize::try_from(u32::MAX).unwrap() };
        page.extend(
            [&u32::try_from(position).unwrap().to_le_bytes()[..], &[0; 4], &child.to_le_bytes()].concat(),
        );
    }
    page
}

/// The value of a bucket on a page of its own.
fn root(number: u64) -> Vec<u8> {
    [number.to_le_bytes(), [0; 8]].concat()
}

/// The value of a bucket within its entry.
fn inline(page: &[u8]) -> Vec<u8> {
    [&[0; 16], page].concat()
}

/// A file of pages from the third on, with a meta that names the root and how many pages there are.
fn file_with(pages: &[Vec<u8>], root: u64, count: u64) -> BoltFile {
    let mut bytes = Vec::new();
    for number in [0, 1_u64] {
        let meta = [
            &0xED0C_DAED_u32.to_le_bytes()[..],
            &2_u32.to_le_bytes(),
            &u32::try_from(PAGE).unwrap().to_le_bytes(),
            &[0; 4],
            &root.to_le_bytes(),
            &[0; 16],
            &count.to_le_bytes(),
            &number.to_le_bytes(),
        ]
        .concat();
        let sum = meta.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        bytes.extend([header(number, 4, 0, 0), meta, sum.to_le_bytes().to_vec()].concat());
        bytes.resize(bytes.len().next_multiple_of(PAGE), 0);
    }
    for page in pages {
        bytes.extend(page);
        bytes.resize(bytes.len().next_multiple_of(PAGE), 0);
    }
    BoltFile::from_bytes(bytes).unwrap()
}

/// A file whose bucket of locks begins on page 3.
fn file(pages: &[Vec<u8>]) -> BoltFile {
    let buckets = leaf(2, &[(true, b"runLocks", &root(3))]);
    file_with(&[&[buckets], pages].concat(), 2, u64::MAX)
}

/// The keys of the locks, and the damage.
fn locks(file: &BoltFile) -> (Vec<String>, Vec<Damage>) {
    let (mut keys, mut damages) = (Vec::new(), Vec::new());
    for lock in file.locks().unwrap() {
        match lock {
            Ok(lock) => keys.push(lock.key),
            Err(damage) => damages.push(damage),
        }
    }
    (keys, damages)
}

fn page(page: u64, fault: PageFault) -> Damage {
    Damage::Page { page, fault }
}

#[test]
fn pages_that_point_at_each_other_are_read_once() {
    let one = leaf(4, &[(false, b"a", LOCK)]);
    let cases = [
        (
            vec![branch(3, &[3, 4, 4]), one.clone()],
            vec![page(3, PageFault::Twice), page(4, PageFault::Twice)],
        ),
        (vec![branch(3, &[4, 5]), one.clone(), branch(5, &[3])], vec![page(3, PageFault::Twice)]),
        (
            vec![branch(3, &[4, 2]), one.clone()],
            vec![Damage::Entry { page: 2, index: 0, fault: EntryFault::UnexpectedBucket }],
        ),
        (
            vec![branch(3, &[0, 1, 4, 99, u64::MAX]), one],
            [0, 1, 99, u64::MAX].map(|number| page(number, PageFault::Outside)).to_vec(),
        ),
    ];
    for (pages, want) in cases {
        assert_eq!(locks(&file(&pages)), (vec!["a".to_owned()], want));
    }
}

#[test]
fn a_page_with_keys_of_another_is_told_and_read() {
    let keyed = |children: [(u64, &[u8]); 2]| {
        let mut page = header(3, 1, 2, 0);
        for (index, (child, key)) in children.iter().enumerate() {
            let position = [32, 16 + children[0].1.len()][index];
            page.extend(u32::try_from(position).unwrap().to_le_bytes());
            page.extend(u32::try_from(key.len()).unwrap().to_le_bytes());
            page.extend(child.to_le_bytes());
        }
        page.extend([children[0].1, children[1].1].concat());
        page
    };
    let leaves = [leaf(4, &[(false, b"b", LOCK)]), leaf(5, &[(false, b"d", LOCK)])];
    for (least, next, damaged) in
        [("b", "d", vec![]), ("a", "c", vec![]), ("c", "d", vec![4]), ("a", "b", vec![4])]
    {
        let top = keyed([(4, least.as_bytes()), (5, next.as_bytes())]);
        let (keys, damages) = locks(&file(&[&[top], &leaves[..]].concat()));
        let want: Vec<_> = damaged.iter().map(|number| page(*number, PageFault::Keys)).collect();
        assert_eq!((keys.join(" ").as_str(), damages), ("b d", want), "{least} {next}");
    }
}

#[test]
fn a_tree_without_end_is_left() {
    let mut pages: Vec<_> = (3..500).map(|number| branch(number, &[number + 1])).collect();
    pages.push(leaf(500, &[(false, b"a", LOCK)]));
    let (keys, damages) = locks(&file(&pages));
    assert!(
        keys.is_empty() && matches!(damages[..], [Damage::Page { fault: PageFault::TooDeep, .. }]),
        "{damages:?}"
    );
}

#[test]
fn buckets_inside_of_themselves_are_left() {
    let nested = leaf(3, &[(false, b"a", LOCK), (true, b"b", &root(3)), (true, b"c", &root(2))]);
    let file = file(&[nested]);
    let (entries, damages): (Vec<_>, Vec<_>) = file.entries("runLocks").unwrap().partition(Result::is_ok);
    // The bucket of all buckets is entered once as `c`, and leads back here.
    assert_eq!((entries.len(), damages.len()), (4, 2), "{entries:?} {damages:?}");

    let mut inner = leaf(0, &[(false, b"a", LOCK)]);
    for _ in 0..10 {
        inner = leaf(0, &[(true, b"n", &inline(&inner))]);
    }
    let mut top = leaf(2, &[(true, b"deep", &inline(&inner))]);
    top[12] = 1;
    let file = file_with(&[top], 2, 9);
    let entries: Vec<_> = file.entries("deep").unwrap().collect();
    let deepest = entries.iter().flatten().map(|entry| entry.path.len()).max();
    assert_eq!(deepest, Some(Entries::NESTING_MAX));
    assert!(
        matches!(entries.last(), Some(Err(Damage::Entry { fault: EntryFault::TooDeep, .. }))),
        "{entries:?}"
    );
}

#[test]
fn entries_that_overlap_are_read_until_it_is_too_much() {
    // Every leaf says that it goes on to the end of the file, and that all its entries are the same large value.
    const LEAVES: u64 = 600;
    const ENTRIES: usize = 30;
    let first = 3 + LEAVES * 16 / 512 + 1;
    let children: Vec<u64> = (first..first + LEAVES).collect();
    let mut top = branch(3, &children);
    top[12..16].copy_from_slice(&u32::try_from(first - 4).unwrap().to_le_bytes());
    let mut pages = vec![top];
    for number in children {
        let mut overlapping = header(number, 2, ENTRIES, u32::MAX);
        for index in 0..ENTRIES {
            for field in [0, (ENTRIES - index) * 16, 1, 100_000] {
                overlapping.extend(u32::try_from(field).unwrap().to_le_bytes());
            }
        }
        pages.push(overlapping);
    }
    let file = file(&pages);
    let (mut bytes, mut damages) = (0, Vec::new());
    for entry in file.entries("runLocks").unwrap() {
        match entry {
            Ok(entry) => bytes += entry.value.unwrap().len(),
            Err(damage) => damages.push(damage),
        }
    }
    let limit = 4 * PAGE * usize::try_from(first + LEAVES).unwrap();
    assert!(bytes <= limit && damages.len() <= limit / 16, "{bytes} {}", damages.len());
    assert!(
        bytes > limit / 2 && matches!(damages.last(), Some(Damage::Overlap { .. })),
        "{bytes} {damages:?}"
    );
}

#[test]
fn the_rest_is_not_read_once_pages_hold_more_than_the_file() {
    // The nested buckets are one inside of the other, each read again for every one around it.
    let mut inner = leaf(0, &[(false, b"a", &[b' '; 20_000])]);
    for _ in 0..7 {
        inner = leaf(0, &[(true, b"n", &inline(&inner))]);
    }
    let mut top = leaf(3, &[(true, b"n", &inline(&inner))]);
    top[12..16].copy_from_slice(&99_u32.to_le_bytes());
    let file = file(&[top]);
    let entries: Vec<_> = file.entries("runLocks").unwrap().collect();
    assert!(matches!(entries.last(), Some(Err(Damage::Overlap { .. }))), "{entries:?}");
    assert!(entries.len() <= 5);
}

#[test]
fn a_root_that_is_not_there_is_told_instead_of_no_locks() {
    for (root, want) in [
        (0, PageFault::Outside),
        (1, PageFault::Outside),
        (u64::MAX, PageFault::Outside),
        (3, PageFault::Number),
    ] {
        let file = file_with(&[vec![0], vec![0]], root, 9);
        assert_eq!(locks(&file), (Vec::new(), vec![page(root, want)]));
        assert_eq!(file.command_locks().unwrap().count() + file.pull_statuses().unwrap().count(), 2);
        assert_eq!(file.buckets().count(), 1);
    }
    // No page is behind the end that the file gives itself, whatever is there.
    let file = file_with(&[leaf(2, &[(true, b"runLocks", &root(3))]), leaf(3, &[(false, b"a", LOCK)])], 2, 3);
    assert_eq!(locks(&file), (Vec::new(), vec![page(3, PageFault::Outside)]));
}

#[test]
fn buckets_that_are_none_are_told() {
    let entry = |fault| Damage::Entry { page: 2, index: 0, fault };
    for (is_bucket, value, want) in [
        (false, root(3), entry(EntryFault::UnexpectedValue)),
        (true, vec![0; 15], entry(EntryFault::Bucket)),
        (true, vec![0; 16], page(2, PageFault::Outside)),
        (true, inline(&branch(0, &[3])), page(2, PageFault::Kind)),
        (true, inline(&header(0, 2, 9, 0)), page(2, PageFault::Count)),
        (true, inline(&[header(0, 2, 0, 0), vec![1]].concat()), page(2, PageFault::Count)),
        (true, root(3), page(3, PageFault::Count)),
    ] {
        let pages = [leaf(2, &[(is_bucket, b"runLocks", &value)]), leaf(3, &[])];
        assert_eq!(locks(&file_with(&pages, 2, 9)), (Vec::new(), vec![want]));
    }
}

#[test]
fn keys_that_are_none_are_told() {
    let pages = [leaf(3, &[(false, b"", LOCK), (false, b"\xff", LOCK), (false, b"z", LOCK)])];
    let entry = |index, fault| Damage::Entry { page: 3, index, fault };
    let want = vec![entry(0, EntryFault::KeyLength), entry(1, EntryFault::KeyNotText)];
    assert_eq!(locks(&file(&pages)), (vec!["z".to_owned()], want));
}

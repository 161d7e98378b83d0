//! What one commit is in the journal: its exact form, and how a whole one is told from a torn and from a damaged one. Reads and writes no files.
//!
//! A frame is a run of blocks of 512 bytes, little endian. A disk writes a block whole or not at all, but those of
//! one write in any order.
//!
//! | bytes | in every block | in the first block |
//! |---|---|---|
//! | 0..8 | number of the commit | |
//! | 8..12 | CRC-32 of these 8 bytes | |
//! | 12..16 | body | length of the body |
//! | 16..24 | body | base: the digest of the data file this commit goes on from |
//! | 24..28 | body | CRC-32 of the body |
//! | 28..32 | body | CRC-32 of bytes 0..8 and 12..28 |
//! | 32..512 | body | body |
//!
//! The body is the table's counters (`log::push_meta`) and records: the lengths of key and value
//! (u32 each), key and value as in the data file; a length of `ffffffff` instead of the value's says it is gone.
//! Commits are numbered and the journal is written from its beginning again after every checkpoint, so an older
//! number in a block means that it was not written since. Hence:
//! a frame of which some blocks are older is torn, which only the newest commit can be, before it was answered;
//! anything else that does not fit is damage, and reported.

use std::ops::Range;

use enhanced_locking_core::TableMeta;

use crate::changes::{Change, Changes};
use crate::log::{Seal, push_meta, split_meta};
use crate::record;

/// The unit a disk writes whole.
pub(crate) const BLOCK: usize = 512;
const STAMP: usize = 12;
const HEADER: usize = 32;
/// In place of the length of a value: the record is removed.
const REMOVED: u32 = u32::MAX;

/// All that a journal says after a data file.
#[derive(Debug, Default)]
pub(crate) struct Story {
    /// The journal, with the bodies of its commits put together in place: a second copy costs as much as all else.
    bytes: Vec<u8>,
    /// Where in there the records of each commit are.
    records: Vec<Range<usize>>,
    /// The number of the newest commit and the counters it left, if there is one.
    pub(crate) newest: Option<(u64, TableMeta)>,
    /// Where the newest frame begins.
    pub(crate) last: usize,
    /// Where the next frame goes.
    pub(crate) end: usize,
    /// Where the remains of a torn frame end: from `end` to here is to be overwritten before anything else.
    pub(crate) torn: usize,
}

impl Story {
    /// Reads what a journal says after the data file with this seal.
    ///
    /// # Errors
    /// What is damaged. Remains of an unfinished write are none.
    pub(crate) fn read(mut journal: Vec<u8>, seal: &Seal) -> Result<Self, String> {
        let mut story = Self::default();
        let mut number = seal.number + 1;
        while let Some(body) = whole_frame(&mut journal, story.end, number, seal.digest)? {
            let half = || format!("commit {number} has half a record");
            let (meta, records) = journal.get(body.clone()).and_then(split_meta).ok_or_else(half)?;
            story.records.push(body.end - records.len()..body.end);
            let mut rest = records;
            while !rest.is_empty() {
                (_, rest) = split_record(rest).ok_or_else(half)?;
            }
            story.newest = Some((number, meta));
            story.last = story.end;
            story.end += blocks(body.len()) * BLOCK;
            number += 1;
        }
        story.torn = story.end;
        for (index, block) in journal.chunks(BLOCK).enumerate().skip(story.end / BLOCK) {
            match stamp(block)? {
                Some(found) if found > number => {
                    return Err(format!("it goes on with commit {found}, where {number} is missing"));
                }
                // Only its place is left for a frame of this number: one that begins anywhere else was answered, and
                // the data file is not the one it went on from.
                Some(found) if found == number && index * BLOCK > story.end && is_header(block) => {
                    return Err(format!("commit {number} is not where it should be"));
                }
                Some(found) if found == number => story.torn = (index + 1) * BLOCK,
                _ => {}
            }
        }
        story.bytes = journal;
        Ok(story)
    }

    /// What its commits come to.
    pub(crate) fn changes(&self) -> Changes<'_> {
        let commits = self.records.iter().filter_map(|place| self.bytes.get(place.clone()));
        let each = |mut rest| {
            std::iter::from_fn(move || {
                let change;
                (change, rest) = split_record(rest)?;
                Some(change)
            })
        };
        commits.flat_map(each).collect()
    }
}

/// What one commit changes: counters and records.
#[derive(Debug, Default)]
pub(crate) struct Body(Vec<u8>);

impl Body {
    /// Begins anew.
    pub(crate) fn begin(&mut self, meta: &TableMeta) {
        self.0.clear();
        push_meta(&mut self.0, meta);
    }

    /// Adds a record.
    pub(crate) fn put(&mut self, key: impl FnOnce(&mut Vec<u8>), value: impl FnOnce(&mut Vec<u8>)) {
        let start = self.key(key);
        let before = self.0.len();
        record::push_record(&mut self.0, value);
        self.set_length(start + 4, before);
    }

    /// Adds that a record is gone.
    pub(crate) fn remove(&mut self, key: impl FnOnce(&mut Vec<u8>)) {
        self.key(key);
    }

    fn key(&mut self, key: impl FnOnce(&mut Vec<u8>)) -> usize {
        let start = self.0.len();
        self.0.extend_from_slice(&[0xff; 8]);
        key(&mut self.0);
        self.set_length(start, start + 8);
        start
    }

    /// How long it is, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Gives back memory that only a very long one needed.
    pub(crate) fn shrink(&mut self, most: usize) {
        self.0.clear();
        self.0.shrink_to(most);
    }

    /// Notes at one place how many bytes there are from another one on.
    fn set_length(&mut self, at: usize, from: usize) {
        let length = u32::try_from(self.0.len() - from).unwrap_or(REMOVED);
        if let Some(place) = self.0.get_mut(at..at + 4) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }
}

/// Writes the frame of a body.
pub(crate) fn encode(number: u64, base: u64, body: &Body, frame: &mut Vec<u8>) {
    let body = &body.0[..];
    frame.clear();
    frame.reserve(blocks(body.len()) * BLOCK);
    let stamp = stamp_of(number);
    frame.extend_from_slice(&stamp);
    frame.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    frame.extend_from_slice(&base.to_le_bytes());
    frame.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
    frame.extend_from_slice(&header_sum(frame).to_le_bytes());
    let (first, rest) = body.split_at(body.len().min(BLOCK - HEADER));
    frame.extend_from_slice(first);
    for part in rest.chunks(BLOCK - STAMP) {
        frame.extend_from_slice(&stamp);
        frame.extend_from_slice(part);
    }
    frame.resize(frame.len().next_multiple_of(BLOCK), 0);
}

/// How many blocks the frame of a body has.
fn blocks(body: usize) -> usize {
    1 + body.saturating_sub(BLOCK - HEADER).div_ceil(BLOCK - STAMP)
}

/// Puts the body of a commit's frame together where the frame begins, if it is all there, and says where it is then.
/// Nothing if the journal ends here; all is left as it was then.
fn whole_frame(
    journal: &mut [u8],
    at: usize,
    number: u64,
    base: u64,
) -> Result<Option<Range<usize>>, String> {
    let Some(first) = journal.get(at..at + BLOCK) else { return Ok(None) };
    // A greater number is found when what is left is looked through.
    if stamp(first)? != Some(number) {
        return Ok(None);
    }
    let damaged = |what: &str| format!("commit {number}: {what}");
    let short = || damaged("its frame is too short");
    let (length, sum) = (u32_at(first, 12).ok_or_else(short)? as usize, u32_at(first, 24));
    let found_base = first.get(16..24).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
    if !is_header(first) {
        return Err(damaged("the checksum of its header is wrong"));
    }
    if found_base != Some(base) {
        return Err(damaged("it goes on from another data file"));
    }
    let Some(frame) = journal.get_mut(at..at + blocks(length) * BLOCK) else { return Ok(None) };
    for block in frame.chunks(BLOCK) {
        match stamp(block)? {
            Some(found) if found == number => {}
            Some(found) if found > number => return Err(damaged("a later one is in the middle of it")),
            _ => return Ok(None),
        }
    }
    frame.copy_within(HEADER..BLOCK, 0);
    for index in 1..frame.len() / BLOCK {
        let start = index * BLOCK;
        frame.copy_within(start + STAMP..start + BLOCK, start - HEADER - (index - 1) * STAMP);
    }
    let body = frame.get(..length).ok_or_else(short)?;
    if sum != Some(crc32fast::hash(body)) {
        return Err(damaged("its checksum is wrong"));
    }
    Ok(Some(at..at + length))
}

/// The number of the commit a block is of; nothing if it was never written.
fn stamp(block: &[u8]) -> Result<Option<u64>, String> {
    let Some(found) = block.first_chunk::<STAMP>() else { return Ok(None) };
    if *found == [0; STAMP] {
        return Ok(None);
    }
    let number = found.first_chunk().map_or(0, |number| u64::from_le_bytes(*number));
    if *found == stamp_of(number) { Ok(Some(number)) } else { Err("a block has a wrong number".to_owned()) }
}

fn stamp_of(number: u64) -> [u8; STAMP] {
    let mut stamp = [0; STAMP];
    let number = number.to_le_bytes();
    stamp[..8].copy_from_slice(&number);
    stamp[8..].copy_from_slice(&crc32fast::hash(&number).to_le_bytes());
    stamp
}

/// Whether a block is the first one of a frame.
fn is_header(block: &[u8]) -> bool {
    block.get(..28).is_some_and(|header| u32_at(block, 28) == Some(header_sum(header)))
}

/// The checksum of a frame's first 28 bytes, but for the one that is in there.
fn header_sum(header: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(header.get(..8).unwrap_or_default());
    sum.update(header.get(STAMP..28).unwrap_or_default());
    sum.finalize()
}

/// The first record of some, and the others.
fn split_record(records: &[u8]) -> Option<(Change<'_>, &[u8])> {
    let (key, value) = (u32_at(records, 0)? as usize, u32_at(records, 4)?);
    let (key, rest) = records.get(8..)?.split_at_checked(key)?;
    if value == REMOVED {
        return Some(((key, None), rest));
    }
    let (value, rest) = rest.split_at_checked(value as usize)?;
    Some(((key, Some(value)), rest))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use enhanced_locking_foundation::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::wire::push_number;

    const BASE: u64 = 77;

    fn seal(number: u64) -> Seal {
        Seal { number, digest: BASE, ..Seal::default() }
    }

    /// The frames of commits from `first` on with bodies of these lengths, and what they say.
    fn journal(first: u64, lengths: &[usize]) -> (Vec<u8>, Vec<usize>) {
        let (mut all, mut ends, mut frame) = (Vec::new(), Vec::new(), Vec::new());
        for (number, length) in (first..).zip(lengths) {
            let time = Timestamp::from_micros(number);
            let mut body = Body::default();
            body.begin(&TableMeta { time, ..TableMeta::default() });
            body.put(|key| key.extend(format!("k{number}").bytes()), |value| value.extend(vec![7; *length]));
            body.put(|key| key.extend(b"last"), |value| push_number(value, number));
            body.remove(|key| key.extend(format!("k{}", number - 1).bytes()));
            encode(number, BASE, &body, &mut frame);
            all.extend_from_slice(&frame);
            ends.push(all.len());
        }
        (all, ends)
    }

    fn last(story: &Story) -> Option<u64> {
        story.newest.map(|(number, meta)| {
            assert_eq!(meta.time.as_micros(), number);
            number
        })
    }

    #[test]
    fn an_empty_journal_and_one_of_zeros_say_nothing() {
        for journal in [&[][..], &[0; 3 * BLOCK], &[0; 100]] {
            let story = Story::read(journal.to_vec(), &seal(5)).unwrap();
            assert_eq!((last(&story), story.end, story.torn), (None, 0, 0));
        }
    }

    #[test]
    fn what_the_data_file_has_already_is_passed_over() {
        let (journal, ends) = journal(1, &[10, 3_000, 10]);
        for (has, reads) in [(0, Some(3)), (3, None)] {
            assert_eq!(last(&Story::read(journal.clone(), &seal(has)).unwrap()), reads);
        }
        // It was written from its beginning again: what is behind is older.
        let (newer, _) = self::journal(4, &[10]);
        let written = [&newer[..], &journal[newer.len()..]].concat();
        let story = Story::read(written, &seal(3)).unwrap();
        assert_eq!((last(&story), story.end), (Some(4), newer.len()));
        assert!(ends[2] > newer.len());
    }

    #[test]
    fn a_journal_of_another_data_file_or_time_is_refused() {
        let (journal, _) = journal(4, &[10, 10]);
        let says = |seal: &Seal| Story::read(journal.clone(), seal).unwrap_err();
        assert_eq!(says(&seal(2)), "it goes on with commit 4, where 3 is missing");
        assert_eq!(says(&Seal { digest: 78, ..seal(3) }), "commit 4: it goes on from another data file");
    }

    proptest! {
        #[test]
        fn whatever_part_of_the_last_write_reached_the_disk_the_journal_ends_before_it(
            lengths in prop::collection::vec(0usize..3_000, 1..6),
            older in prop::collection::vec(0usize..3_000, 0..8),
            arrived in prop::collection::vec(any::<bool>(), 1..16),
        ) {
            let (before, _) = journal(1, &older);
            let first = older.len() as u64 + 1;
            let (written, ends) = journal(first, &lengths);
            let mut disk = vec![0; before.len().max(written.len())];
            disk[..before.len()].copy_from_slice(&before);
            let newest = if ends.len() > 1 { ends[ends.len() - 2] } else { 0 };
            disk[..newest].copy_from_slice(&written[..newest]);
            let mut all = true;
            for (index, block) in written.chunks(BLOCK).enumerate().skip(newest / BLOCK) {
                if arrived[index % arrived.len()] {
                    disk[index * BLOCK..][..BLOCK].copy_from_slice(block);
                } else {
                    all = false;
                }
            }
            let story = Story::read(disk, &seal(first - 1)).unwrap();
            let complete = first - 1 + lengths.len() as u64 - u64::from(!all);
            prop_assert_eq!(story.newest.map_or(first - 1, |(number, _)| number), complete);
            prop_assert_eq!(story.end, if all { written.len() } else { newest });
            prop_assert!(story.torn >= story.end && story.torn <= written.len().max(story.end));
            if let Some((number, _)) = story.newest {
                let put = story.changes().put();
                let (_, said) = put.iter().find(|(key, _)| *key == b"last").unwrap();
                prop_assert_eq!(record::decode::<u64>(said), Ok(number));
            }
        }

        #[test]
        fn no_flipped_bit_is_believed_or_passed_over(
            lengths in prop::collection::vec(0usize..1_500, 1..5),
            at in any::<prop::sample::Index>(),
            bit in 0u8..8,
        ) {
            let (mut bad, ends) = journal(1, &lengths);
            let wanted = Story::read(bad.clone(), &seal(0)).unwrap();
            let at = at.index(bad.len());
            bad[at] ^= 1 << bit;
            match Story::read(bad, &seal(0)) {
                Err(_) => {}
                // Nothing is behind the body of a frame in its last block.
                Ok(story) => {
                    prop_assert_eq!(story.newest, wanted.newest);
                    prop_assert_eq!(story.changes().put(), wanted.changes().put());
                    prop_assert!(story.changes().removed().eq(wanted.changes().removed()));
                    let end = ends.iter().find(|end| at < **end).unwrap();
                    prop_assert!(end - at <= BLOCK);
                }
            }
        }
    }
}

//! The two pages that describe a bolt file. Owns which of them counts; what they point at is `page`'s.
//!
//! Each write replaces the older of the two, so that one is whole even if the machine stopped in the middle. bbolt
//! believes the newer whole one, and so do we.

use super::error::BoltError;
use super::page::{HEADER_BYTES, array};

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;

/// What the checksum covers, and then itself.
const CHECKED_BYTES: usize = 56;

/// The sizes of pages: those of the systems on which Atlantis runs, and what the tests of bbolt use.
const PAGE_BYTES_MIN: u32 = 512;
const PAGE_BYTES_MAX: u32 = 64 << 10;

/// The description of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) page_bytes: usize,
    /// The page on which the bucket of all buckets begins.
    pub(super) root: u64,
    /// The pages are those below this number.
    pub(super) pages: u64,
    transaction: u64,
}

/// What the two pages say together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen {
    pub(super) meta: Meta,
    /// Only one of them is whole.
    pub(super) alone: bool,
}

/// The meta that bbolt would believe.
pub(super) fn choose(bytes: &[u8]) -> Result<Chosen, BoltError> {
    let first = Meta::read(bytes, 0);
    let second = match &first {
        Ok(meta) => Meta::second(bytes, meta.page_bytes),
        // Its place depends on the size of pages, which only the damaged one tells.
        Err(_) => {
            sizes().map(|size| Meta::second(bytes, size)).reduce(more_telling).unwrap_or(Err(Fault::None))
        }
    };
    match (first, second) {
        (Ok(one), Ok(two)) => {
            Ok(Chosen { meta: if two.transaction > one.transaction { two } else { one }, alone: false })
        }
        (Ok(meta), Err(_)) | (Err(_), Ok(meta)) => Ok(Chosen { meta, alone: true }),
        (Err(one), Err(two)) => Err(one.max(two).into()),
    }
}

fn sizes() -> impl Iterator<Item = usize> {
    let powers = std::iter::successors(Some(PAGE_BYTES_MIN), |size| size.checked_mul(2));
    powers.take_while(|size| *size <= PAGE_BYTES_MAX).filter_map(|size| usize::try_from(size).ok())
}

fn more_telling(one: Result<Meta, Fault>, two: Result<Meta, Fault>) -> Result<Meta, Fault> {
    match (one, two) {
        (Ok(meta), _) | (_, Ok(meta)) => Ok(meta),
        (Err(one), Err(two)) => Err(one.max(two)),
    }
}

/// Why there is no meta, the least telling reason first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    None,
    Version(u32),
    Damaged,
    PageSize(u32),
}

impl From<Fault> for BoltError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::None => Self::NotBolt,
            Fault::Version(found) => Self::Version { found },
            Fault::Damaged => Self::Meta,
            Fault::PageSize(found) => Self::PageSize { found },
        }
    }
}

impl Meta {
    /// The meta of the page at an offset.
    fn read(bytes: &[u8], offset: usize) -> Result<Self, Fault> {
        let meta = bytes.get(offset..).and_then(|page| page.get(HEADER_BYTES..)).ok_or(Fault::None)?;
        let u32_at = |at| array(meta, at).map(u32::from_le_bytes);
        let u64_at = |at| array(meta, at).map(u64::from_le_bytes);
        if u32_at(0) != Some(MAGIC) {
            return Err(Fault::None);
        }
        let checked = meta.get(..CHECKED_BYTES).ok_or(Fault::Damaged)?;
        // The version first: another one may have its checksum elsewhere. A wrong version may be damage, too.
        match u32_at(4) {
            Some(VERSION) => {}
            Some(found) if u64_at(CHECKED_BYTES) == Some(checksum(checked)) => {
                return Err(Fault::Version(found));
            }
            _ => return Err(Fault::Damaged),
        }
        if u64_at(CHECKED_BYTES) != Some(checksum(checked)) {
            return Err(Fault::Damaged);
        }
        let size = u32_at(8).ok_or(Fault::Damaged)?;
        if !size.is_power_of_two() || !(PAGE_BYTES_MIN..=PAGE_BYTES_MAX).contains(&size) {
            return Err(Fault::PageSize(size));
        }
        let all = || {
            // Between these are flags, the sequence of the root bucket and the list of free pages: of no use to readers.
            Some(Self {
                page_bytes: usize::try_from(size).ok()?,
                root: u64_at(16)?,
                pages: u64_at(40)?,
                transaction: u64_at(48)?,
            })
        };
        all().ok_or(Fault::Damaged)
    }

    /// The second meta of a file whose pages have a size; it has to agree about that.
    fn second(bytes: &[u8], page_bytes: usize) -> Result<Self, Fault> {
        let meta = Self::read(bytes, page_bytes)?;
        if meta.page_bytes == page_bytes { Ok(meta) } else { Err(Fault::Damaged) }
    }
}

/// FNV-1a with 64 bits.
fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(bytes: &mut [u8], offset: usize, version: u32, page_bytes: u32, transaction: u64) {
        let at = &mut bytes[offset + HEADER_BYTES..][..CHECKED_BYTES + 8];
        at[..4].copy_from_slice(&MAGIC.to_le_bytes());
        at[4..8].copy_from_slice(&version.to_le_bytes());
        at[8..12].copy_from_slice(&page_bytes.to_le_bytes());
        at[16..24].copy_from_slice(&3_u64.to_le_bytes());
        at[40..48].copy_from_slice(&4_u64.to_le_bytes());
        at[48..56].copy_from_slice(&transaction.to_le_bytes());
        let sum = checksum(&at[..CHECKED_BYTES]);
        at[CHECKED_BYTES..].copy_from_slice(&sum.to_le_bytes());
    }

    fn file(page_bytes: u32, transactions: [u64; 2]) -> Vec<u8> {
        let size = usize::try_from(page_bytes).unwrap();
        let mut bytes = vec![0; size * 4];
        meta(&mut bytes, 0, VERSION, page_bytes, transactions[0]);
        meta(&mut bytes, size, VERSION, page_bytes, transactions[1]);
        bytes
    }

    #[test]
    fn the_newer_one_counts() {
        for (transactions, want) in [([4, 5], 5), ([6, 5], 6)] {
            let chosen = choose(&file(4096, transactions)).unwrap();
            assert_eq!((chosen.meta.transaction, chosen.alone), (want, false));
        }
    }

    #[test]
    fn one_whole_meta_is_enough_whatever_the_size_of_pages() {
        for size in sizes() {
            for broken in [0, size] {
                let mut bytes = file(u32::try_from(size).unwrap(), [4, 5]);
                bytes[broken + HEADER_BYTES + 50] ^= 1;
                let chosen = choose(&bytes).unwrap();
                assert_eq!(chosen.meta.transaction, if broken == 0 { 5 } else { 4 }, "{size} {broken}");
                assert!(chosen.alone && chosen.meta.page_bytes == size);
            }
        }
    }

    #[test]
    fn without_one_the_most_telling_reason_is_given() {
        let refused = |bytes: &[u8]| choose(bytes).unwrap_err();
        assert!(matches!(refused(b""), BoltError::NotBolt));
        assert!(matches!(refused(&[0xED; 9000]), BoltError::NotBolt));
        let mut damaged = file(4096, [1, 2]);
        damaged[16 + 20] ^= 1;
        damaged[4096 + 16 + 20] ^= 1;
        assert!(matches!(refused(&damaged), BoltError::Meta));
        assert!(matches!(refused(&damaged[..30]), BoltError::Meta));
        for (version, size) in [(1, 4096), (2, 4095), (2, 256), (2, 1 << 20)] {
            let mut other = vec![0; 9000];
            meta(&mut other, 0, version, size, 1);
            let error = refused(&other);
            match version {
                1 => assert!(matches!(error, BoltError::Version { found: 1 }), "{error}"),
                _ => assert!(matches!(error, BoltError::PageSize { found } if found == size), "{error}"),
            }
        }
    }
}

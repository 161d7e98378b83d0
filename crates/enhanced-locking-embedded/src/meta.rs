//! The two meta pages at the front of a data file. Owns reading them and the rules they keep; the trees they name are `pages`'.
//!
//! A transaction writes the meta page of its parity and leaves the other one, with the whole state before it, alone.
//! LMDB takes the one with the greater transaction number and asks nothing else.

use std::fs::File;
use std::os::unix::fs::FileExt;

pub(crate) const HEADER: usize = 16;
/// No tree.
pub(crate) const EMPTY: u64 = u64::MAX;
const META: u16 = 0x08;
const MAGIC: u32 = 0xBEEF_C0DE;
/// The free list sorts by number; nothing else may be set for it, and nothing at all for the main tree.
const INTEGER_KEYS: u16 = 0x08;
/// Up to the transaction number, which is the last field.
const LENGTH: usize = HEADER + 136;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) branch: u64,
    pub(crate) leaf: u64,
    pub(crate) overflow: u64,
    pub(crate) entries: u64,
}

/// One of the two trees, as a meta page describes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tree {
    pub(crate) depth: u16,
    pub(crate) root: u64,
    pub(crate) counts: Counts,
}

/// One meta page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meta {
    pub(crate) transaction: u64,
    pub(crate) last_page: u64,
    pub(crate) page_size: usize,
    pub(crate) free: Tree,
    pub(crate) main: Tree,
}

impl Meta {
    /// Reads both meta pages, the newer one first.
    pub(crate) fn read_both(file: &File) -> Result<(Self, Self), String> {
        let zero = Self::read(file, 0, 0)?;
        let one = Self::read(file, 1, zero.page_size)?;
        let (newer, older) = if zero.transaction < one.transaction { (one, zero) } else { (zero, one) };
        // Every transaction follows the one of the other page.
        if older.transaction.checked_add(1) != Some(newer.transaction) {
            let (newer, older) = (newer.transaction, older.transaction);
            return Err(format!("the meta pages are of transactions {older} and {newer}"));
        }
        Ok((newer, older))
    }

    fn read(file: &File, index: u64, page_size: usize) -> Result<Self, String> {
        let mut page = [0; LENGTH];
        let read = file.read_exact_at(&mut page, index * page_size as u64);
        read.map_err(|e| format!("meta page {index} cannot be read: {e}"))?;
        let bad = |what: String| Err(format!("meta page {index} {what}"));
        if u16_at(&page, 10)? != META || u32_at(&page, HEADER)? != MAGIC {
            return bad("is not the meta page of an LMDB file".to_owned());
        }
        if u64_at(&page, 0)? != index {
            return bad(format!("says it is page {}", u64_at(&page, 0)?));
        }
        if u32_at(&page, HEADER + 4)? != 1 {
            return bad(format!("has data version {}", u32_at(&page, HEADER + 4)?));
        }
        let size = u32_at(&page, HEADER + 24)? as usize;
        let is_size = (512..=65_536).contains(&size) && size.is_power_of_two();
        if !is_size || (index == 1 && size != page_size) {
            return bad(format!("claims pages of {size} bytes"));
        }
        let flags = (u16_at(&page, HEADER + 28)?, u16_at(&page, HEADER + 76)?);
        if flags != (INTEGER_KEYS, 0) || u32_at(&page, HEADER + 72)? != 0 {
            return bad(format!("has trees of the kinds {flags:x?}"));
        }
        let transaction = u64_at(&page, HEADER + 128)?;
        if transaction % 2 != index {
            return bad(format!("is of transaction {transaction}, which belongs to the other one"));
        }
        Ok(Self {
            transaction,
            last_page: u64_at(&page, HEADER + 120)?,
            page_size: size,
            free: tree(&page, HEADER + 24)?,
            main: tree(&page, HEADER + 72)?,
        })
    }
}

fn tree(bytes: &[u8], at: usize) -> Result<Tree, String> {
    Ok(Tree {
        depth: u16_at(bytes, at + 6)?,
        root: u64_at(bytes, at + 40)?,
        counts: Counts {
            branch: u64_at(bytes, at + 8)?,
            leaf: u64_at(bytes, at + 16)?,
            overflow: u64_at(bytes, at + 24)?,
            entries: u64_at(bytes, at + 32)?,
        },
    })
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], String> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk::<N>());
    found.copied().ok_or_else(|| format!("it ends at byte {} where {at} is wanted", bytes.len()))
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Result<u16, String> {
    bytes_at(bytes, at).map(u16::from_le_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Result<u32, String> {
    bytes_at(bytes, at).map(u32::from_le_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Result<u64, String> {
    bytes_at(bytes, at).map(u64::from_le_bytes)
}

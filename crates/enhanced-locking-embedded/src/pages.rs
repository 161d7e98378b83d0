//! A look at the pages of a data file before it is mapped. Owns the check that LMDB itself does not make.
//!
//! LMDB believes every page number and offset it reads, so that one flipped bit can read or overwrite the wrong
//! page, or end the process. This walks both trees from the newest meta page with every bound checked: each page
//! is inside the file, of the right kind, reached once, and in no free list, and the counts are those the meta
//! page claims. Records have checksums of their own (`record`).
//!
//! Layout (LMDB data version 1, 64 bit, little endian): a page begins with its number (u64), a pad, its flags
//! (u16), and either the bounds of its free space (2 × u16) or its count of overflow pages (u32).

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::OpenError;

const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const OVERFLOW: u16 = 0x04;
const META: u16 = 0x08;
/// A leaf node whose data is on overflow pages.
const BIG_DATA: u16 = 0x01;
const HEADER: usize = 16;
const MAGIC: u32 = 0xBEEF_C0DE;
/// No tree.
const EMPTY: u64 = u64::MAX;
/// Deeper trees than LMDB itself can walk.
const MAX_DEPTH: u16 = 32;

/// Checks a data file. Returns the bytes it uses; 0 if there is none yet.
///
/// # Errors
/// [`OpenError::Damaged`] with the first thing that is wrong, or what the system said.
pub(crate) fn verify(path: &Path) -> Result<u64, OpenError> {
    let reading = |e| OpenError::io("reading", path, e);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(reading(e)),
    };
    let length = file.metadata().map_err(reading)?.len();
    if length == 0 {
        return Ok(0);
    }
    Walk::new(&file, length)
        .and_then(|mut walk| walk.all())
        .map_err(|found| OpenError::Damaged { file: path.to_owned(), found })
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    branch: u64,
    leaf: u64,
    overflow: u64,
    entries: u64,
}

/// One of the two trees, as the meta page describes it.
#[derive(Clone, Copy, Debug)]
struct Tree {
    depth: u16,
    root: u64,
    counts: Counts,
}

struct Walk<'a> {
    file: &'a File,
    page_size: usize,
    /// Whole pages in the file.
    pages: u64,
    last_page: u64,
    free: Tree,
    main: Tree,
    /// One bit for every page reached.
    reached: Vec<u64>,
    freed: Vec<u64>,
}

impl<'a> Walk<'a> {
    fn new(file: &'a File, length: u64) -> Result<Self, String> {
        let mut head = [0; HEADER + 152];
        let mut page_size = 0;
        let mut newest: Option<(u64, u64, Tree, Tree)> = None;
        for index in 0..2u64 {
            let at = index * page_size as u64;
            file.read_exact_at(&mut head, at).map_err(|_| format!("it ends within meta page {index}"))?;
            if u16_at(&head, 10)? & META == 0 || u32_at(&head, HEADER)? != MAGIC {
                return Err(format!("page {index} is not the meta page of an LMDB file"));
            }
            if u32_at(&head, HEADER + 4)? != 1 {
                return Err(format!("meta page {index} has another data version"));
            }
            let size = u32_at(&head, HEADER + 24)? as usize;
            if !(512..=65_536).contains(&size) || !size.is_power_of_two() || (index == 1 && size != page_size)
            {
                return Err(format!("meta page {index} claims pages of {size} bytes"));
            }
            page_size = size;
            let meta = (
                u64_at(&head, HEADER + 128)?,
                u64_at(&head, HEADER + 120)?,
                tree(&head, HEADER + 24)?,
                tree(&head, HEADER + 72)?,
            );
            if newest.is_none_or(|(transaction, ..)| transaction < meta.0) {
                newest = Some(meta);
            }
        }
        let (_, last_page, free, main) = newest.ok_or("it has no meta page")?;
        let pages = length / page_size as u64;
        let reached = vec![0; usize::try_from(pages / 64 + 1).map_err(|_| "it is too large")?];
        Ok(Self { file, page_size, pages, last_page, free, main, reached, freed: Vec::new() })
    }

    fn all(&mut self) -> Result<u64, String> {
        for page in 0..2 {
            self.reach(page)?;
        }
        for (name, tree) in [("free list", self.free), ("main tree", self.main)] {
            let mut counts = Counts::default();
            if tree.root != EMPTY {
                self.page(tree.root, tree.depth, name == "free list", &mut counts)
                    .map_err(|found| format!("{name}: {found}"))?;
            }
            if counts != tree.counts {
                return Err(format!("{name}: has {counts:?}, and {:?} by the meta page", tree.counts));
            }
        }
        for page in std::mem::take(&mut self.freed) {
            if page > self.last_page {
                return Err(format!("free list: page {page} is beyond the last page {}", self.last_page));
            }
            // The file may end before pages that are free.
            if page < self.pages {
                self.reach(page).map_err(|_| format!("free list: page {page} is free and in use"))?;
            }
        }
        Ok((self.last_page + 1).saturating_mul(self.page_size as u64))
    }

    /// Walks a page and everything below it. `depth` is how many levels there are, this one included.
    fn page(
        &mut self,
        number: u64,
        depth: u16,
        is_free_list: bool,
        counts: &mut Counts,
    ) -> Result<(), String> {
        if depth == 0 || depth > MAX_DEPTH {
            return Err(format!("page {number} is at depth {depth}"));
        }
        let page = self.read(number)?;
        let wanted = if depth == 1 { LEAF } else { BRANCH };
        let flags = u16_at(&page, 10)? & !0x10;
        if flags != wanted {
            return Err(format!("page {number} has flags {flags:#x} instead of {wanted:#x}"));
        }
        let lower = usize::from(u16_at(&page, 12)?);
        let upper = usize::from(u16_at(&page, 14)?);
        if lower < HEADER || lower > upper || upper > self.page_size || lower % 2 != 0 {
            return Err(format!("page {number} has free space from {lower} to {upper}"));
        }
        if depth == 1 {
            counts.leaf += 1
        } else {
            counts.branch += 1
        }
        let mut before: Option<&[u8]> = None;
        for index in 0..(lower - HEADER) / 2 {
            let bad = |what: &str| format!("page {number}, node {index}: {what}");
            let node = usize::from(u16_at(&page, HEADER + 2 * index)?);
            if node < upper || node + 8 > self.page_size {
                return Err(bad("its offset is out of bounds"));
            }
            let (low, high) = (u16_at(&page, node)?, u16_at(&page, node + 2)?);
            let (flags, key_size) = (u16_at(&page, node + 4)?, usize::from(u16_at(&page, node + 6)?));
            let key =
                page.get(node + 8..node + 8 + key_size).ok_or_else(|| bad("its key is out of bounds"))?;
            // The first key of a branch page is not used; a free list sorts by number.
            if !is_free_list && (depth == 1 || index > 0) {
                if before.is_some_and(|before| before >= key) {
                    return Err(bad("it is out of order"));
                }
                before = Some(key);
            }
            if depth > 1 {
                let child = u64::from(low) | u64::from(high) << 16 | u64::from(flags) << 32;
                self.page(child, depth - 1, is_free_list, counts)?;
                continue;
            }
            counts.entries += 1;
            let size = usize::from(low) | usize::from(high) << 16;
            let at = node + 8 + key_size;
            match flags {
                0 => {
                    let data = page.get(at..at + size).ok_or_else(|| bad("its data is out of bounds"))?;
                    self.note_free(is_free_list, data)?;
                }
                BIG_DATA => {
                    let data = self.overflow(u64_at(&page, at)?, size, counts)?;
                    self.note_free(is_free_list, &data)?;
                }
                flags => return Err(bad(&format!("it has flags {flags:#x}"))),
            }
        }
        Ok(())
    }

    fn overflow(&mut self, number: u64, size: usize, counts: &mut Counts) -> Result<Vec<u8>, String> {
        let first = self.read(number)?;
        let run = u64::from(u32_at(&first, 12)?);
        if u16_at(&first, 10)? & !0x10 != OVERFLOW {
            return Err(format!("page {number} is no overflow page"));
        }
        if (HEADER + size).div_ceil(self.page_size) as u64 != run || number + run > self.pages {
            return Err(format!("overflow page {number} has a run of {run} for {size} bytes"));
        }
        for page in number + 1..number + run {
            self.reach(page)?;
        }
        counts.overflow += run;
        let mut data = vec![0; size];
        let at = number * self.page_size as u64 + HEADER as u64;
        self.file.read_exact_at(&mut data, at).map_err(|e| format!("page {number} cannot be read: {e}"))?;
        Ok(data)
    }

    /// Notes the pages a record of the free list names: a count, then their numbers.
    fn note_free(&mut self, is_free_list: bool, data: &[u8]) -> Result<(), String> {
        if !is_free_list {
            return Ok(());
        }
        let count = usize::try_from(u64_at(data, 0)?).unwrap_or(usize::MAX);
        if count.checked_add(1).and_then(|n| n.checked_mul(8)).is_none_or(|bytes| bytes > data.len()) {
            return Err(format!("a record names {count} pages in {} bytes", data.len()));
        }
        for index in 1..=count {
            self.freed.push(u64_at(data, 8 * index)?);
        }
        Ok(())
    }

    fn read(&mut self, number: u64) -> Result<Vec<u8>, String> {
        self.reach(number)?;
        let mut page = vec![0; self.page_size];
        let at = number * self.page_size as u64;
        self.file.read_exact_at(&mut page, at).map_err(|e| format!("page {number} cannot be read: {e}"))?;
        match u64_at(&page, 0)? {
            own if own == number => Ok(page),
            own => Err(format!("page {number} says it is page {own}")),
        }
    }

    /// Notes that a page is in use, which it may be once.
    fn reach(&mut self, number: u64) -> Result<(), String> {
        if number >= self.pages || number > self.last_page {
            return Err(format!("page {number} is missing: the file has {} pages", self.pages));
        }
        let index = usize::try_from(number / 64).map_err(|_| "it is too large")?;
        let word = self.reached.get_mut(index).ok_or("it is too large")?;
        let bit = 1 << (number % 64);
        if *word & bit != 0 {
            return Err(format!("page {number} is used twice"));
        }
        *word |= bit;
        Ok(())
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

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, String> {
    bytes_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, String> {
    bytes_at(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64, String> {
    bytes_at(bytes, at).map(u64::from_le_bytes)
}

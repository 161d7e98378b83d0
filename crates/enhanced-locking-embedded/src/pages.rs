//! A look at the pages of a data file before it is mapped. Owns the check that LMDB itself does not make.
//!
//! LMDB believes every page number and offset it reads, so that one flipped bit can read or overwrite the wrong
//! page, or end the process. This walks both trees from the newest meta page with every bound checked: each page is
//! in the file, of the right kind, and either in one tree or free, once; each node has its own bytes, and a key where
//! a search would look for it; the counts are those the meta page claims. Then it compares the seals (`log`) of
//! the newest state and of the one before, so that an old meta page is not taken for the newest. Records have
//! checksums of their own (`record`).
//!
//! Layout (LMDB data version 1, 64 bit, little endian): a page begins with its number (u64), a pad, its flags
//! (u16), and either the bounds of its free space (2 × u16) or its count of overflow pages (u32).

use std::cmp::Ordering;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::OpenError;
use crate::log::Seal;
use crate::meta::{Counts, EMPTY, HEADER, Meta, Tree, u16_at, u32_at, u64_at};

const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const OVERFLOW: u16 = 0x04;
/// A leaf node whose data is on overflow pages.
const BIG_DATA: u16 = 0x01;
/// Before the key of a node.
const NODE: usize = 8;
/// Deeper trees than LMDB itself can walk.
const MAX_DEPTH: u16 = 32;

/// Checks a data file. Returns the bytes it uses.
///
/// # Errors
/// [`OpenError::Damaged`] with the first thing that is wrong, or what the system said.
pub(crate) fn verify(path: &Path) -> Result<u64, OpenError> {
    let reading = |e| OpenError::io("reading", path, e);
    let damaged = |found| OpenError::Damaged { file: path.to_owned(), found };
    // Not by opening it: that would wait for the other end of a pipe.
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == ErrorKind::NotFound => return Err(damaged("it leads nowhere".to_owned())),
        Err(e) => return Err(reading(e)),
    };
    if !metadata.is_file() {
        return Err(damaged("it is not a file".to_owned()));
    }
    let file = File::open(path).map_err(reading)?;
    Walk::new(&file, metadata.len()).and_then(|mut walk| walk.all()).map_err(damaged)
}

struct Walk<'a> {
    file: &'a File,
    newest: Meta,
    before: Meta,
    /// Whole pages in the file.
    pages: u64,
    /// One bit for every page reached.
    reached: Vec<u64>,
    /// How many were reached.
    count: u64,
    /// What the free list names.
    freed: Vec<u64>,
}

/// The keys a page may have: from the first one on, below the second one.
type Bounds<'k> = (Option<&'k [u8]>, Option<&'k [u8]>);

impl<'a> Walk<'a> {
    fn new(file: &'a File, length: u64) -> Result<Self, String> {
        let (newest, before) = Meta::read_both(file)?;
        let pages = length / newest.page_size as u64;
        let reached = vec![0; usize::try_from(pages / 64 + 1).map_err(|_| "it is too large")?];
        Ok(Self { file, newest, before, pages, reached, count: 0, freed: Vec::new() })
    }

    fn all(&mut self) -> Result<u64, String> {
        for page in 0..2 {
            self.reach(page)?;
        }
        for (name, tree) in [("free list", self.newest.free), ("main tree", self.newest.main)] {
            let mut counts = Counts::default();
            if tree.root != EMPTY {
                self.page(tree.root, tree.depth, name == "free list", (None, None), &mut counts)
                    .map_err(|found| format!("{name}: {found}"))?;
            }
            if counts != tree.counts {
                return Err(format!("{name}: has {counts:?}, and {:?} by the meta page", tree.counts));
            }
        }
        self.all_free()?;
        let newest = self.seal(&self.newest.main)?.ok_or("it has no seal")?;
        let before = self.seal(&self.before.main).map_err(|found| format!("the state before: {found}"))?;
        // The state before is whole as long as no later transaction has been committed.
        if before.is_some_and(|before| before >= newest) {
            return Err(format!("commit {before:?} is older than {newest}, and not by the meta pages"));
        }
        Ok((self.newest.last_page + 1).saturating_mul(self.newest.page_size as u64))
    }

    /// Checks that every page that no tree has is free, once, and no other.
    fn all_free(&mut self) -> Result<(), String> {
        let last = self.newest.last_page;
        let mut freed = std::mem::take(&mut self.freed);
        freed.sort_unstable();
        if let Some(twice) = freed.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("free list: page {} is free twice", twice[0]));
        }
        if let Some(page) = freed.last().filter(|page| **page > last) {
            return Err(format!("free list: page {page} is beyond the last page {last}"));
        }
        for page in freed {
            // The file may end before pages that are free.
            if page < self.pages {
                self.reach(page).map_err(|_| format!("free list: page {page} is free and in use"))?;
            } else {
                self.count += 1;
            }
        }
        if last.checked_add(1) != Some(self.count) {
            return Err(format!("{} pages are in use or free, and the last one is page {last}", self.count));
        }
        Ok(())
    }

    /// Walks a page and everything below it. `depth` is how many levels there are, this one included.
    fn page(
        &mut self,
        number: u64,
        depth: u16,
        is_free_list: bool,
        bounds: Bounds<'_>,
        counts: &mut Counts,
    ) -> Result<(), String> {
        self.reach(number)?;
        let page = Page::read(self.file, self.newest.page_size, number, depth)?;
        if depth == 1 {
            counts.leaf += 1;
        } else {
            counts.branch += 1;
        }
        let nodes = (0..page.nodes).map(|index| page.node(index)).collect::<Result<Vec<_>, _>>()?;
        let used: usize = nodes.iter().map(|node| node.length.next_multiple_of(2)).sum();
        if nodes.is_empty() || used != self.newest.page_size - page.upper {
            return Err(format!(
                "page {number} has {used} bytes of nodes and its free space ends at {}",
                page.upper
            ));
        }
        for (index, node) in nodes.iter().enumerate() {
            let bad = |what: &str| format!("page {number}, node {index}: {what}");
            // The first key of a branch page is not used: it is the bound of the page.
            let low = if depth > 1 && index == 0 { bounds.0 } else { Some(node.key) };
            let next = nodes.get(index + 1).map_or(bounds.1, |next| Some(next.key));
            let fits = |low, high| match (low, high) {
                (Some(low), Some(high)) => order(is_free_list, low, high) == Ordering::Less,
                _ => true,
            };
            let starts = match (bounds.0, low) {
                (Some(bound), Some(low)) => order(is_free_list, bound, low) != Ordering::Greater,
                _ => true,
            };
            if !starts || !fits(low, next) {
                return Err(bad("it is out of order"));
            }
            if depth > 1 {
                self.page(node.child(), depth - 1, is_free_list, (low, next), counts)?;
                continue;
            }
            counts.entries += 1;
            match node.data {
                Data::Here(data) => self.note_free(is_free_list, node.key, data),
                Data::Overflow { page, size } => {
                    let data = self.overflow(page, size, counts)?;
                    self.note_free(is_free_list, node.key, &data)
                }
            }
            .map_err(|found| bad(&found))?;
        }
        Ok(())
    }

    fn overflow(&mut self, number: u64, size: usize, counts: &mut Counts) -> Result<Vec<u8>, String> {
        let page_size = self.newest.page_size;
        self.reach(number)?;
        let first = read_page(self.file, page_size, number)?;
        let run = u64::from(u32_at(&first, 12)?);
        if u16_at(&first, 10)? != OVERFLOW {
            return Err(format!("page {number} is no overflow page"));
        }
        if (HEADER + size).div_ceil(page_size) as u64 != run || number + run > self.pages {
            return Err(format!("overflow page {number} has a run of {run} for {size} bytes"));
        }
        for page in number + 1..number + run {
            self.reach(page)?;
        }
        counts.overflow += run;
        let mut data = vec![0; size];
        let at = number * page_size as u64 + HEADER as u64;
        self.file.read_exact_at(&mut data, at).map_err(|e| format!("page {number} cannot be read: {e}"))?;
        Ok(data)
    }

    /// Notes the pages a record of the free list names: a count, then their numbers, falling. Its key is the
    /// transaction that freed them.
    fn note_free(&mut self, is_free_list: bool, key: &[u8], data: &[u8]) -> Result<(), String> {
        if !is_free_list {
            return Ok(());
        }
        let transaction = u64_at(key, 0)?;
        if key.len() != 8 || !(1..=self.newest.transaction).contains(&transaction) {
            return Err(format!("it is of transaction {transaction}"));
        }
        let count = usize::try_from(u64_at(data, 0)?).unwrap_or(usize::MAX);
        if count.checked_add(1).and_then(|n| n.checked_mul(8)).is_none_or(|bytes| bytes > data.len()) {
            return Err(format!("it names {count} pages in {} bytes", data.len()));
        }
        let mut before = u64::MAX;
        for index in 1..=count {
            let page = u64_at(data, 8 * index)?;
            if page >= before {
                return Err("its pages are out of order".to_owned());
            }
            before = page;
            self.freed.push(page);
        }
        Ok(())
    }

    /// The number in the seal of a tree: its last record. `None` if the tree is empty.
    fn seal(&self, tree: &Tree) -> Result<Option<u64>, String> {
        if tree.root == EMPTY {
            return Ok(None);
        }
        let mut number = tree.root;
        for depth in (1..=tree.depth).rev() {
            let page = Page::read(self.file, self.newest.page_size, number, depth)?;
            let last = page.node(page.nodes.checked_sub(1).ok_or("its last page is empty")?)?;
            match last.data {
                _ if depth > 1 => number = last.child(),
                Data::Here(data) if last.key == Seal::KEY => {
                    return Seal::decode(data).map(|seal| Some(seal.number));
                }
                _ => break,
            }
        }
        Err("its last record is not a seal".to_owned())
    }

    /// Notes that a page is in use, which it may be once.
    fn reach(&mut self, number: u64) -> Result<(), String> {
        if number >= self.pages || number > self.newest.last_page {
            return Err(format!("page {number} is missing: the file has {} pages", self.pages));
        }
        let index = usize::try_from(number / 64).map_err(|_| "it is too large")?;
        let word = self.reached.get_mut(index).ok_or("it is too large")?;
        let bit = 1 << (number % 64);
        if *word & bit != 0 {
            return Err(format!("page {number} is used twice"));
        }
        *word |= bit;
        self.count += 1;
        Ok(())
    }
}

/// A branch or leaf page.
struct Page {
    number: u64,
    bytes: Vec<u8>,
    depth: u16,
    nodes: usize,
    upper: usize,
}

struct Node<'p> {
    /// Bytes it takes in the page.
    length: usize,
    /// Its size field, or the lower bits of a child's number.
    low: u32,
    flags: u16,
    key: &'p [u8],
    data: Data<'p>,
}

enum Data<'p> {
    Here(&'p [u8]),
    Overflow { page: u64, size: usize },
}

impl Page {
    fn read(file: &File, page_size: usize, number: u64, depth: u16) -> Result<Self, String> {
        if depth == 0 || depth > MAX_DEPTH {
            return Err(format!("page {number} is at depth {depth}"));
        }
        let bytes = read_page(file, page_size, number)?;
        let (wanted, flags) = (if depth == 1 { LEAF } else { BRANCH }, u16_at(&bytes, 10)?);
        if flags != wanted {
            return Err(format!("page {number} has flags {flags:#x} instead of {wanted:#x}"));
        }
        let (lower, upper) = (usize::from(u16_at(&bytes, 12)?), usize::from(u16_at(&bytes, 14)?));
        if lower < HEADER || lower > upper || upper > page_size || lower % 2 != 0 {
            return Err(format!("page {number} has free space from {lower} to {upper}"));
        }
        Ok(Self { number, bytes, depth, nodes: (lower - HEADER) / 2, upper })
    }

    fn node(&self, index: usize) -> Result<Node<'_>, String> {
        let bad = |what: &str| format!("page {}, node {index}: {what}", self.number);
        let bytes = &self.bytes;
        let at = usize::from(u16_at(bytes, HEADER + 2 * index)?);
        if at < self.upper || at % 2 != 0 || at + NODE > bytes.len() {
            return Err(bad("its offset is out of bounds"));
        }
        let low = u32::from(u16_at(bytes, at)?) | u32::from(u16_at(bytes, at + 2)?) << 16;
        let (flags, key_size) = (u16_at(bytes, at + 4)?, usize::from(u16_at(bytes, at + 6)?));
        let key =
            bytes.get(at + NODE..at + NODE + key_size).ok_or_else(|| bad("its key is out of bounds"))?;
        let (start, size) = (at + NODE + key_size, low as usize);
        let (data, data_length) = match flags {
            _ if self.depth > 1 => (Data::Here(&[]), 0),
            0 => {
                let data = bytes.get(start..start + size).ok_or_else(|| bad("its data is out of bounds"))?;
                (Data::Here(data), size)
            }
            BIG_DATA => (Data::Overflow { page: u64_at(bytes, start)?, size }, 8),
            flags => return Err(bad(&format!("it has flags {flags:#x}"))),
        };
        Ok(Node { length: NODE + key_size + data_length, low, flags, key, data })
    }
}

impl Node<'_> {
    /// The page below a node of a branch page.
    fn child(&self) -> u64 {
        u64::from(self.low) | u64::from(self.flags) << 32
    }
}

/// Reads a page that says it is the one wanted.
fn read_page(file: &File, page_size: usize, number: u64) -> Result<Vec<u8>, String> {
    let mut page = vec![0; page_size];
    let at = number.checked_mul(page_size as u64).ok_or_else(|| format!("page {number} is missing"))?;
    file.read_exact_at(&mut page, at).map_err(|e| format!("page {number} cannot be read: {e}"))?;
    match u64_at(&page, 0)? {
        own if own == number => Ok(page),
        own => Err(format!("page {number} says it is page {own}")),
    }
}

/// The order of keys: the free list sorts by number, the main tree by bytes.
fn order(is_free_list: bool, a: &[u8], b: &[u8]) -> Ordering {
    match (a.first_chunk::<8>(), b.first_chunk::<8>()) {
        (Some(a), Some(b)) if is_free_list => u64::from_le_bytes(*a).cmp(&u64::from_le_bytes(*b)),
        _ => a.cmp(b),
    }
}

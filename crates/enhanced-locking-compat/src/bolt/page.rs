//! One page of a bolt file. Owns what is on it and what cannot be; the way from page to page is `walk`'s.

use super::error::{Damage, EntryFault, PageFault};

/// What every page begins with.
pub(super) const HEADER_BYTES: usize = 16;

/// What every entry has at the beginning of the page; its key and its value follow behind all of these.
pub(super) const ELEMENT_BYTES: usize = 16;

/// The longest key that bbolt takes.
const KEY_BYTES_MAX: usize = 32 << 10;

const BRANCH: u16 = 1;
const LEAF: u16 = 2;

/// The bytes of a file, in pages.
#[derive(Clone, Copy)]
pub(super) struct Pages<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) page_bytes: usize,
    /// The pages are those below this number.
    pub(super) count: u64,
    /// The page on which the bucket of all buckets begins.
    pub(super) root: u64,
}

/// A page that holds entries.
#[derive(Clone, Copy)]
pub(super) struct Page<'a> {
    pub(super) number: u64,
    pub(super) kind: Kind,
    pub(super) count: usize,
    /// Header included, and the pages that it overflows into.
    bytes: &'a [u8],
    /// Whether the page ends with its last entry. On others anything may follow.
    is_exact: bool,
}

/// What the entries of a page are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Pages.
    Branch,
    /// Keys with a value or a bucket.
    Leaf,
}

/// An entry of a leaf.
#[derive(Clone, Copy)]
pub(super) struct Element<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) is_bucket: bool,
}

/// Where an entry says that it is.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    value: usize,
    end: usize,
}

impl<'a> Pages<'a> {
    /// A page by its number.
    pub(super) fn page(&self, number: u64) -> Result<Page<'a>, Damage> {
        let damage = |fault| Damage::Page { page: number, fault };
        let rest = self.from(number).ok_or(damage(PageFault::Outside))?;
        let header = Header::read(rest).ok_or(damage(PageFault::Outside))?;
        if header.number != number {
            return Err(damage(PageFault::Number));
        }
        // A file may have been cut off within the page: then what is left of it is read.
        let pages = usize::try_from(header.overflow).unwrap_or(usize::MAX).saturating_add(1);
        let bytes = rest.get(..pages.saturating_mul(self.page_bytes)).unwrap_or(rest);
        Page::new(number, header, bytes, false).map_err(damage)
    }

    /// The file from a page on. The first two pages describe the file and hold no entries.
    fn from(&self, number: u64) -> Option<&'a [u8]> {
        if !(2..self.count).contains(&number) {
            return None;
        }
        self.bytes.get(usize::try_from(number).ok()?.checked_mul(self.page_bytes)?..)
    }
}

impl<'a> Page<'a> {
    /// The page inside of an entry: of a small bucket. It has the number of the page that holds it, to be found by.
    pub(super) fn inline(holder: u64, bytes: &'a [u8]) -> Result<Self, PageFault> {
        let header = Header::read(bytes).ok_or(PageFault::Outside)?;
        let page = Self::new(holder, header, bytes, true)?;
        if page.kind == Kind::Leaf { Ok(page) } else { Err(PageFault::Kind) }
    }

    fn new(number: u64, header: Header, bytes: &'a [u8], is_exact: bool) -> Result<Self, PageFault> {
        let kind = match header.flags {
            BRANCH => Kind::Branch,
            LEAF => Kind::Leaf,
            _ => return Err(PageFault::Kind),
        };
        let page = Self { number, kind, count: usize::from(header.count), bytes, is_exact };
        if page.data_start() > bytes.len() || (kind == Kind::Branch && page.count == 0) {
            return Err(PageFault::Count);
        }
        Ok(page)
    }

    /// Where the keys and values begin.
    fn data_start(&self) -> usize {
        HEADER_BYTES + self.count * ELEMENT_BYTES
    }

    /// Whether the first key is where the number of entries says: else there are more or less of them.
    pub(super) fn count_is_plausible(&self) -> bool {
        match (self.kind, self.span(0)) {
            (Kind::Branch, _) => self.branch_span(0).is_some_and(|(start, _)| start == self.data_start()),
            (Kind::Leaf, Some(first)) => first.start == self.data_start(),
            (Kind::Leaf, None) => {
                self.count == 0 && (!self.is_exact || self.bytes.len() == self.data_start())
            }
        }
    }

    /// The page that an entry of a branch points at.
    pub(super) fn child(&self, index: usize) -> Option<u64> {
        array(self.bytes, HEADER_BYTES + index * ELEMENT_BYTES + 8).map(u64::from_le_bytes)
    }

    /// Whether a page is where its first key belongs among those of this branch. Yes, if a key cannot be read: then
    /// something else is reported.
    pub(super) fn has_room_for(&self, index: usize, child: &Self) -> bool {
        let Some(first) = child.first_key() else { return true };
        let is_above = self.branch_key(index).is_none_or(|least| least <= first);
        is_above && self.branch_key(index + 1).is_none_or(|next| first < next)
    }

    fn first_key(&self) -> Option<&'a [u8]> {
        match self.kind {
            Kind::Branch => self.branch_key(0),
            Kind::Leaf => self.element(0).ok().map(|element| element.key),
        }
    }

    fn branch_key(&self, index: usize) -> Option<&'a [u8]> {
        let (start, end) = self.branch_span(index)?;
        self.bytes.get(start..end)
    }

    /// Where the key of an entry of a branch is.
    fn branch_span(&self, index: usize) -> Option<(usize, usize)> {
        if index >= self.count {
            return None;
        }
        let number = |at| usize::try_from(self.number_at(index, at)?).ok();
        let start = (HEADER_BYTES + index * ELEMENT_BYTES).checked_add(number(0)?)?;
        Some((start, start.checked_add(number(4)?)?))
    }

    /// An entry of a leaf.
    pub(super) fn element(&self, index: usize) -> Result<Element<'a>, EntryFault> {
        let span = self.span(index).filter(|_| self.is_in_place(index)).ok_or(EntryFault::Place)?;
        let key = self.bytes.get(span.start..span.value).ok_or(EntryFault::Place)?;
        let value = self.bytes.get(span.value..span.end).ok_or(EntryFault::Place)?;
        if !(1..=KEY_BYTES_MAX).contains(&key.len()) {
            return Err(EntryFault::KeyLength);
        }
        let is_bucket = match self.number_at(index, 0) {
            Some(0) => false,
            Some(1) => true,
            _ => return Err(EntryFault::Kind),
        };
        Ok(Element { key, value, is_bucket })
    }

    /// Whether the neighbours leave room for an entry exactly where it says that it is.
    ///
    /// It has to end where the next one starts. If it does not, the next one may be the damaged one: so it is, if it
    /// does not end where it should either, while this one starts where it should.
    fn is_in_place(&self, index: usize) -> bool {
        if index + 1 == self.count {
            return self.starts_right(index) && self.ends_right(index);
        }
        self.ends_right(index) || (self.starts_right(index) && !self.ends_right(index + 1))
    }

    fn starts_right(&self, index: usize) -> bool {
        let before = match index.checked_sub(1) {
            Some(before) => self.span(before).map(|span| span.end),
            None => Some(self.data_start()),
        };
        self.span(index).is_some_and(|span| Some(span.start) == before)
    }

    fn ends_right(&self, index: usize) -> bool {
        let Some(span) = self.span(index) else { return false };
        if index + 1 == self.count {
            return !self.is_exact || span.end == self.bytes.len();
        }
        self.span(index + 1).is_some_and(|next| next.start == span.end)
    }

    /// Where an entry says that it is; `None` if that is not on the page, or among the headers of the entries.
    fn span(&self, index: usize) -> Option<Span> {
        if index >= self.count {
            return None;
        }
        let number = |at| usize::try_from(self.number_at(index, at)?).ok();
        // The position counts from the header of the entry.
        let start = (HEADER_BYTES + index * ELEMENT_BYTES).checked_add(number(4)?)?;
        let value = start.checked_add(number(8)?)?;
        let end = value.checked_add(number(12)?)?;
        (start >= self.data_start() && end <= self.bytes.len()).then_some(Span { start, value, end })
    }

    fn number_at(&self, index: usize, at: usize) -> Option<u32> {
        array(self.bytes, HEADER_BYTES + index * ELEMENT_BYTES + at).map(u32::from_le_bytes)
    }
}

/// The beginning of a page.
struct Header {
    number: u64,
    flags: u16,
    count: u16,
    overflow: u32,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            number: u64::from_le_bytes(array(bytes, 0)?),
            flags: u16::from_le_bytes(array(bytes, 8)?),
            count: u16::from_le_bytes(array(bytes, 10)?),
            overflow: u32::from_le_bytes(array(bytes, 12)?),
        })
    }
}

/// The bytes at an offset, if there are so many.
pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRIES: [(&str, &str); 4] = [("a", "one"), ("bb", ""), ("c", "three"), ("d", "4")];

    /// A leaf as bbolt writes it, without anything behind it.
    fn leaf() -> Vec<u8> {
        let mut bytes = [3_u64.to_le_bytes().as_slice(), &[2, 0, 4, 0, 0, 0, 0, 0]].concat();
        let mut start = HEADER_BYTES + ENTRIES.len() * ELEMENT_BYTES;
        for (index, (key, value)) in ENTRIES.iter().enumerate() {
            let position = start - HEADER_BYTES - index * ELEMENT_BYTES;
            for number in [0, position, key.len(), value.len()] {
                bytes.extend(u32::try_from(number).unwrap().to_le_bytes());
            }
            start += key.len() + value.len();
        }
        bytes.extend(ENTRIES.iter().flat_map(|(key, value)| [key.as_bytes(), value.as_bytes()].concat()));
        bytes
    }

    fn read(bytes: &[u8], is_exact: bool) -> Vec<Result<String, EntryFault>> {
        let page = Page::new(3, Header::read(bytes).unwrap(), bytes, is_exact).unwrap();
        let text = |element: Element<'_>| String::from_utf8([element.key, element.value].concat()).unwrap();
        (0..page.count).map(|index| page.element(index).map(text)).collect()
    }

    fn at(index: usize, number: usize) -> usize {
        HEADER_BYTES + index * ELEMENT_BYTES + number * 4
    }

    #[test]
    fn entries_are_read_in_order() {
        let want = ["aone", "bb", "cthree", "d4"].map(|text| Ok(text.to_owned()));
        assert_eq!(read(&leaf(), true), want);
        assert_eq!(read(&[leaf(), vec![7; 99]].concat(), false), want);
    }

    #[test]
    fn a_wrong_number_costs_its_entry_and_no_piece_of_another_is_shown() {
        let whole = read(&leaf(), true);
        let last = ENTRIES.len() - 1;
        for (index, number, is_exact) in (0..=last * 6 + 5).map(|i| (i / 6, i % 3 + 1, i / 3 % 2 == 0)) {
            for wrong in [1, 2, 4, 0x40] {
                let mut bytes = leaf();
                bytes[at(index, number)] ^= wrong;
                bytes.resize(if is_exact { bytes.len() } else { 512 }, 0);
                for (other, (got, want)) in read(&bytes, is_exact).iter().zip(&whole).enumerate() {
                    // Behind the last one may be anything, unless the page ends there: then its lengths are believed.
                    let believed = !is_exact && index == last && number > 1;
                    match (got, other == index) {
                        (Ok(_), true) => assert!(believed, "{index} {number} {wrong} {is_exact}"),
                        // Nobody can tell which one of the last two is wrong.
                        (Err(_), false) => {
                            assert!(index + 1 >= last && other + 1 >= last, "{index} {number} {other}")
                        }
                        (Ok(_), false) => assert_eq!(got, want),
                        (Err(_), true) => {}
                    }
                }
            }
        }
    }

    #[test]
    fn a_wrong_number_of_entries_shows() {
        for count in [0, 1, 2, 3, 5] {
            let mut bytes = [leaf(), vec![0; 99]].concat();
            bytes[10] = count;
            assert!(!Page::inline(3, &bytes).unwrap().count_is_plausible(), "{count}");
        }
        assert!(Page::inline(3, &leaf()).unwrap().count_is_plausible());
        let mut bytes = leaf();
        bytes[10] = 32;
        assert_eq!(Page::inline(3, &bytes).err(), Some(PageFault::Count));
    }

    #[test]
    fn kinds_that_there_are_not_are_refused() {
        for (flags, want) in
            [(0, PageFault::Kind), (1, PageFault::Kind), (3, PageFault::Kind), (4, PageFault::Kind)]
        {
            let mut bytes = leaf();
            bytes[8] = flags;
            assert_eq!(Page::inline(3, &bytes).err(), Some(want), "{flags}");
        }
        let mut bytes = leaf();
        bytes[at(2, 0)] = 2;
        assert_eq!(read(&bytes, true)[2], Err(EntryFault::Kind));
        assert_eq!(Page::inline(3, &bytes[..15]).err(), Some(PageFault::Outside));
    }

    #[test]
    fn pages_are_found_by_their_number() {
        let bytes = [vec![0; 512 * 3], leaf(), vec![0; 512]].concat();
        let pages = Pages { bytes: &bytes, page_bytes: 512, count: 4, root: 3 };
        assert_eq!(pages.page(3).map(|page| page.count), Ok(4));
        for (number, fault) in [
            (0, PageFault::Outside),
            (1, PageFault::Outside),
            (2, PageFault::Number),
            (4, PageFault::Outside),
            (u64::MAX, PageFault::Outside),
        ] {
            assert_eq!(pages.page(number).err(), Some(Damage::Page { page: number, fault }));
        }
        let behind_the_file = Pages { count: 9, ..pages };
        assert_eq!(behind_the_file.page(5).err(), Some(Damage::Page { page: 5, fault: PageFault::Outside }));
    }
}

//! The way through the pages of a bucket. Owns that every page is met once at most and that the walk ends; what is on a
//! page is `page`'s.

use std::collections::{HashSet, VecDeque};

use super::error::{Damage, EntryFault, PageFault, shown_key};
use super::page::{ELEMENT_BYTES, Element, HEADER_BYTES, Kind, Page, Pages, array};

/// Pages above each other, those of buckets inside of buckets included. A file of the largest size has six.
const DEPTH_MAX: usize = 64;

/// An entry of a bucket.
///
/// `Debug` shows no value: there may be a token in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The buckets inside of the one that was asked for in which it is; for Atlantis' own entries there are none.
    pub path: Vec<&'a [u8]>,
    /// The key.
    pub key: &'a [u8],
    /// The value; `None` if this is a bucket, whose entries follow.
    pub value: Option<&'a [u8]>,
    /// The value, or what stands for it if this is a bucket.
    content: &'a [u8],
    page: u64,
    index: usize,
}

/// All entries of a bucket in the order of their keys, those of buckets inside of it included.
///
/// What cannot be read is among them as [`Damage`]; the walk goes on behind it.
pub struct Entries<'a> {
    pages: Pages<'a>,
    frames: Vec<Frame<'a>>,
    path: Vec<&'a [u8]>,
    met: HashSet<u64>,
    /// Reported before anything else.
    damages: VecDeque<Damage>,
    read_bytes: u64,
    /// Whether buckets inside of the bucket are entered.
    enters: bool,
}

/// A page, and how far it was read.
struct Frame<'a> {
    page: Page<'a>,
    next: usize,
    /// Whether the path gets shorter at its end.
    ends_bucket: bool,
}

/// What a bucket's entry says about it: the value begins with where its pages are.
#[derive(Clone, Copy)]
pub(super) enum Bucket<'a> {
    /// On pages of its own.
    Root(u64),
    /// In the entry itself, which is on this page.
    Inline(u64, &'a [u8]),
}

impl<'a> Bucket<'a> {
    /// The length of the part in front of an inline page: the root's number and a sequence that Atlantis does not use.
    const HEAD_BYTES: usize = 16;

    pub(super) fn of(entry: &Entry<'a>) -> Result<Self, Damage> {
        if entry.value.is_some() {
            return Err(entry.damage(EntryFault::UnexpectedValue));
        }
        let inline = entry.content.get(Self::HEAD_BYTES..);
        match (array(entry.content, 0).map(u64::from_le_bytes), inline) {
            (Some(0), Some(inline)) => Ok(Self::Inline(entry.page, inline)),
            (Some(root), Some(_)) => Ok(Self::Root(root)),
            _ => Err(entry.damage(EntryFault::Bucket)),
        }
    }
}

impl<'a> Entries<'a> {
    /// How many times the file a walk reads at most. A sound file is read once; more means that pages overlap.
    pub const READ_MAX_FACTOR: u64 = 4;

    /// How many buckets may be inside each other. Atlantis has none inside of its own.
    pub const NESTING_MAX: usize = 8;

    /// A walk through a bucket that begins with damage already found.
    pub(super) fn new(
        pages: Pages<'a>,
        bucket: Option<Bucket<'a>>,
        damages: Vec<Damage>,
        enters: bool,
    ) -> Self {
        let (frames, path, met) = (Vec::new(), Vec::new(), HashSet::new());
        let mut entries = Self { pages, frames, path, met, damages: damages.into(), read_bytes: 0, enters };
        if let Some(bucket) = bucket {
            entries.enter_bucket(bucket, false);
        }
        entries
    }

    fn read_bytes_max(&self) -> u64 {
        u64::try_from(self.pages.bytes.len()).unwrap_or(u64::MAX).saturating_mul(Self::READ_MAX_FACTOR)
    }

    /// Counts what was read; whether it is still less than allowed.
    fn read(&mut self, bytes: usize) -> bool {
        self.read_bytes = self.read_bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.read_bytes <= self.read_bytes_max()
    }

    /// Goes on with a page; whatever is wrong with it is reported next.
    fn enter(&mut self, page: Result<Page<'a>, Damage>, ends_bucket: bool) {
        let page = page.and_then(|page| match self.frames.len() {
            ..DEPTH_MAX => Ok(page),
            _ => Err(Damage::Page { page: page.number, fault: PageFault::TooDeep }),
        });
        match page {
            Ok(page) => {
                if !page.count_is_plausible() {
                    self.damages.push_back(Damage::Page { page: page.number, fault: PageFault::Count });
                }
                self.frames.push(Frame { page, next: 0, ends_bucket });
            }
            Err(damage) => {
                self.damages.push_back(damage);
                if ends_bucket {
                    self.path.pop();
                }
            }
        }
    }

    fn enter_page(&mut self, number: u64, ends_bucket: bool) {
        let damage = |fault| Damage::Page { page: number, fault };
        let page =
            if self.met.insert(number) { self.pages.page(number) } else { Err(damage(PageFault::Twice)) };
        if let Ok(page) = &page {
            // A bucket without entries is inline, so that only the bucket of all buckets has a page without any.
            if page.count == 0 && number != self.pages.root {
                self.damages.push_back(damage(PageFault::Count));
            }
            let above = self.frames.last().filter(|above| above.page.kind == Kind::Branch);
            if above.is_some_and(|above| !above.page.has_room_for(above.next - 1, page)) {
                self.damages.push_back(damage(PageFault::Keys));
            }
        }
        self.enter(page, ends_bucket);
    }

    fn enter_bucket(&mut self, bucket: Bucket<'a>, ends_bucket: bool) {
        match bucket {
            Bucket::Root(number) => self.enter_page(number, ends_bucket),
            Bucket::Inline(holder, bytes) => {
                let page = Page::inline(holder, bytes).map_err(|fault| Damage::Page { page: holder, fault });
                self.enter(page, ends_bucket);
            }
        }
    }

    /// An entry of a leaf, and the way into it if it is a bucket.
    fn found(&mut self, page: u64, index: usize, element: Element<'a>) -> Entry<'a> {
        let Element { key, value: content, is_bucket } = element;
        let value = (!is_bucket).then_some(content);
        let entry = Entry { path: self.path.clone(), key, value, content, page, index };
        if !is_bucket || !self.enters {
            return entry;
        }
        if self.path.len() >= Self::NESTING_MAX {
            self.damages.push_back(entry.damage(EntryFault::TooDeep));
            return entry;
        }
        match Bucket::of(&entry) {
            Ok(bucket) => {
                self.path.push(key);
                self.enter_bucket(bucket, true);
            }
            Err(damage) => self.damages.push_back(damage),
        }
        entry
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(damage) = self.damages.pop_front() {
                return Some(Err(damage));
            }
            let frame = self.frames.last_mut()?;
            if frame.next >= frame.page.count {
                if frame.ends_bucket {
                    self.path.pop();
                }
                self.frames.pop();
                continue;
            }
            let (page, index) = (frame.page, frame.next);
            frame.next += 1;
            let read = match page.kind {
                Kind::Branch => {
                    if let Some(child) = page.child(index) {
                        self.enter_page(child, false);
                    }
                    HEADER_BYTES + ELEMENT_BYTES
                }
                Kind::Leaf => match page.element(index) {
                    Ok(element) => {
                        let entry = self.found(page.number, index, element);
                        if self.read(ELEMENT_BYTES + entry.key.len() + entry.content.len()) {
                            return Some(Ok(entry));
                        }
                        0
                    }
                    Err(fault) => {
                        self.damages.push_back(Damage::Entry { page: page.number, index, fault });
                        ELEMENT_BYTES
                    }
                },
            };
            if !self.read(read) {
                self.frames.clear();
                self.damages = [Damage::Overlap { max: self.read_bytes_max() }].into();
            }
        }
    }
}

impl std::iter::FusedIterator for Entries<'_> {}

impl Entry<'_> {
    /// Says where the entry is, if something is wrong with it.
    pub(super) fn damage(&self, fault: EntryFault) -> Damage {
        Damage::Entry { page: self.page, index: self.index, fault }
    }
}

impl std::fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path: Vec<_> = self.path.iter().map(|name| shown_key(name)).collect();
        f.debug_struct("Entry")
            .field("path", &path)
            .field("key", &shown_key(self.key))
            .field("value_bytes", &self.value.map(<[u8]>::len))
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Entries<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let depth = self.frames.len();
        f.debug_struct("Entries")
            .field("depth", &depth)
            .field("pages", &self.met.len())
            .finish_non_exhaustive()
    }
}

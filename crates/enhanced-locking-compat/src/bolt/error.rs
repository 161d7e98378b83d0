//! Why a bolt file, or a part of it, cannot be read. Owns the messages: no value is quoted in them, and a key only if it
//! looks like one.

use std::path::PathBuf;

use crate::record::RecordError;

/// Nothing can be read from the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BoltError {
    /// It cannot be opened.
    #[error("{} cannot be opened; name the file atlantis.db in the data directory of Atlantis, readable for this user", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A directory, a device, a pipe.
    #[error("{} is not a file; name the file atlantis.db in the data directory of Atlantis", path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// Somebody has it open: Atlantis, as long as it runs.
    #[error("{} is in use, so Atlantis still runs; stop it, or read a copy made while it was stopped", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file system has no locks, so that nobody knows whether Atlantis runs.
    #[error("{} cannot be locked where it is; stop Atlantis, copy the file to a local disk and read the copy", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Reading failed.
    #[error("{} cannot be read; copy it to another disk and read the copy, or restore a backup", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// More than is read.
    #[error(
        "the file has more than {max} bytes; compact it with `bbolt compact` and read the copy that this makes"
    )]
    TooLong {
        /// The most that is read, in bytes.
        max: u64,
    },
    /// There is nothing.
    #[error("the file is empty; no Atlantis ever wrote to it, look for another atlantis.db")]
    Empty,
    /// Another format, or not one page of it is there.
    #[error(
        "the file is not a bolt file, or its first pages are overwritten; check its name, or restore a backup"
    )]
    NotBolt,
    /// Another version of the format.
    #[error(
        "the file has version {found} of the bolt format, only 2 is read; check whether another program wrote it"
    )]
    Version {
        /// Its version.
        found: u32,
    },
    /// Both pages that describe the file are damaged.
    #[error(
        "both pages that describe the file are damaged, Atlantis cannot open it either; restore a backup"
    )]
    Meta,
    /// Pages have a size that bbolt does not use.
    #[error("the file has pages of {found} bytes, which no system has; restore a backup")]
    PageSize {
        /// The size that is written down, in bytes.
        found: u32,
    },
    /// The bucket that was asked for is not there.
    #[error(
        "the file has no bucket {name}; if it is another program's, look for the atlantis.db of Atlantis"
    )]
    NoBucket {
        /// Its name.
        name: String,
    },
}

/// A part of the file that cannot be read. Whatever else is there is read all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// A page, and what is on it and below it.
    #[error("page {page} {fault}; look into a backup for what is missing")]
    Page {
        /// Its number.
        page: u64,
        /// What is wrong with it.
        fault: PageFault,
    },
    /// An entry of a page.
    #[error("entry {index} of page {page} {fault}; look into a backup for it")]
    Entry {
        /// The number of the page.
        page: u64,
        /// Where on the page, from 0.
        index: usize,
        /// What is wrong with it.
        fault: EntryFault,
    },
    /// The value of a key is not a record.
    #[error("the value of {key} in bucket {bucket} is not a record")]
    Record {
        /// The bucket.
        bucket: &'static str,
        /// The key, or its length if it does not look like one.
        key: String,
        /// Why.
        source: RecordError,
    },
    /// Much more than fits into the file: pages or entries overlap.
    #[error("the pages hold more than {max} bytes, so they overlap; the rest is not read, restore a backup")]
    Overlap {
        /// How much was read, in bytes.
        max: u64,
    },
}

/// What is wrong with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageFault {
    /// Behind the end of the file, or of what the file says it has.
    #[error("is not in the file")]
    Outside,
    /// It says that it is another one.
    #[error("has the number of another page")]
    Number,
    /// Neither branch nor leaf.
    #[error("is of no kind that holds entries")]
    Kind,
    /// Its entries do not fit on it, or are not as many as it says.
    #[error("says a wrong number of entries")]
    Count,
    /// Its keys belong elsewhere: it is an old page, or one of another bucket, or the one that points at it is damaged.
    #[error("holds other keys than it should, so that some may be old or missing")]
    Keys,
    /// Two places point at it.
    #[error("is pointed at twice")]
    Twice,
    /// Too many pages above it.
    #[error("is too deep in the tree")]
    TooDeep,
}

/// What is wrong with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryFault {
    /// It is not where its neighbours leave room for it.
    #[error("is not where its neighbours leave room for it")]
    Place,
    /// Its key is empty or longer than bbolt allows.
    #[error("has a key of a length that there is not")]
    KeyLength,
    /// Neither a bucket nor a value.
    #[error("is of an unknown kind")]
    Kind,
    /// A bucket without the part that says where its entries are.
    #[error("is a bucket that is cut off")]
    Bucket,
    /// A bucket where only values belong.
    #[error("is a bucket where a value belongs")]
    UnexpectedBucket,
    /// A value where only buckets belong.
    #[error("is a value where a bucket belongs")]
    UnexpectedValue,
    /// Buckets inside each other, more than anybody needs.
    #[error("is a bucket inside of too many others")]
    TooDeep,
    /// Its key is not text.
    #[error("has a key that is not text")]
    KeyNotText,
}

/// A key for people to see. What is not like any key of Atlantis may be a piece of a damaged value, with the token in
/// it, and only its length is told.
pub(super) fn shown_key(key: &[u8]) -> String {
    let odd = |c: char| c.is_control() || matches!(c, '"' | '{' | '\u{fffd}');
    let text = String::from_utf8_lossy(key);
    if text.contains(odd) || text.contains("://") {
        return format!("a key of {} bytes", key.len());
    }
    text.into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_shown_and_pieces_of_values_are_not() {
        for key in ["acme/infra/./default/", "github.com::acme/infra::42", "ö/r/p/w/"] {
            assert_eq!(shown_key(key.as_bytes()), key);
        }
        for piece in [r#"o/r/p/w/{"Project":"#, "https:", "https://u:TOKEN@h", "a\u{0}b", "a\"b"] {
            let shown = shown_key(piece.as_bytes());
            assert!(shown == format!("a key of {} bytes", piece.len()) || piece == "https:", "{shown}");
        }
        assert_eq!(shown_key(b"\xff"), "a key of 1 bytes");
    }

    #[test]
    fn messages_say_what_to_do_next() {
        let damage = Damage::Page { page: 7, fault: PageFault::Twice };
        assert_eq!(damage.to_string(), "page 7 is pointed at twice; look into a backup for what is missing");
        let damage = Damage::Entry { page: 7, index: 0, fault: EntryFault::Place };
        assert!(damage.to_string().starts_with("entry 0 of page 7 is not where its neighbours"));
        assert!(BoltError::InUse { path: "x.db".into() }.to_string().contains("stop it"));
    }
}

//! Why a store cannot be opened. Owns messages an operator reads at night: what is wrong, where, and what to do.

use std::path::PathBuf;

use enhanced_locking_foundation::{BackendError, BackendErrorKind};

/// A store that cannot be opened, checked or copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it open.
    #[error("{} is in use by {holder}; stop that process or choose another data directory", directory.display())]
    InUse {
        /// The directory.
        directory: PathBuf,
        /// Which process, as far as known.
        holder: String,
    },
    /// A file stands where the directory should be.
    #[error("{} is a file, not a directory; choose another", path.display())]
    NotADirectory {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be written to.
    #[error("{} cannot be written to; make it writable for this user or choose another data directory", directory.display())]
    NotWritable {
        /// The directory.
        directory: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// No room left.
    #[error("{} has no room left; free some disk space and try again, nothing that was answered is lost", directory.display())]
    Full {
        /// The directory.
        directory: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// There is no store to check.
    #[error("{} has no store; name the data directory of the service", directory.display())]
    Missing {
        /// The directory.
        directory: PathBuf,
    },
    /// The data makes no sense.
    #[error(
        "{} is damaged: {found}; restore a backup into the directory, or move data.mdb and journal away to start empty (tokens keep rising: they follow the clock)",
        file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What was found, and where.
        found: String,
    },
    /// Written by a newer version of this software.
    #[error("{} was written by a newer version (schema {found}, this one knows up to {known}); upgrade, or restore a backup of that time", file.display())]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest schema known.
        known: u32,
    },
    /// The file already exists where a copy should be written.
    #[error("{} exists already; choose an empty place for the backup", file.display())]
    Exists {
        /// The file.
        file: PathBuf,
    },
    /// The system refused something else.
    #[error("{doing} {} failed", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl OpenError {
    /// The error of a system call on a path, by its cause.
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        use std::io::ErrorKind;
        let path = path.into();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Self::Full { directory: path, source }
            }
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { directory: path, source }
            }
            _ => Self::Io { doing, path, source },
        }
    }

    /// What kind of trouble it is for a caller of the running store.
    #[must_use]
    pub fn kind(&self) -> BackendErrorKind {
        match self {
            Self::Full { .. } => BackendErrorKind::Full,
            Self::Damaged { .. } | Self::Newer { .. } => BackendErrorKind::Corrupt,
            _ => BackendErrorKind::Unavailable,
        }
    }

    /// What the system said, for errors that tell it.
    pub(crate) fn into_source(self) -> Option<std::io::Error> {
        match self {
            Self::NotWritable { source, .. } | Self::Full { source, .. } | Self::Io { source, .. } => {
                Some(source)
            }
            _ => None,
        }
    }
}

impl From<OpenError> for BackendError {
    fn from(error: OpenError) -> Self {
        let told = Self::new(error.kind(), error.to_string());
        match error.into_source() {
            Some(source) => told.with_source(source),
            None => told,
        }
    }
}

//! A record with its bytes. Owns that the two belong together.

use super::command_lock::CommandLock;
use super::error::RecordError;
use super::project_lock::ProjectLock;
use super::pull_status::PullStatus;
use crate::json::EncodeError;

/// A kind of value that Atlantis stores. Only this crate has such kinds.
pub trait Record: Sized + sealed::Sealed {
    /// The longest value that is read, in bytes. A description may have any length, and hosts allow up to one MiB;
    /// a status lists all projects of its pull request.
    const BYTES_MAX: usize = 8 << 20;

    /// Reads a value as Atlantis does.
    ///
    /// # Errors
    /// [`RecordError`] if Atlantis could not read it either, or if it is beyond our limits.
    fn decode(raw: &[u8]) -> Result<Self, RecordError>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::ProjectLock {}
    impl Sealed for super::CommandLock {}
    impl Sealed for super::PullStatus {}
}

/// A record as it was stored, byte for byte, and what it says.
///
/// Whoever stores it elsewhere or hands it to Atlantis uses the bytes. They contain the token: `Debug` and serde show
/// the view, which does not.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored<T> {
    raw: Box<[u8]>,
    value: T,
}

impl<T: Record> Stored<T> {
    /// Reads a stored value.
    ///
    /// # Errors
    /// As [`Record::decode`].
    pub fn read(raw: impl Into<Box<[u8]>>) -> Result<Self, RecordError> {
        let raw = raw.into();
        Ok(Self { value: T::decode(&raw)?, raw })
    }
}

impl<T> Stored<T> {
    /// The bytes, **with the token in the clone URL**.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// What they say.
    #[must_use]
    pub fn value(&self) -> &T {
        &self.value
    }

    /// Both.
    #[must_use]
    pub fn into_parts(self) -> (Box<[u8]>, T) {
        (self.raw, self.value)
    }
}

impl Stored<ProjectLock> {
    /// A lock that is to be stored, with the bytes Atlantis would write.
    ///
    /// # Errors
    /// As [`ProjectLock::to_json`].
    pub fn write(value: ProjectLock) -> Result<Self, EncodeError> {
        Ok(Self { raw: value.to_json()?.into(), value })
    }
}

impl Stored<CommandLock> {
    /// A command lock that is to be stored, with the bytes Atlantis would write.
    ///
    /// # Errors
    /// As [`CommandLock::to_json`].
    pub fn write(value: CommandLock) -> Result<Self, EncodeError> {
        Ok(Self { raw: value.to_json()?.into(), value })
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Stored<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored").field("bytes", &self.raw.len()).field("value", &self.value).finish()
    }
}

impl<T: serde::Serialize> serde::Serialize for Stored<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::CommandName;
    use enhanced_locking_foundation::Timestamp;

    #[test]
    fn bytes_stay_as_they_were() {
        let raw = br#" { "workspace":"w", "Time":"2026-08-22T09:30:15.10Z" } "#;
        let stored = Stored::<ProjectLock>::read(raw.as_slice()).unwrap();
        assert_eq!(stored.raw(), raw);
        let (bytes, value) = stored.into_parts();
        assert_eq!((&*bytes, value.workspace.as_str()), (raw.as_slice(), "w"));
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let lock =
            Stored::<CommandLock>::write(CommandLock::new(CommandName::Apply, Timestamp::ZERO)).unwrap();
        assert_eq!(Stored::read(lock.raw()), Ok(lock));
        let lock = Stored::<ProjectLock>::write(ProjectLock::default()).unwrap();
        assert_eq!(Stored::read(lock.raw()), Ok(lock));
    }

    #[test]
    fn debug_tells_how_many_bytes_there_are_and_not_which() {
        let raw = br#"{"X":"TOKEN"}"#;
        let stored = Stored::<ProjectLock>::read(raw.as_slice()).unwrap();
        let shown = format!("{stored:?}");
        assert!(shown.starts_with("Stored { bytes: 13") && !shown.contains("TOKEN"), "{shown}");
    }
}

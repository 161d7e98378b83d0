//! The name of what is locked. Owns [`ResourceKey`]; how a project becomes a key is in `project`.

use crate::text::{check, text_newtype};

text_newtype! {
    /// The key of a resource: any UTF-8 text without control characters, at most [`ResourceKey::MAX_BYTES`] bytes.
    ///
    /// Keys are compared byte by byte. Projects have a canonical key of their own: [`ProjectKey`](crate::ProjectKey).
    ///
    /// ```
    /// use enhanced_locking_foundation::ResourceKey;
    /// assert_eq!(ResourceKey::new("prod/network")?.as_str(), "prod/network");
    /// assert!(ResourceKey::new("").is_err());
    /// # Ok::<(), enhanced_locking_foundation::ValueError>(())
    /// ```
    ResourceKey, "key", 1024, check
}

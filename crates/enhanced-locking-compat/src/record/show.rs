//! Writing records with and without their secrets. Owns the switch; the members are the records' own.

/// Whether secrets are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// What Atlantis has to read.
    Everything,
    /// What people may see.
    NoSecrets,
}

/// A record together with what may be shown of it.
pub(crate) struct Shown<'a, T>(pub(crate) &'a T, pub(crate) Show);

/// Makes serde show a record without its secrets: the default for everybody who does not ask for Atlantis' own form.
macro_rules! serialize_without_secrets {
    ($($name:ty),+) => {$(
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::record::show::Shown(self, $crate::record::show::Show::NoSecrets).serialize(serializer)
            }
        }
    )+};
}

pub(crate) use serialize_without_secrets;

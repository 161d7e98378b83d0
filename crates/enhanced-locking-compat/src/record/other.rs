//! Members that we do not know. Owns their bytes: they are carried along when a record is written again.

use serde::ser::SerializeMap;
use serde_json::value::RawValue;

use super::error::RecordError;
use super::show::Show;
use crate::json::Value;

/// Members of an object that no Atlantis known to this crate writes, in order.
///
/// Kept so that what a later Atlantis added survives when we write the record. What is in them is unknown, a token
/// perhaps: neither `Debug` nor serde shows it.
#[derive(Clone, Default)]
pub struct OtherMembers(Vec<(String, Box<RawValue>)>);

impl OtherMembers {
    /// How many members of one object are kept; more are an error.
    pub const MAX: usize = 1_000;

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    pub(crate) fn push(
        &mut self,
        member: &'static str,
        name: String,
        value: Value<'_>,
    ) -> Result<(), RecordError> {
        if self.0.len() >= Self::MAX {
            return Err(RecordError::TooManyMembers { member, max: Self::MAX });
        }
        // Checked already, so that this does not fail; broken UTF-8 becomes what Go makes of it.
        let raw = RawValue::from_string(String::from_utf8_lossy(value.raw()).into_owned())
            .map_err(|_| RecordError::NotJson { at: 0 })?;
        self.0.push((name, raw));
        Ok(())
    }

    /// Writes them behind the known members, if they may be shown.
    pub(crate) fn write<M: SerializeMap>(&self, map: &mut M, show: Show) -> Result<(), M::Error> {
        match show {
            Show::Everything => self.0.iter().try_for_each(|(name, raw)| map.serialize_entry(name, raw)),
            Show::NoSecrets => Ok(()),
        }
    }
}

impl PartialEq for OtherMembers {
    fn eq(&self, other: &Self) -> bool {
        let mine = self.0.iter().map(|(name, raw)| (name, raw.get()));
        mine.eq(other.0.iter().map(|(name, raw)| (name, raw.get())))
    }
}

impl Eq for OtherMembers {}

impl std::fmt::Debug for OtherMembers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} not shown", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{ProjectLock, Record};

    #[test]
    fn unknown_members_are_carried_along_wherever_they_are() {
        let raw = br#"{"A":1.50,"Project":{"B":[ ]},"Pull":{"C":{"x":"<"},"BaseRepo":{"D":null,"VCSHost":{"E":"e"}}},"User":{"F":true}}"#;
        let lock = ProjectLock::decode(raw).unwrap();
        assert_eq!(lock.other.names().collect::<Vec<_>>(), ["A"]);
        assert_eq!((lock.pull.base_repo.other.len(), lock.user.other.is_empty()), (1, false));
        let written = String::from_utf8(lock.to_json().unwrap()).unwrap();
        for member in
            [r#""A":1.50"#, r#""B":[ ]"#, r#""C":{"x":"<"}"#, r#""D":null"#, r#""E":"e""#, r#""F":true"#]
        {
            assert!(written.contains(member), "{member} {written}");
        }
        assert_eq!(ProjectLock::decode(written.as_bytes()), Ok(lock));
    }

    #[test]
    fn broken_characters_become_what_go_makes_of_them() {
        let lock = ProjectLock::decode(b"{\"A\":\"\xff\"}").unwrap();
        assert!(String::from_utf8(lock.to_json().unwrap()).unwrap().ends_with("\"A\":\"\u{fffd}\"}"));
    }

    #[test]
    fn there_is_a_limit_to_how_many_are_kept() {
        let object = |count: usize| {
            let members: Vec<_> = (0..count).map(|number| format!("\"x{number}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert!(ProjectLock::decode(object(OtherMembers::MAX).as_bytes()).is_ok());
        assert_eq!(
            ProjectLock::decode(object(OtherMembers::MAX + 1).as_bytes()),
            Err(RecordError::TooManyMembers { member: "the value", max: OtherMembers::MAX })
        );
    }
}

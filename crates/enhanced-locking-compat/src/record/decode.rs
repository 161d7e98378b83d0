//! Reading members as Go's decoder does. Owns the rules for each kind; which members there are is the record's own.
//!
//! Every function changes what is there only if the member says something: `null` and absence leave it alone, a second
//! member of the same name goes on where the first one ended.

use super::error::RecordError;
use super::other::OtherMembers;
use super::stored::Record;
use crate::json::{self, DEPTH_MAX, Fault, Kind, Value, fold_eq, unquote};

/// Checks a whole value.
pub(crate) fn value<R: Record>(raw: &[u8]) -> Result<Value<'_>, RecordError> {
    if raw.len() > R::BYTES_MAX {
        return Err(RecordError::TooLong { len: raw.len(), max: R::BYTES_MAX });
    }
    json::parse(raw).map_err(|fault| match fault {
        Fault::Empty => RecordError::Empty,
        Fault::Syntax { at } => RecordError::NotJson { at },
        Fault::TooDeep => RecordError::TooDeep { max: DEPTH_MAX },
    })
}

/// Reads an object: `set` gets each member by its name in `names`; others are kept in `other`, if it is given.
pub(crate) fn object<'a>(
    value: Value<'a>,
    member: &'static str,
    names: &'static [&'static str],
    mut other: Option<&mut OtherMembers>,
    mut set: impl FnMut(&'static str, Value<'a>) -> Result<(), RecordError>,
) -> Result<(), RecordError> {
    match value.kind() {
        Kind::Null => return Ok(()),
        Kind::Object => {}
        found => return Err(wrong(member, "an object", found)),
    }
    for (literal, inner) in value.members() {
        let name = unquote(literal);
        match names.iter().find(|known| fold_eq(&name, known)) {
            Some(known) => set(known, inner)?,
            None => {
                if let Some(other) = &mut other {
                    other.push(member, name, inner)?;
                }
            }
        }
    }
    Ok(())
}

pub(crate) fn text(value: Value<'_>, member: &'static str, target: &mut String) -> Result<(), RecordError> {
    match value.kind() {
        Kind::Null => {}
        Kind::Text => *target = unquote(value.raw()),
        found => return Err(wrong(member, "a text", found)),
    }
    Ok(())
}

/// A list of texts; `null` is no list, which is not the same as an empty one.
pub(crate) fn texts(
    value: Value<'_>,
    member: &'static str,
    target: &mut Option<Vec<String>>,
) -> Result<(), RecordError> {
    match value.kind() {
        Kind::Null => *target = None,
        Kind::Array => {
            let mut list = Vec::new();
            for element in value.elements() {
                let mut one = String::new();
                text(element, member, &mut one)?;
                list.push(one);
            }
            *target = Some(list);
        }
        found => return Err(wrong(member, "a list", found)),
    }
    Ok(())
}

pub(crate) fn whole(value: Value<'_>, member: &'static str, target: &mut i64) -> Result<(), RecordError> {
    match value.kind() {
        Kind::Null => return Ok(()),
        Kind::Number => {}
        found => return Err(wrong(member, "a whole number", found)),
    }
    let literal = std::str::from_utf8(value.raw()).unwrap_or_default();
    if literal.contains(['.', 'e', 'E']) {
        return Err(RecordError::NotWhole { member });
    }
    *target = literal.parse().map_err(|_| RecordError::OutOfRange { member })?;
    Ok(())
}

pub(crate) fn flag(value: Value<'_>, member: &'static str, target: &mut bool) -> Result<(), RecordError> {
    match value.kind() {
        Kind::Null => {}
        Kind::Bool(given) => *target = given,
        found => return Err(wrong(member, "true or false", found)),
    }
    Ok(())
}

pub(crate) fn wrong(member: &'static str, wanted: &'static str, found: Kind) -> RecordError {
    let found = match found {
        Kind::Null => "null",
        Kind::Bool(_) => "true or false",
        Kind::Number => "a number",
        Kind::Text => "a text",
        Kind::Array => "a list",
        Kind::Object => "an object",
    };
    RecordError::WrongKind { member, wanted, found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{CommandLock, ProjectLock};

    fn parsed(text: &str) -> Value<'_> {
        json::parse(text.as_bytes()).unwrap_or_else(|fault| panic!("{text}: {fault:?}"))
    }

    #[test]
    fn null_changes_nothing_but_lists() {
        let (mut word, mut number, mut truth) = ("a".to_owned(), 7, true);
        text(parsed("null"), "m", &mut word).unwrap();
        whole(parsed("null"), "m", &mut number).unwrap();
        flag(parsed("null"), "m", &mut truth).unwrap();
        assert_eq!((word.as_str(), number, truth), ("a", 7, true));
        let mut list = Some(vec!["a".to_owned()]);
        texts(parsed("[null, \"b\"]"), "m", &mut list).unwrap();
        assert_eq!(list, Some(vec![String::new(), "b".to_owned()]));
        texts(parsed("null"), "m", &mut list).unwrap();
        assert_eq!(list, None);
    }

    #[test]
    fn whole_numbers_have_64_bits_and_no_fraction() {
        let read = |literal| {
            let mut number = 0;
            whole(parsed(literal), "m", &mut number).map(|()| number)
        };
        assert_eq!(read("-0"), Ok(0));
        assert_eq!(read("9223372036854775807"), Ok(i64::MAX));
        assert_eq!(read("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(read("9223372036854775808"), Err(RecordError::OutOfRange { member: "m" }));
        for literal in ["1.0", "1e2", "1E2"] {
            assert_eq!(read(literal), Err(RecordError::NotWhole { member: "m" }));
        }
        assert!(matches!(read("\"1\""), Err(RecordError::WrongKind { found: "a text", .. })));
    }

    #[test]
    fn a_second_member_goes_on_where_the_first_one_ended() {
        let lock =
            ProjectLock::decode(br#"{"Pull":{"Num":7,"Author":"a"},"pull":{"Num":8},"PULL":null}"#).unwrap();
        assert_eq!((lock.pull.number, lock.pull.author.as_str()), (8, "a"));
    }

    #[test]
    fn what_is_no_value_at_all_has_its_own_reasons() {
        assert_eq!(CommandLock::decode(b" "), Err(RecordError::Empty));
        assert_eq!(CommandLock::decode(br#"{"a":tru}"#), Err(RecordError::NotJson { at: 8 }));
        let deep = ["[".repeat(DEPTH_MAX + 1), "]".repeat(DEPTH_MAX + 1)].concat();
        assert_eq!(CommandLock::decode(deep.as_bytes()), Err(RecordError::TooDeep { max: DEPTH_MAX }));
        let long = vec![b' '; CommandLock::BYTES_MAX + 1];
        let max = CommandLock::BYTES_MAX;
        assert_eq!(CommandLock::decode(&long), Err(RecordError::TooLong { len: max + 1, max }));
    }
}

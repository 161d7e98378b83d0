//! Reading answers that say in `state` what they are. Owns that and no shapes: those are in `replies`.
//!
//! The service writes `state` first, so that the other members can be read as they come. A derive would put all of
//! them aside first, which costs more than reading them; here that is only done when `state` comes later.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};

/// An answer with a member `state`.
pub(super) trait Tagged: Sized {
    /// What the member says.
    type State: DeserializeOwned;

    /// Reads the other members.
    fn members<'de, D: Deserializer<'de>>(state: Self::State, members: D) -> Result<Self, D::Error>;
}

/// Reads an answer whose other members depend on its `state`.
pub(super) fn read<'de, T: Tagged, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_map(Reader(PhantomData))
}

struct Reader<T>(PhantomData<T>);

impl<'de, T: Tagged> Visitor<'de> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a member `state`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let Some(mut name) = map.next_key::<String>()? else { return Err(A::Error::missing_field("state")) };
        if name == "state" {
            let state = map.next_value()?;
            return T::members(state, MapAccessDeserializer::new(map));
        }
        let mut members = Map::new();
        loop {
            members.insert(name, map.next_value()?);
            match map.next_key()? {
                Some(next) => name = next,
                None => break,
            }
        }
        let state = members.remove("state").ok_or_else(|| A::Error::missing_field("state"))?;
        let state = serde_json::from_value(state).map_err(A::Error::custom)?;
        T::members(state, Value::Object(members)).map_err(A::Error::custom)
    }
}

/// Makes [`Deserialize`](serde::Deserialize) of an enum: `"state" => Members => how the variant is made of them`.
macro_rules! tagged {
    ($($reply:ident { $($state:literal $name:ident: $members:ty => $make:expr,)* })*) => {$(
        const _: () = {
            #[derive(serde::Deserialize)]
            pub(in crate::api) enum State {
                $(#[serde(rename = $state)] $name,)*
            }

            impl $crate::api::tagged::Tagged for $reply {
                type State = State;

                fn members<'de, D: serde::Deserializer<'de>>(state: State, members: D) -> Result<Self, D::Error> {
                    match state {
                        $(State::$name => <$members as serde::Deserialize>::deserialize(members).map($make),)*
                    }
                }
            }

            impl<'de> serde::Deserialize<'de> for $reply {
                fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    $crate::api::tagged::read(deserializer)
                }
            }
        };
    )*};
}

pub(super) use tagged;

#[cfg(test)]
mod tests {
    use crate::api::ReleaseReply;

    #[test]
    fn states_of_tomorrow_and_answers_without_one_are_errors_that_say_so() {
        let read = |text: &str| serde_json::from_str::<ReleaseReply>(text).unwrap_err().to_string();
        assert!(read(r#"{"state":"lent","next":[]}"#).contains("unknown variant `lent`"));
        assert!(read(r#"{"next":[],"state":"lent"}"#).contains("unknown variant `lent`"));
        for text in ["{}", r#"{"next":[]}"#] {
            assert!(read(text).contains("missing field `state`"), "{text}");
        }
        assert!(read("[]").contains("an object with a member `state`"));
        assert!(read(r#"{"state":"released"}"#).contains("missing field `next`"));
    }
}

//! Enumerations that Atlantis stores as numbers. Owns the macro: numbers we do not know are kept, never an error.

/// Makes an enumeration of numbers in which an unknown number is a value of its own.
macro_rules! numbered {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $number:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])* $variant,)+
            /// A number that this crate does not know.
            Other(i64),
        }

        impl $name {
            /// The value Atlantis means by a number.
            #[must_use]
            pub const fn from_number(number: i64) -> Self {
                match number {
                    $($number => Self::$variant,)+
                    other => Self::Other(other),
                }
            }

            /// The number Atlantis stores.
            #[must_use]
            pub const fn number(self) -> i64 {
                match self {
                    $(Self::$variant => $number,)+
                    Self::Other(number) => number,
                }
            }

            /// Reads the number of a member.
            pub(crate) fn read(
                &mut self,
                value: $crate::json::Value<'_>,
                member: &'static str,
            ) -> Result<(), $crate::record::RecordError> {
                let mut number = self.number();
                $crate::record::decode::whole(value, member, &mut number)?;
                *self = Self::from_number(number);
                Ok(())
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::from_number(0)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_i64(self.number())
            }
        }
    };
}

pub(crate) use numbered;

#[cfg(test)]
mod tests {
    use crate::record::{PlanStatus, PullState, VcsKind};

    #[test]
    fn numbers_lead_back_to_themselves() {
        for number in [-1, 0, 1, 2, 5, 7, 8, i64::MAX] {
            assert_eq!(VcsKind::from_number(number).number(), number);
            assert_eq!(PlanStatus::from_number(number).number(), number);
            assert_eq!(PullState::from_number(number).number(), number);
        }
        assert_eq!(VcsKind::from_number(6), VcsKind::Other(6));
        assert_eq!((VcsKind::default(), PullState::default()), (VcsKind::GitHub, PullState::Open));
    }

    #[test]
    fn they_are_shown_as_numbers() {
        let shown = serde_json::to_string(&[PlanStatus::Applied, PlanStatus::Other(99)]).unwrap();
        assert_eq!(shown, "[4,99]");
    }
}

//! Reading MessagePack as scripts write it. Owns the checks: nothing a server sends makes this process panic.

use enhanced_locking_foundation::{BackendError, BackendErrorKind};

/// An answer that makes no sense.
pub(crate) fn corrupt(what: &str) -> BackendError {
    BackendError::new(
        BackendErrorKind::Corrupt,
        format!(
            "an answer of the script has {what}; see that all processes of the namespace have one version"
        ),
    )
}

/// Reads values one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Unpacker<'a>(&'a [u8]);

/// One value.
enum Value<'a> {
    Number(i64),
    Text(&'a [u8]),
    List(usize),
    No,
}

impl<'a> Unpacker<'a> {
    /// Reads these bytes.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether there is nothing left.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A number that is not negative.
    pub(crate) fn number(&mut self) -> Result<u64, BackendError> {
        u64::try_from(self.signed()?).map_err(|_| corrupt("a number below zero"))
    }

    /// A number of things.
    pub(crate) fn count(&mut self) -> Result<usize, BackendError> {
        usize::try_from(self.number()?).map_err(|_| corrupt("a number that is too great"))
    }

    /// A number.
    pub(crate) fn signed(&mut self) -> Result<i64, BackendError> {
        match self.value()? {
            Value::Number(number) => Ok(number),
            _ => Err(corrupt("something where a number belongs")),
        }
    }

    /// Bytes.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], BackendError> {
        match self.value()? {
            Value::Text(bytes) => Ok(bytes),
            _ => Err(corrupt("something where a text belongs")),
        }
    }

    /// A text.
    pub(crate) fn text(&mut self) -> Result<&'a str, BackendError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| corrupt("a text that is not UTF-8"))
    }

    /// A text, or none.
    pub(crate) fn maybe(&mut self) -> Result<Option<&'a [u8]>, BackendError> {
        match self.value()? {
            Value::Text(bytes) => Ok(Some(bytes)),
            Value::No => Ok(None),
            _ => Err(corrupt("something where a text belongs")),
        }
    }

    /// One byte as it is.
    pub(crate) fn byte(&mut self) -> Result<u8, BackendError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// A whole number from zero as eight bytes of a floating-point one.
    pub(crate) fn double(&mut self) -> Result<u64, BackendError> {
        let number = whole(f64::from_le_bytes(self.array()?))?;
        u64::try_from(number).map_err(|_| corrupt("a number below zero"))
    }

    /// A length in so many bytes.
    pub(crate) fn length<const N: usize>(&mut self) -> Result<usize, BackendError> {
        let bytes: [u8; N] = self.array()?;
        Ok(bytes.iter().rev().fold(0, |sum, byte| (sum << 8) | usize::from(*byte)))
    }

    /// So many bytes as they are.
    pub(crate) fn raw(&mut self, len: usize) -> Result<&'a [u8], BackendError> {
        self.take(len)
    }

    /// The length of a list, whose values follow.
    pub(crate) fn list(&mut self) -> Result<usize, BackendError> {
        match self.value()? {
            Value::List(len) => Ok(len),
            _ => Err(corrupt("something where a list belongs")),
        }
    }

    fn value(&mut self) -> Result<Value<'a>, BackendError> {
        let [tag] = self.array()?;
        Ok(match tag {
            0x00..=0x7f => Value::Number(i64::from(tag)),
            0xe0..=0xff => Value::Number(i64::from(i8::from_be_bytes([tag]))),
            0xa0..=0xbf => Value::Text(self.take(usize::from(tag & 0x1f))?),
            0x90..=0x9f => Value::List(usize::from(tag & 0x0f)),
            0xc0 | 0xc2 => Value::No,
            0xca => Value::Number(whole(f64::from(f32::from_be_bytes(self.array()?)))?),
            0xcb => Value::Number(whole(f64::from_be_bytes(self.array()?))?),
            0xcc => Value::Number(i64::from(u8::from_be_bytes(self.array()?))),
            0xcd => Value::Number(i64::from(u16::from_be_bytes(self.array()?))),
            0xce => Value::Number(i64::from(u32::from_be_bytes(self.array()?))),
            0xcf => {
                let number = u64::from_be_bytes(self.array()?);
                Value::Number(i64::try_from(number).map_err(|_| corrupt("a number that is too great"))?)
            }
            0xd0 => Value::Number(i64::from(i8::from_be_bytes(self.array()?))),
            0xd1 => Value::Number(i64::from(i16::from_be_bytes(self.array()?))),
            0xd2 => Value::Number(i64::from(i32::from_be_bytes(self.array()?))),
            0xd3 => Value::Number(i64::from_be_bytes(self.array()?)),
            0xd9 => {
                let len = u8::from_be_bytes(self.array()?);
                Value::Text(self.take(usize::from(len))?)
            }
            0xda => {
                let len = u16::from_be_bytes(self.array()?);
                Value::Text(self.take(usize::from(len))?)
            }
            0xdb => {
                let len = u32::from_be_bytes(self.array()?);
                Value::Text(self.take(len as usize)?)
            }
            0xdc => Value::List(usize::from(u16::from_be_bytes(self.array()?))),
            0xdd => Value::List(u32::from_be_bytes(self.array()?) as usize),
            _ => return Err(corrupt("a value of a kind that is not used")),
        })
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], BackendError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or_else(|| corrupt("less than it says"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BackendError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or_else(|| corrupt("less than it says"))?;
        self.0 = rest;
        Ok(*taken)
    }
}

/// A number of Lua that must be whole.
#[expect(clippy::cast_possible_truncation, reason = "whole numbers below 2^53 are exact")]
fn whole(number: f64) -> Result<i64, BackendError> {
    if number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0 {
        Ok(number as i64)
    } else {
        Err(corrupt("a number that is not whole"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::pack::Packer;
    use super::*;

    proptest! {
        #[test]
        fn what_is_packed_is_read_back(numbers: Vec<i64>, texts: Vec<Vec<u8>>, counts: Vec<u32>, long in 0..70_000_usize) {
            let mut packer = Packer::default().text(vec![7; long]);
            for number in &numbers {
                packer = packer.signed(*number);
            }
            for text in &texts {
                packer = packer.text(text).maybe(None::<&str>);
            }
            for count in &counts {
                packer = packer.number(u64::from(*count)).list(*count as usize);
            }
            let bytes = packer.done();
            let mut unpacker = Unpacker::new(&bytes);
            prop_assert_eq!(unpacker.bytes().unwrap().len(), long);
            for number in &numbers {
                prop_assert_eq!(unpacker.signed().unwrap(), *number);
            }
            for text in &texts {
                prop_assert_eq!(unpacker.maybe().unwrap(), Some(text.as_slice()));
                prop_assert_eq!(unpacker.maybe().unwrap(), None);
            }
            for count in &counts {
                prop_assert_eq!(unpacker.number().unwrap(), u64::from(*count));
                prop_assert_eq!(unpacker.list().unwrap(), *count as usize);
            }
            prop_assert!(unpacker.is_empty());
        }

        #[test]
        fn nonsense_is_an_error_and_never_a_panic(bytes: Vec<u8>) {
            let mut unpacker = Unpacker::new(&bytes);
            while !unpacker.is_empty() && unpacker.clone().value().is_ok() {
                let before = unpacker.0.len();
                let _ = unpacker.value();
                prop_assert!(unpacker.0.len() < before);
            }
        }
    }
}

//! Writing MessagePack. Owns the few types that scripts need: numbers, texts, lists and false.

/// Values one after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Packer(Vec<u8>);

impl Packer {
    /// Adds a number.
    pub(crate) fn number(mut self, value: u64) -> Self {
        match value {
            0..=0x7f => self.0.push(value.to_le_bytes()[0]),
            _ => {
                self.0.push(0xcf);
                self.0.extend_from_slice(&value.to_be_bytes());
            }
        }
        self
    }

    /// Adds a number that may be negative.
    pub(crate) fn signed(mut self, value: i64) -> Self {
        self.0.push(0xd3);
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Adds a text, or any bytes.
    pub(crate) fn text(mut self, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        let len = u32::try_from(value.len()).unwrap_or(u32::MAX);
        let be = len.to_be_bytes();
        match len {
            0..=31 => self.0.push(0xa0 | be[3]),
            32..=0xff => self.0.extend_from_slice(&[0xd9, be[3]]),
            0x100..=0xffff => self.0.extend_from_slice(&[0xda, be[2], be[3]]),
            _ => self.0.extend_from_slice(&[0xdb, be[0], be[1], be[2], be[3]]),
        }
        self.0.extend_from_slice(value);
        self
    }

    /// Adds a text, or false if there is none: scripts know no list with holes.
    pub(crate) fn maybe(mut self, value: Option<impl AsRef<[u8]>>) -> Self {
        match value {
            Some(value) => self.text(value),
            None => {
                self.0.push(0xc2);
                self
            }
        }
    }

    /// Begins a list of so many values.
    pub(crate) fn list(mut self, len: usize) -> Self {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let be = len.to_be_bytes();
        match len {
            0..=15 => self.0.push(0x90 | be[3]),
            16..=0xffff => self.0.extend_from_slice(&[0xdc, be[2], be[3]]),
            _ => self.0.extend_from_slice(&[0xdd, be[0], be[1], be[2], be[3]]),
        }
        self
    }

    /// The bytes.
    pub(crate) fn done(self) -> Vec<u8> {
        self.0
    }
}

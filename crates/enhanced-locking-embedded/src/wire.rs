//! Values in the form of postcard, straight into the bytes of a commit. Owns the numbers, texts and options; what
//! records are made of is `record`'s and `log`'s, which read them by postcard itself.
//!
//! By hand because every commit pays for it: no copy of a record in between, no call per byte.

/// Appends a number, seven bits a byte, the lowest first.
pub(crate) fn push_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        // The low seven bits, and that there are more.
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

/// Appends a number that may be negative: those near zero are short.
pub(crate) fn push_signed(bytes: &mut Vec<u8>, number: i64) {
    push_number(bytes, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

/// Appends how many of something follow.
pub(crate) fn push_count(bytes: &mut Vec<u8>, count: usize) {
    push_number(bytes, count as u64);
}

/// Appends a text.
pub(crate) fn push_text(bytes: &mut Vec<u8>, text: &str) {
    push_count(bytes, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

/// Appends whether there is something, and it.
pub(crate) fn push_option<T>(bytes: &mut Vec<u8>, value: Option<T>, push: impl FnOnce(&mut Vec<u8>, T)) {
    bytes.push(u8::from(value.is_some()));
    if let Some(value) = value {
        push(bytes, value);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn postcard_reads_what_is_written(
            number: u64, shift in 0u32..64, signed: i64, text: String, option: Option<u64>,
        ) {
            let (number, signed) = (number >> shift, signed >> shift);
            let mut bytes = Vec::new();
            push_number(&mut bytes, number);
            push_signed(&mut bytes, signed);
            push_text(&mut bytes, &text);
            push_option(&mut bytes, option, push_number);
            prop_assert_eq!(bytes, postcard::to_allocvec(&(number, signed, text, option)).unwrap());
        }
    }
}

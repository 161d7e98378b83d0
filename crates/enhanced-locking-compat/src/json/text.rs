//! Texts inside JSON as Go reads them: escapes, broken UTF-8, names whatever their case. Owns no syntax check: that is `scan`.

/// The text of a literal that [`parse`](super::parse) found valid, quotes included.
///
/// Lone surrogates and bytes that are not UTF-8 become U+FFFD, each on its own, as in Go.
pub(crate) fn unquote(literal: &[u8]) -> String {
    let inner = literal.get(1..literal.len().saturating_sub(1)).unwrap_or_default();
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    while !rest.is_empty() {
        let plain = rest.iter().position(|byte| *byte == b'\\').unwrap_or(rest.len());
        let (before, escape) = rest.split_at(plain);
        push_lossy(&mut text, before);
        rest = push_escape(&mut text, escape);
    }
    text
}

/// Appends bytes; each byte that does not belong to a character becomes U+FFFD.
fn push_lossy(text: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        // Rust would write one U+FFFD for the start of a character that was cut off, Go one for each byte.
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
}

/// Appends the character of the escape that `rest` starts with; returns what follows.
fn push_escape<'a>(text: &mut String, rest: &'a [u8]) -> &'a [u8] {
    let Some(kind) = rest.get(1) else { return &[] };
    let after = rest.get(2..).unwrap_or_default();
    let short = match kind {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return push_unicode(text, after),
        other => char::from(*other),
    };
    text.push(short);
    after
}

/// Appends the character of `XXXX`, or of `XXXX\uYYYY` if the two are a pair; returns what follows.
fn push_unicode<'a>(text: &mut String, digits: &'a [u8]) -> &'a [u8] {
    let first = hex4(digits);
    let after = digits.get(4..).unwrap_or_default();
    if let Some(c) = first.and_then(char::from_u32) {
        text.push(c);
        return after;
    }
    let second = after.strip_prefix(b"\\u").and_then(hex4);
    if let (Some(high @ 0xD800..=0xDBFF), Some(low @ 0xDC00..=0xDFFF)) = (first, second)
        && let Some(c) = char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
    {
        text.push(c);
        return after.get(6..).unwrap_or_default();
    }
    text.push(char::REPLACEMENT_CHARACTER);
    after
}

fn hex4(digits: &[u8]) -> Option<u32> {
    let digits = digits.get(..4)?;
    digits.iter().try_fold(0, |sum, digit| Some(sum * 16 + char::from(*digit).to_digit(16)?))
}

/// Whether a name of a member is `wanted` (ASCII), whatever its case, as Go folds names.
pub(crate) fn fold_eq(name: &str, wanted: &str) -> bool {
    // Two characters beyond ASCII fold into it: the long s and the sign of Kelvin.
    let fold = |c: char| match c {
        '\u{17F}' => 's',
        '\u{212A}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    name.chars().map(fold).eq(wanted.chars().map(fold))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_surrogates_are_read_as_go_reads_them() {
        for (literal, want) in [
            (br#""\b\f\n\r\t\/\\\"""#.as_slice(), "\u{8}\u{c}\n\r\t/\\\""),
            (br#""\u00e9\ud83d\ude00""#, "é😀"),
            (br#""\ud83d""#, "\u{fffd}"),
            (br#""\ude00\ud83dx""#, "\u{fffd}\u{fffd}x"),
            (br#""\ud83d\u0041""#, "\u{fffd}A"),
            (br#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (b"\"\xff\xfe\"", "\u{fffd}\u{fffd}"),
            (b"\"\xf0\x9f\x98\"", "\u{fffd}\u{fffd}\u{fffd}"),
            (b"\"a\xc3\"", "a\u{fffd}"),
        ] {
            assert_eq!(unquote(literal), want, "{}", literal.escape_ascii());
        }
    }

    #[test]
    fn names_match_whatever_their_case() {
        for name in ["Workspace", "workspace", "WORKSPACE", "Wor\u{212A}\u{17F}pace"] {
            assert!(fold_eq(name, "Workspace"), "{name}");
        }
        for name in ["Workspaces", "Work space", "Wörkspace", ""] {
            assert!(!fold_eq(name, "Workspace"), "{name}");
        }
    }
}

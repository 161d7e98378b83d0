//! Patterns of keys, as Redis matches them. Owns the matching; time grows with pattern times text, never faster.

/// The longest pattern, in bytes: beyond it, matching many keys would take the machine.
pub(super) const PATTERN_BYTES_MAX: usize = 4096;

/// Whether a text matches: `*` anything, `?` one byte, `[a-c]` and `[^a]` one of a set, `\` takes the next one literally.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    // Where the last star was, and how much it has taken: only the last one needs to be tried again.
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() || at < pattern.len() {
        if pattern.get(at) == Some(&b'*') {
            star = Some((at + 1, seen));
            at += 1;
            continue;
        }
        if let Some(byte) = text.get(seen)
            && let Some(next) = one(pattern, at, *byte)
        {
            (at, seen) = (next, seen + 1);
            continue;
        }
        match star {
            Some((behind, taken)) if taken < text.len() => {
                star = Some((behind, taken + 1));
                (at, seen) = (behind, taken + 1);
            }
            _ => return false,
        }
    }
    true
}

/// Where the pattern goes on if its part at a place matches a byte.
fn one(pattern: &[u8], at: usize, byte: u8) -> Option<usize> {
    match *pattern.get(at)? {
        b'?' => Some(at + 1),
        b'[' => set(pattern, at + 1, byte),
        b'\\' if at + 1 < pattern.len() => (pattern.get(at + 1) == Some(&byte)).then_some(at + 2),
        literal => (literal == byte).then_some(at + 1),
    }
}

/// A set, from behind its bracket on. One that is never closed ends with the pattern, as in Redis.
fn set(pattern: &[u8], mut at: usize, byte: u8) -> Option<usize> {
    let negated = pattern.get(at) == Some(&b'^');
    at += usize::from(negated);
    let mut found = false;
    loop {
        match (pattern.get(at), pattern.get(at + 1), pattern.get(at + 2)) {
            (None, ..) => break,
            (Some(b']'), ..) => {
                at += 1;
                break;
            }
            (Some(b'\\'), Some(literal), _) => {
                found |= *literal == byte;
                at += 2;
            }
            (Some(from), Some(b'-'), Some(to)) => {
                found |= (*from.min(to)..=*from.max(to)).contains(&byte);
                at += 3;
            }
            (Some(literal), ..) => {
                found |= *literal == byte;
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

/// What every text that matches begins with.
pub(super) fn literal_prefix(pattern: &[u8]) -> &[u8] {
    let end = pattern.iter().position(|byte| b"*?[\\".contains(byte)).unwrap_or(pattern.len());
    &pattern[..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text, want) in [
            ("*", "", true),
            ("pr*", "pr/x", true),
            ("pr/*", "pr", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[c-a]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("[]]", "]", false),
            ("[\\]]", "]", true),
            ("[a", "a", true),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("a\\", "a\\", true),
            ("", "", true),
            ("", "a", false),
            ("**a", "bba", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), want, "{pattern} {text}");
        }
        assert_eq!(literal_prefix(b"pr/acme/infra*"), b"pr/acme/infra");
    }

    #[test]
    fn many_stars_take_no_time() {
        let (pattern, text) = ("*a".repeat(1000), "a".repeat(999) + "b");
        assert!(!matches(pattern.as_bytes(), text.as_bytes()));
    }

    proptest! {
        #[test]
        fn any_pattern_is_survived(pattern in "[ab*?\\[\\]^\\\\-]{0,12}", text in "[ab]{0,8}") {
            let _ = matches(pattern.as_bytes(), text.as_bytes());
            let literal: String = text.chars().flat_map(|c| ['\\', c]).collect();
            prop_assert!(matches(literal.as_bytes(), text.as_bytes()));
            let starred = format!("*{text}*");
            let longer = format!("b{text}a");
            prop_assert!(matches(starred.as_bytes(), longer.as_bytes()));
        }
    }
}

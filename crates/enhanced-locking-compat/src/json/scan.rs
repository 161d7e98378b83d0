//! Reading JSON: one pass that checks the whole text, then views into it. Owns the grammar; texts are in `text`.
//!
//! The check keeps its own stack, so that no input can exhaust the program's. It allocates one byte per open bracket
//! and nothing else; the views borrow. A value is therefore read in memory proportional to its size at worst.

/// Deeper values are refused, by Go as well.
pub(crate) const DEPTH_MAX: usize = 10_000;

/// Why a text is not JSON. Says where, never what: the text may hold a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing but white space.
    Empty,
    /// The grammar is broken at this byte.
    Syntax { at: usize },
    /// More than [`DEPTH_MAX`] open brackets.
    TooDeep,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Number,
    Text,
    Array,
    Object,
}

/// A checked value: a view into the text it was found in.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    raw: &'a [u8],
}

/// Checks that `text` is one JSON value with nothing around it but white space.
pub(crate) fn parse(text: &[u8]) -> Result<Value<'_>, Fault> {
    let mut scanner = Scanner { text, at: 0 };
    scanner.space();
    if scanner.at == text.len() {
        return Err(Fault::Empty);
    }
    let start = scanner.at;
    scanner.value()?;
    let raw = text.get(start..scanner.at).unwrap_or_default();
    scanner.space();
    if scanner.at < text.len() {
        return Err(scanner.fault());
    }
    Ok(Value { raw })
}

impl<'a> Value<'a> {
    /// The bytes of the value, white space inside included.
    pub(crate) fn raw(self) -> &'a [u8] {
        self.raw
    }

    pub(crate) fn kind(self) -> Kind {
        match self.raw.first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::Text,
            Some(b't') => Kind::Bool(true),
            Some(b'f') => Kind::Bool(false),
            Some(b'n') | None => Kind::Null,
            Some(_) => Kind::Number,
        }
    }

    /// The literal names and the values of an object, in order; nothing for other kinds.
    pub(crate) fn members(self) -> impl Iterator<Item = (&'a [u8], Value<'a>)> {
        let mut inside = Inside::of(self, b'{');
        std::iter::from_fn(move || Some((inside.next()?.raw, inside.next()?)))
    }

    /// The values of an array, in order; nothing for other kinds.
    pub(crate) fn elements(self) -> impl Iterator<Item = Value<'a>> {
        let mut inside = Inside::of(self, b'[');
        std::iter::from_fn(move || inside.next())
    }
}

/// Walks over the values inside brackets; names count as values.
struct Inside<'a> {
    scanner: Scanner<'a>,
}

impl<'a> Inside<'a> {
    fn of(value: Value<'a>, bracket: u8) -> Self {
        let text = if value.raw.first() == Some(&bracket) { value.raw } else { &[] };
        Self { scanner: Scanner { text, at: 1 } }
    }

    fn next(&mut self) -> Option<Value<'a>> {
        let scanner = &mut self.scanner;
        while scanner.peek().is_some_and(|byte| byte.is_ascii_whitespace() || matches!(byte, b',' | b':')) {
            scanner.at += 1;
        }
        let start = scanner.at;
        if matches!(scanner.peek(), None | Some(b'}' | b']')) {
            return None;
        }
        scanner.value().ok()?;
        Some(Value { raw: scanner.text.get(start..scanner.at)? })
    }
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn fault(&self) -> Fault {
        Fault::Syntax { at: self.at }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.peek() != Some(byte) {
            return Err(self.fault());
        }
        self.at += 1;
        Ok(())
    }

    /// Steps over one value, however deep.
    fn value(&mut self) -> Result<(), Fault> {
        let mut open: Vec<u8> = Vec::new();
        loop {
            self.space();
            match self.peek() {
                Some(bracket @ (b'{' | b'[')) => {
                    if open.len() >= DEPTH_MAX {
                        return Err(Fault::TooDeep);
                    }
                    self.at += 1;
                    self.space();
                    if self.peek() == Some(closing(bracket)) {
                        self.at += 1;
                    } else {
                        open.push(bracket);
                        if bracket == b'{' {
                            self.name()?;
                        }
                        continue;
                    }
                }
                _ => self.scalar()?,
            }
            // A value has ended: so may the brackets around it.
            loop {
                let Some(bracket) = open.last().copied() else { return Ok(()) };
                self.space();
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        if bracket == b'{' {
                            self.space();
                            self.name()?;
                        }
                        break;
                    }
                    Some(byte) if byte == closing(bracket) => {
                        self.at += 1;
                        open.pop();
                    }
                    _ => return Err(self.fault()),
                }
            }
        }
    }

    fn name(&mut self) -> Result<(), Fault> {
        self.text()?;
        self.space();
        self.expect(b':')
    }

    fn scalar(&mut self) -> Result<(), Fault> {
        match self.peek() {
            Some(b'"') => self.text(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Fault> {
        word.iter().try_for_each(|byte| self.expect(*byte))
    }

    fn text(&mut self) -> Result<(), Fault> {
        self.expect(b'"')?;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape()?;
                }
                None | Some(..b' ') => return Err(self.fault()),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        let kind = self.peek();
        if !matches!(kind, Some(b'b' | b'f' | b'n' | b'r' | b't' | b'/' | b'\\' | b'"' | b'u')) {
            return Err(self.fault());
        }
        self.at += 1;
        let digits = if kind == Some(b'u') { 4 } else { 0 };
        for _ in 0..digits {
            if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                return Err(self.fault());
            }
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Fault> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// At least one digit.
    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.fault()) } else { Ok(()) }
    }
}

const fn closing(bracket: u8) -> u8 {
    if bracket == b'{' { b'}' } else { b']' }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_grammar_is_that_of_json() {
        for good in
            ["{}", "[]", " [1,-0,0.5,1e+9,1E-9] ", r#"{"a":{"b":[true,false,null]}}"#, r#""\u00e9""#, "0"]
        {
            assert!(parse(good.as_bytes()).is_ok(), "{good}");
        }
        for bad in [
            "{",
            "}",
            "[1,]",
            "{,}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            "01",
            "1.",
            ".5",
            "+1",
            "-",
            "1e",
            "tru",
            "nul",
            "'a'",
            "{}{}",
            "[1 2]",
            r#""\x""#,
            r#""\u12""#,
            "\"\t\"",
            "\"",
            "\u{feff}{}",
            "[}",
            "{]",
        ] {
            assert!(matches!(parse(bad.as_bytes()), Err(Fault::Syntax { .. })), "{bad}");
        }
        assert_eq!(parse(b" \n").err(), Some(Fault::Empty));
    }

    #[test]
    fn nesting_has_the_limit_that_go_has() {
        let nested = |depth| ["[".repeat(depth), "]".repeat(depth)].concat();
        assert!(parse(nested(DEPTH_MAX).as_bytes()).is_ok());
        assert_eq!(parse(nested(DEPTH_MAX + 1).as_bytes()).err(), Some(Fault::TooDeep));
    }

    #[test]
    fn members_and_elements_come_in_order_with_their_bytes() {
        let object = parse(br#" { "a" : [ 1 , {"x":","} ] , "b":"}" } "#).unwrap();
        let members: Vec<_> = object.members().map(|(name, value)| (name, value.raw())).collect();
        assert_eq!(
            members,
            [(br#""a""#.as_slice(), br#"[ 1 , {"x":","} ]"#.as_slice()), (br#""b""#, br#""}""#)]
        );
        let array = object.members().next().unwrap().1;
        assert_eq!(array.elements().map(Value::kind).collect::<Vec<_>>(), [Kind::Number, Kind::Object]);
        assert_eq!(object.elements().count() + array.members().count(), 0);
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_what_serde_json_accepts(text in "[\\[\\]{}:,\"a01.eE+ntrufals\\\\ -]{0,16}") {
            // A number too large for it is the one thing that serde_json refuses and the grammar does not.
            let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            prop_assert_eq!(parse(text.as_bytes()).is_ok(), theirs, "{}", text);
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(value) = parse(&bytes) {
                let _ = value.members().count() + value.elements().count();
            }
        }
    }
}

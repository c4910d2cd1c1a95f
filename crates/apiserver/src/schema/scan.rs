//! A scanner for JSON texts that reports the errors of Go's `encoding/json`; [`Scanner`] is the entry point.

use std::borrow::Cow;

/// A syntax error, in the words of Go's scanner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError(pub String);

const END: &str = "unexpected end of JSON input";

/// Deeper nesting than this is refused, so that recursion over values stays bounded (serde_json has the same bound).
pub const MAX_DEPTH: usize = 120;

/// Reads tokens of a JSON text one after the other.
#[derive(Debug)]
pub struct Scanner<'a> {
    data: &'a [u8],
    pos: usize,
    depth: usize,
}

impl<'a> Scanner<'a> {
    /// A scanner at the start of a text.
    #[must_use]
    pub fn new(data: &'a [u8]) -> Self {
        Scanner { data, pos: 0, depth: 0 }
    }

    /// The next byte that is not white space, without consuming it.
    ///
    /// # Errors
    /// At the end of the text.
    pub fn peek(&mut self) -> Result<u8, SyntaxError> {
        while let Some(byte) = self.data.get(self.pos) {
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Ok(*byte);
            }
            self.pos += 1;
        }
        Err(SyntaxError(END.to_owned()))
    }

    /// The offset of the next byte.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.pos
    }

    /// The text between two offsets.
    #[must_use]
    pub fn text(&self, from: usize, to: usize) -> &'a [u8] {
        self.data.get(from..to).unwrap_or_default()
    }

    /// An error at the next byte.
    pub fn unexpected(&self, context: &str) -> SyntaxError {
        match self.data.get(self.pos) {
            None => SyntaxError(END.to_owned()),
            Some(byte) => SyntaxError(format!("invalid character {} {context}", quoted(*byte))),
        }
    }

    /// Consumes the opening of an object or list.
    ///
    /// # Errors
    /// When the nesting is too deep.
    pub fn open(&mut self) -> Result<(), SyntaxError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(SyntaxError("exceeded max depth".to_owned()));
        }
        self.pos += 1;
        Ok(())
    }

    /// After an opening `{`: whether a first member follows; otherwise the closing is consumed.
    ///
    /// # Errors
    /// Syntax errors.
    pub fn first_member(&mut self) -> Result<bool, SyntaxError> {
        match self.peek()? {
            b'"' => Ok(true),
            b'}' => {
                self.close();
                Ok(false)
            }
            _ => Err(self.unexpected("looking for beginning of object key string")),
        }
    }

    /// After a member: whether a further one follows; otherwise the closing is consumed.
    ///
    /// # Errors
    /// Syntax errors.
    pub fn next_member(&mut self) -> Result<bool, SyntaxError> {
        match self.peek()? {
            b',' => {
                self.pos += 1;
                if self.peek()? == b'"' {
                    Ok(true)
                } else {
                    Err(self.unexpected("looking for beginning of object key string"))
                }
            }
            b'}' => {
                self.close();
                Ok(false)
            }
            _ => Err(self.unexpected("after object key:value pair")),
        }
    }

    /// A member's name and the colon after it.
    ///
    /// # Errors
    /// Syntax errors.
    pub fn key(&mut self) -> Result<Cow<'a, str>, SyntaxError> {
        let key = self.string()?;
        if self.peek()? != b':' {
            return Err(self.unexpected("after object key"));
        }
        self.pos += 1;
        Ok(key)
    }

    /// After an opening `[`: whether a first item follows; otherwise the closing is consumed.
    ///
    /// # Errors
    /// Syntax errors.
    pub fn first_item(&mut self) -> Result<bool, SyntaxError> {
        if self.peek()? == b']' {
            self.close();
            return Ok(false);
        }
        Ok(true)
    }

    /// After an item: whether a further one follows; otherwise the closing is consumed.
    ///
    /// # Errors
    /// Syntax errors.
    pub fn next_item(&mut self) -> Result<bool, SyntaxError> {
        match self.peek()? {
            b',' => {
                self.pos += 1;
                Ok(true)
            }
            b']' => {
                self.close();
                Ok(false)
            }
            _ => Err(self.unexpected("after array element")),
        }
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.pos += 1;
    }

    /// Requires that nothing but white space is left.
    ///
    /// # Errors
    /// When something is left.
    pub fn finish(&mut self) -> Result<(), SyntaxError> {
        match self.peek() {
            Ok(_) => Err(self.unexpected("after top-level value")),
            Err(_) => Ok(()),
        }
    }

    /// A string, from its opening quote.
    ///
    /// # Errors
    /// Syntax errors.
    pub fn string(&mut self) -> Result<Cow<'a, str>, SyntaxError> {
        self.pos += 1;
        let start = self.pos;
        while let Some(byte) = self.data.get(self.pos) {
            match byte {
                b'"' => {
                    let text = &self.data[start..self.pos];
                    self.pos += 1;
                    return Ok(String::from_utf8_lossy(text));
                }
                b'\\' => return self.escaped_string(start),
                0..0x20 => return Err(self.unexpected("in string literal")),
                _ => self.pos += 1,
            }
        }
        Err(SyntaxError(END.to_owned()))
    }

    fn escaped_string(&mut self, start: usize) -> Result<Cow<'a, str>, SyntaxError> {
        let mut out = self.data[start..self.pos].to_vec();
        loop {
            let Some(byte) = self.data.get(self.pos).copied() else { return Err(SyntaxError(END.to_owned())) };
            match byte {
                b'"' => {
                    self.pos += 1;
                    return Ok(Cow::Owned(match String::from_utf8(out) {
                        Ok(text) => text,
                        Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
                    }));
                }
                0..0x20 => return Err(self.unexpected("in string literal")),
                b'\\' => {
                    self.pos += 1;
                    let Some(escape) = self.data.get(self.pos).copied() else {
                        return Err(SyntaxError(END.to_owned()));
                    };
                    let plain = match escape {
                        b'"' | b'\\' | b'/' => escape,
                        b'b' => 8,
                        b'f' => 12,
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'u' => {
                            self.pos += 1;
                            let ch = self.unicode_escape()?;
                            out.extend_from_slice(ch.encode_utf8(&mut [0; 4]).as_bytes());
                            continue;
                        }
                        _ => return Err(self.unexpected("in string escape code")),
                    };
                    out.push(plain);
                    self.pos += 1;
                }
                _ => {
                    out.push(byte);
                    self.pos += 1;
                }
            }
        }
    }

    fn unicode_escape(&mut self) -> Result<char, SyntaxError> {
        let first = self.hex4()?;
        if (0xD800..0xDC00).contains(&first) && self.data.get(self.pos..self.pos + 2) == Some(b"\\u") {
            let back = self.pos;
            self.pos += 2;
            let second = self.hex4()?;
            if (0xDC00..0xE000).contains(&second) {
                let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                return Ok(char::from_u32(code).unwrap_or('\u{FFFD}'));
            }
            self.pos = back;
        }
        Ok(char::from_u32(first).unwrap_or('\u{FFFD}'))
    }

    fn hex4(&mut self) -> Result<u32, SyntaxError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.data.get(self.pos).and_then(|b| char::from(*b).to_digit(16));
            let Some(digit) = digit else { return Err(self.unexpected("in \\u hexadecimal character escape")) };
            code = code * 16 + digit;
            self.pos += 1;
        }
        Ok(code)
    }

    /// A number's text.
    ///
    /// # Errors
    /// Syntax errors.
    pub fn number(&mut self) -> Result<&'a str, SyntaxError> {
        let start = self.pos;
        if self.data.get(self.pos) == Some(&b'-') {
            self.pos += 1;
        }
        if self.data.get(self.pos) == Some(&b'0') {
            self.pos += 1;
        } else {
            self.digits("in numeric literal")?;
        }
        if self.data.get(self.pos) == Some(&b'.') {
            self.pos += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.data.get(self.pos), Some(b'e' | b'E')) {
            self.pos += 1;
            if matches!(self.data.get(self.pos), Some(b'+' | b'-')) {
                self.pos += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        Ok(std::str::from_utf8(&self.data[start..self.pos]).unwrap_or_default())
    }

    fn digits(&mut self, context: &str) -> Result<(), SyntaxError> {
        let start = self.pos;
        while self.data.get(self.pos).is_some_and(u8::is_ascii_digit) {
            self.pos += 1;
        }
        if self.pos == start { Err(self.unexpected(context)) } else { Ok(()) }
    }

    /// One of the literals `true`, `false` and `null`, from its first byte.
    ///
    /// # Errors
    /// Syntax errors.
    pub fn literal(&mut self, word: &'static str) -> Result<(), SyntaxError> {
        for expected in word.bytes() {
            if self.data.get(self.pos) != Some(&expected) {
                return Err(self.unexpected(&format!("in literal {word} (expecting '{}')", char::from(expected))));
            }
            self.pos += 1;
        }
        Ok(())
    }

    /// Consumes one value of any type.
    ///
    /// # Errors
    /// Syntax errors.
    pub fn skip(&mut self) -> Result<(), SyntaxError> {
        match self.peek()? {
            b'{' => {
                self.open()?;
                let mut more = self.first_member()?;
                while more {
                    self.key()?;
                    self.skip()?;
                    more = self.next_member()?;
                }
                Ok(())
            }
            b'[' => {
                self.open()?;
                let mut more = self.first_item()?;
                while more {
                    self.skip()?;
                    more = self.next_item()?;
                }
                Ok(())
            }
            b'"' => self.string().map(drop),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            b'-' | b'0'..=b'9' => self.number().map(drop),
            _ => Err(self.unexpected("looking for beginning of value")),
        }
    }
}

fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        b'\n' => r"'\n'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        b'\t' => r"'\t'".to_owned(),
        0x20..0x7f => format!("'{}'", char::from(byte)),
        0xa1..=0xff if byte != 0xad => format!("'{}'", char::from(byte)),
        0..0x20 | 0x7f => format!("'\\x{byte:02x}'"),
        _ => format!("'\\u{byte:04x}'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let mut scanner = Scanner::new(text.as_bytes());
        scanner.skip().and_then(|()| scanner.finish()).err().map_or("none".to_owned(), |e| e.0)
    }

    #[test]
    fn errors_are_those_of_go() {
        for (text, expected) in [
            ("", "unexpected end of JSON input"),
            ("{\"a\":1", "unexpected end of JSON input"),
            ("{\"a\":1} x", "invalid character 'x' after top-level value"),
            ("{a:1}", "invalid character 'a' looking for beginning of object key string"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\":1 2}", "invalid character '2' after object key:value pair"),
            ("{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
            ("[1 2]", "invalid character '2' after array element"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("tru", "unexpected end of JSON input"),
            ("trap", "invalid character 'a' in literal true (expecting 'u')"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("1ex", "invalid character 'x' in exponent of numeric literal"),
            ("01", "invalid character '1' after top-level value"),
            ("\"\\q\"", "invalid character 'q' in string escape code"),
            ("\"\\u00g0\"", "invalid character 'g' in \\u hexadecimal character escape"),
            ("\"a\nb\"", "invalid character '\\n' in string literal"),
            ("'", "invalid character '\\'' looking for beginning of value"),
        ] {
            assert_eq!(error(text), expected, "{text:?}");
        }
        assert_eq!(error(&"[".repeat(5000)), "exceeded max depth");
    }

    #[test]
    fn strings_are_unescaped() {
        let text = r#""a\n\u00e9\ud83d\ude00\ud800x""#;
        assert_eq!(Scanner::new(text.as_bytes()).string().unwrap(), "a\né😀\u{FFFD}x");
        assert_eq!(Scanner::new(b"\"a\xffb\"").string().unwrap(), "a\u{FFFD}b");
    }
}

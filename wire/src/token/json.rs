//! JSON as others write it (RFC 8259), one object at a time, nothing copied. Stricter than the grammar in what makes two
//! readers disagree: names are unique in every object and free of escapes, nesting and members are bounded.

use heapless::Vec;

/// Objects and arrays within each other, the outermost one included.
const MAX_DEPTH: usize = 4;
/// Members of one object.
const MAX_MEMBERS: usize = 16;

/// What a member holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// A string: what is between the quotes, in which no escape was resolved.
    Text(&'a str),
    /// A number, as written.
    Number(&'a str),
    /// `true`, `false`, `null`, an array or an object.
    Other,
}

impl<'a> Value<'a> {
    /// A string without escapes.
    pub(super) fn plain_text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) if !text.contains('\\') => Some(text),
            _ => None,
        }
    }

    /// A whole number from 0, written without sign, fraction or exponent.
    pub(super) fn whole_number(self) -> Option<u64> {
        match self {
            // The grammar has no plus sign, so this parses what the comment says.
            Self::Number(text) => text.parse().ok(),
            _ => None,
        }
    }
}

/// Reads `text` as one object; `member` sees the outermost members, in order, each name once.
///
/// # Errors
/// [`JsonError`], or what `member` returns.
pub(super) fn object<'a, E: From<JsonError>>(
    text: &'a [u8],
    mut member: impl FnMut(&'a str, Value<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let text = core::str::from_utf8(text).map_err(|error| JsonError::NotUtf8 { at: error.valid_up_to() })?;
    let mut reader = Reader { text, at: 0 };
    reader.skip_space();
    reader.expect(b'{')?;
    reader.members(1, &mut member)?;
    reader.skip_space();
    match reader.peek() {
        None => Ok(()),
        Some(_) => Err(JsonError::Trailing { at: reader.at }.into()),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// The members of an object whose brace was read.
    fn members<E: From<JsonError>>(
        &mut self,
        depth: usize,
        member: &mut dyn FnMut(&'a str, Value<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut names: Vec<&str, MAX_MEMBERS> = Vec::new();
        self.skip_space();
        if self.accepts(b'}') {
            return Ok(());
        }
        loop {
            self.skip_space();
            let at = self.at;
            self.expect(b'"')?;
            let name = self.string()?;
            if name.contains('\\') {
                return Err(JsonError::EscapedName { at }.into());
            }
            if names.contains(&name) {
                return Err(JsonError::DuplicateName { at }.into());
            }
            names.push(name).map_err(|_| JsonError::TooManyMembers { at })?;
            self.skip_space();
            self.expect(b':')?;
            let value = self.value(depth)?;
            member(name, value)?;
            self.skip_space();
            if self.accepts(b'}') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        self.skip_space();
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                self.string().map(Value::Text)
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(Value::Number),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            Some(b'{' | b'[') if depth >= MAX_DEPTH => Err(JsonError::TooDeep { at: self.at }),
            Some(b'{') => {
                self.at += 1;
                self.members::<JsonError>(depth + 1, &mut |_, _| Ok(()))?;
                Ok(Value::Other)
            }
            Some(b'[') => {
                self.at += 1;
                self.elements(depth + 1)?;
                Ok(Value::Other)
            }
            _ => Err(self.unexpected()),
        }
    }

    /// The elements of an array whose bracket was read.
    fn elements(&mut self, depth: usize) -> Result<(), JsonError> {
        self.skip_space();
        if self.accepts(b']') {
            return Ok(());
        }
        loop {
            self.value(depth)?;
            self.skip_space();
            if self.accepts(b']') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// What is left of a string whose first quote was read; the last one is read, too.
    fn string(&mut self) -> Result<&'a str, JsonError> {
        let start = self.at;
        loop {
            let at = self.at;
            match self.next() {
                Some(b'"') => return self.since(start, at),
                Some(b'\\') => match self.next() {
                    Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {}
                    Some(b'u') if (0..4).all(|_| self.next().is_some_and(|digit| digit.is_ascii_hexdigit())) => {}
                    _ => return Err(JsonError::Escape { at }),
                },
                Some(..0x20) => return Err(JsonError::ControlCharacter { at }),
                Some(_) => {}
                None => return Err(JsonError::Truncated { at }),
            }
        }
    }

    fn number(&mut self) -> Result<&'a str, JsonError> {
        let start = self.at;
        let malformed = JsonError::Number { at: start };
        self.accepts(b'-');
        let zero = self.peek() == Some(b'0');
        let digits = self.digits();
        if digits == 0 || (zero && digits > 1) {
            return Err(malformed);
        }
        if self.accepts(b'.') && self.digits() == 0 {
            return Err(malformed);
        }
        if self.accepts(b'e') || self.accepts(b'E') {
            let _signed = self.accepts(b'+') || self.accepts(b'-');
            if self.digits() == 0 {
                return Err(malformed);
            }
        }
        self.since(start, self.at)
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - start
    }

    fn word(&mut self, word: &'static str) -> Result<Value<'a>, JsonError> {
        for byte in word.bytes() {
            self.expect(byte)?;
        }
        Ok(Value::Other)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.accepts(byte) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn accepts(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn unexpected(&self) -> JsonError {
        match self.peek() {
            Some(_) => JsonError::Unexpected { at: self.at },
            None => JsonError::Truncated { at: self.at },
        }
    }

    fn since(&self, start: usize, end: usize) -> Result<&'a str, JsonError> {
        // Both are beside an ASCII character.
        self.text.get(start..end).ok_or(JsonError::Unexpected { at: start })
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

/// Why a part is not an object that we read. Offsets count from the start of the decoded part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Bytes that are no text.
    #[error("not UTF-8 at offset {at}")]
    NotUtf8 {
        /// Where.
        at: usize,
    },
    /// It ends too early.
    #[error("ends at offset {at}")]
    Truncated {
        /// Its length.
        at: usize,
    },
    /// Something follows the object.
    #[error("goes on after its end, at offset {at}")]
    Trailing {
        /// Where.
        at: usize,
    },
    /// Not what JSON has here.
    #[error("not JSON at offset {at}")]
    Unexpected {
        /// Where.
        at: usize,
    },
    /// A number as JSON does not write it.
    #[error("malformed number at offset {at}")]
    Number {
        /// Where it starts.
        at: usize,
    },
    /// An escape that JSON does not have.
    #[error("malformed escape at offset {at}")]
    Escape {
        /// Where it starts.
        at: usize,
    },
    /// A control character in a string.
    #[error("control character at offset {at}")]
    ControlCharacter {
        /// Where.
        at: usize,
    },
    /// A name with an escape, which could be another spelling of a name that we know.
    #[error("escape in the name at offset {at}")]
    EscapedName {
        /// Where the name starts.
        at: usize,
    },
    /// A name for the second time in one object.
    #[error("duplicate name at offset {at}")]
    DuplicateName {
        /// Where the second one starts.
        at: usize,
    },
    /// More than 16 members in one object.
    #[error("too many members at offset {at}")]
    TooManyMembers {
        /// Where the first one too many starts.
        at: usize,
    },
    /// More than four objects or arrays within each other.
    #[error("nested too deep at offset {at}")]
    TooDeep {
        /// Where the first one too deep starts.
        at: usize,
    },
}

#[cfg(test)]
mod tests;

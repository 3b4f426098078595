//! The CSV files that describe an NVS partition: records of fields, each with the line it starts on.
//!
//! What Python's `csv` module reads in its default dialect, as `esp_idf_nvs_partition_gen` 0.3.0 calls it: comma, double
//! quote, doubled quote inside quotes, CRLF read as LF, lines that begin with `#` skipped, empty lines skipped.
//!
//! Off-spec: what Python guesses at is refused here (text after a closing quote, a quote that is never closed, a lone
//! CR), and so is a line that begins with `#` inside a quoted value, which the generator silently drops from the value.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

/// Most fields of one record.
pub const MAX_FIELDS: usize = 1024;

/// One record; `line` counts from 1 and is where it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Line on which the record starts.
    pub line: usize,
    /// Its fields, unquoted.
    pub fields: Vec<Cow<'a, str>>,
}

/// The records of a file, in order. After an error there are no more.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Records<'a> {
    /// Starts reading `bytes`; a UTF-8 byte order mark is skipped.
    ///
    /// # Errors
    /// [`CsvError::NotUtf8`].
    pub fn new(bytes: &'a [u8]) -> Result<Self, CsvError> {
        let text = core::str::from_utf8(bytes).map_err(|error| {
            let before = &bytes[..error.valid_up_to()];
            CsvError::NotUtf8 { line: 1 + before.iter().filter(|&&byte| byte == b'\n').count() }
        })?;
        Ok(Self { rest: text.strip_prefix('\u{FEFF}').unwrap_or(text), line: 1 })
    }

    /// Takes one line end off the front.
    fn line_end(&mut self) -> Result<bool, CsvError> {
        let after = self.rest.strip_prefix("\r\n").or_else(|| self.rest.strip_prefix('\n'));
        match after {
            Some(after) => {
                self.rest = after;
                self.line += 1;
                Ok(true)
            }
            None if self.rest.starts_with('\r') => Err(CsvError::LoneCarriageReturn { line: self.line }),
            None => Ok(false),
        }
    }

    fn record(&mut self) -> Result<Option<Record<'a>>, CsvError> {
        loop {
            if self.rest.is_empty() {
                return Ok(None);
            }
            if self.rest.starts_with('#') {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                self.rest = &self.rest[end..];
                self.line_end()?;
            } else if !self.line_end()? {
                break;
            }
        }
        let (line, mut fields) = (self.line, Vec::new());
        loop {
            if fields.len() == MAX_FIELDS {
                return Err(CsvError::TooManyFields { line });
            }
            fields.push(if self.rest.starts_with('"') { self.quoted()? } else { self.bare()? });
            if let Some(after) = self.rest.strip_prefix(',') {
                self.rest = after;
            } else if self.rest.is_empty() || self.line_end()? {
                return Ok(Some(Record { line, fields }));
            } else {
                return Err(CsvError::AfterQuote { line: self.line });
            }
        }
    }

    /// A field without quotes; one in its middle is a character like any other.
    fn bare(&mut self) -> Result<Cow<'a, str>, CsvError> {
        let end = self.rest.find([',', '\n', '\r']).unwrap_or(self.rest.len());
        let (field, after) = self.rest.split_at(end);
        self.rest = after;
        if after.starts_with('\r') && !after.starts_with("\r\n") {
            return Err(CsvError::LoneCarriageReturn { line: self.line });
        }
        Ok(Cow::Borrowed(field))
    }

    fn quoted(&mut self) -> Result<Cow<'a, str>, CsvError> {
        let opened = self.line;
        let body = &self.rest[1..];
        let mut plain = None::<String>;
        let mut start = 0;
        loop {
            let found = body[start..].find(['"', '\r', '\n']);
            let at = start + found.ok_or(CsvError::UnclosedQuote { line: opened })?;
            let (piece, special) = (&body[start..at], &body[at..]);
            let (keep, skip) = if special.starts_with("\"\"") {
                ("\"", 2)
            } else if let Some(rest) = special.strip_prefix('"') {
                self.rest = rest;
                return Ok(match plain {
                    Some(text) => Cow::Owned(text + piece),
                    None => Cow::Borrowed(piece),
                });
            } else {
                let skip = if special.starts_with("\r\n") { 2 } else { 1 };
                if special.starts_with('\r') && skip == 1 {
                    return Err(CsvError::LoneCarriageReturn { line: self.line });
                }
                self.line += 1;
                if special[skip..].starts_with('#') {
                    return Err(CsvError::CommentInQuotes { line: self.line });
                }
                ("\n", skip)
            };
            let text = plain.get_or_insert_default();
            text.push_str(piece);
            text.push_str(keep);
            start = at + skip;
        }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, CsvError>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.record();
        if record.is_err() {
            self.rest = "";
        }
        record.transpose()
    }
}

/// Appends one record with CRLF, quoting what needs it, as Python's `csv` module does.
pub fn write_record<'a>(out: &mut String, fields: impl IntoIterator<Item = &'a str>) {
    for (position, field) in fields.into_iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        // Also a leading `#`, lest the line be a comment.
        if field.contains([',', '"', '\r', '\n']) || field.starts_with('#') {
            out.push('"');
            out.push_str(&field.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(field);
        }
    }
    out.push_str("\r\n");
}

/// Why a file is not such a CSV file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsvError {
    /// Not text.
    #[error("line {line}: not UTF-8")]
    NotUtf8 {
        /// Line.
        line: usize,
    },
    /// A CR without LF.
    #[error("line {line}: a carriage return without a line feed")]
    LoneCarriageReturn {
        /// Line.
        line: usize,
    },
    /// The file ends inside quotes.
    #[error("line {line}: the quote that opens here is never closed")]
    UnclosedQuote {
        /// Line of the opening quote.
        line: usize,
    },
    /// Neither comma nor line end after a closing quote.
    #[error("line {line}: text after a closing quote")]
    AfterQuote {
        /// Line.
        line: usize,
    },
    /// Espressif's generator would drop this line from the value.
    #[error("line {line}: a line that begins with # inside a quoted value")]
    CommentInQuotes {
        /// Line.
        line: usize,
    },
    /// More than [`MAX_FIELDS`].
    #[error("line {line}: more than 1024 fields")]
    TooManyFields {
        /// Line.
        line: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Vec<(usize, Vec<String>)>, CsvError> {
        let records: Result<Vec<Record<'_>>, _> = Records::new(text.as_bytes())?.collect();
        Ok(records?
            .into_iter()
            .map(|record| (record.line, record.fields.into_iter().map(Cow::into_owned).collect()))
            .collect())
    }

    #[test]
    fn reads_what_python_reads() {
        let text = "\u{FEFF}a,b\r\n# no, \"record\n\n\"x,1\",\"say \"\"hi\"\"\"\n\"two\r\nlines\",\"\",5\" disk,\nlast";
        let expected = vec![
            (1, vec!["a", "b"]),
            (4, vec!["x,1", "say \"hi\""]),
            (5, vec!["two\nlines", "", "5\" disk", ""]),
            (7, vec!["last"]),
        ];
        let read = read(text).unwrap();
        assert_eq!(read.len(), expected.len());
        for ((line, fields), (expected_line, expected_fields)) in read.iter().zip(&expected) {
            assert_eq!(
                (line, fields.as_slice()),
                (expected_line, &*expected_fields.iter().map(|&f| f.into()).collect::<Vec<String>>())
            );
        }
    }

    #[test]
    fn refuses_what_python_guesses_at() {
        assert_eq!(read("a\n\"b\nc"), Err(CsvError::UnclosedQuote { line: 2 }));
        assert_eq!(read("a\n\"b\"c"), Err(CsvError::AfterQuote { line: 2 }));
        assert_eq!(read("a\rb"), Err(CsvError::LoneCarriageReturn { line: 1 }));
        assert_eq!(read("\"a\rb\""), Err(CsvError::LoneCarriageReturn { line: 1 }));
        assert_eq!(read("\"a\n#b\""), Err(CsvError::CommentInQuotes { line: 2 }));
        assert_eq!(read(&",".repeat(MAX_FIELDS)), Err(CsvError::TooManyFields { line: 1 }));
        assert_eq!(Records::new(b"a\n\xFF").err(), Some(CsvError::NotUtf8 { line: 2 }));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(rows in prop::collection::vec(prop::collection::vec("[ -~\n\"#,äß]{0,12}", 1..6), 0..8)) {
            let rows: Vec<Vec<String>> = rows
                .into_iter()
                .map(|row| row.into_iter().map(|field| field.replace("\n#", "\n")).collect())
                .filter(|row: &Vec<String>| row.len() > 1 || !row[0].is_empty())
                .collect();
            let mut text = String::new();
            rows.iter().for_each(|row| write_record(&mut text, row.iter().map(String::as_str)));
            let read: Vec<Vec<String>> = read(&text).unwrap().into_iter().map(|(_, fields)| fields).collect();
            prop_assert_eq!(read, rows);
        }

        #[test]
        fn no_input_panics(text in "[a,\"\r\n#]{0,40}") {
            let _ = read(&text);
        }
    }
}

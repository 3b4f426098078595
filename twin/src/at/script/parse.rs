//! The text of a script: words, quoted bytes, expressions and times.

use super::{Action, Pattern, STEPS_MAX, Script, Step, WAIT_MAX};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A mistake, and where it is.
#[derive(Clone, Debug, PartialEq)]
pub struct ScriptError {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong there.
    pub mistake: Mistake,
}

/// What can be wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Mistake {
    /// No step begins with this word.
    Verb,
    /// A text in double quotes is expected.
    Text,
    /// A text in double quotes or an expression between slashes is expected.
    Pattern,
    /// A time like `16s`, `500ms` or `2m` is expected.
    Time,
    /// Longer than a day.
    Long,
    /// The quote or slash that ends it is missing.
    Open,
    /// No such escape.
    Escape,
    /// A regular expression that cannot be read.
    Regex(regex::Error),
    /// It would be found in nothing.
    Nothing,
    /// Something follows that belongs to no step.
    Trailing,
    /// A file needs a name, as text.
    Name,
    /// More than [`STEPS_MAX`] steps.
    Steps,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "script: line {}, column {}: {}", self.line, self.column, self.mistake)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verb => f.write_str(
                "no such step; expected timeout, ready, send, raw, file, expect, refuse, log, sleep, passthrough or escape",
            ),
            Self::Text => f.write_str("expected a text in double quotes"),
            Self::Pattern => f.write_str("expected a text in double quotes or an expression between slashes"),
            Self::Time => f.write_str("expected a time like 16s, 500ms or 2m"),
            Self::Long => write!(f, "longer than {} hours", WAIT_MAX.as_secs() / 3600),
            Self::Open => f.write_str("not closed on this line"),
            Self::Escape => f.write_str("no such escape; there are \\r \\n \\t \\\\ \\\" and \\xHH"),
            Self::Regex(error) => {
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default();
                write!(f, "the expression cannot be read: {}", last.trim_start_matches("error: ").escape_debug())
            }
            Self::Nothing => f.write_str("it would be found in nothing at all"),
            Self::Trailing => f.write_str("nothing more belongs here"),
            Self::Name => f.write_str("expected the name of a file"),
            Self::Steps => write!(f, "more than {STEPS_MAX} steps"),
        }
    }
}

impl std::error::Error for ScriptError {}

/// Reads all lines, and tells every line's first mistake.
pub(super) fn script(text: &str) -> Result<Script, Vec<ScriptError>> {
    let (mut steps, mut errors) = (Vec::new(), Vec::new());
    for (index, text) in text.lines().enumerate() {
        let line = index + 1;
        let mut cursor = Cursor { rest: text, column: 1 };
        match cursor.step() {
            Ok(None) => {}
            Ok(Some(_)) if steps.len() == STEPS_MAX => {
                errors.push(ScriptError { line, column: 1, mistake: Mistake::Steps });
                break;
            }
            Ok(Some(action)) => steps.push(Step { line, action }),
            Err((column, mistake)) => errors.push(ScriptError { line, column, mistake }),
        }
    }
    if errors.is_empty() { Ok(Script { steps }) } else { Err(errors) }
}

/// What is left of a line.
struct Cursor<'a> {
    rest: &'a str,
    column: usize,
}

type Parsed<T> = Result<T, (usize, Mistake)>;

impl Cursor<'_> {
    fn step(&mut self) -> Parsed<Option<Action>> {
        self.spaces();
        if self.is_over() {
            return Ok(None);
        }
        let column = self.column;
        let action = match self.word().as_str() {
            "timeout" => Action::Timeout(self.time()?),
            "ready" => Action::Ready { within: self.within()? },
            "send" => Action::Send(self.text()?),
            "raw" => Action::Raw(self.text()?),
            "file" => Action::File(self.path()?),
            "expect" => Action::Expect { pattern: self.pattern()?, within: self.within()? },
            "refuse" if self.takes("nothing") => Action::Refuse(None),
            "refuse" => Action::Refuse(Some(self.pattern()?)),
            "log" => Action::Log(self.text()?),
            "sleep" => Action::Sleep(self.time()?),
            "passthrough" => Action::Passthrough { within: self.within()? },
            "escape" => Action::Escape,
            _ => return Err((column, Mistake::Verb)),
        };
        self.spaces();
        if self.is_over() { Ok(Some(action)) } else { Err((self.column, Mistake::Trailing)) }
    }

    /// The end of the line, or the begin of a comment.
    fn is_over(&self) -> bool {
        self.rest.is_empty() || self.rest.starts_with('#')
    }

    fn next(&mut self) -> Option<char> {
        let mut letters = self.rest.chars();
        let letter = letters.next()?;
        (self.rest, self.column) = (letters.as_str(), self.column + 1);
        Some(letter)
    }

    fn spaces(&mut self) {
        while self.rest.starts_with([' ', '\t']) {
            self.next();
        }
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while self.rest.starts_with(|letter: char| letter.is_ascii_alphanumeric()) {
            word.extend(self.next());
        }
        word
    }

    fn takes(&mut self, wanted: &str) -> bool {
        self.spaces();
        let (rest, column) = (self.rest, self.column);
        if self.word() == wanted {
            return true;
        }
        (self.rest, self.column) = (rest, column);
        false
    }

    fn within(&mut self) -> Parsed<Option<Duration>> {
        if self.takes("within") { self.time().map(Some) } else { Ok(None) }
    }

    fn time(&mut self) -> Parsed<Duration> {
        self.spaces();
        let column = self.column;
        let word = self.word();
        let (digits, unit) = word.split_at(word.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(word.len()));
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            _ => return Err((column, Mistake::Time)),
        };
        if digits.is_empty() {
            return Err((column, Mistake::Time));
        }
        let time = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(milliseconds));
        let time = time.map(Duration::from_millis).filter(|time| *time <= WAIT_MAX);
        time.ok_or((column, Mistake::Long))
    }

    fn text(&mut self) -> Parsed<Vec<u8>> {
        self.spaces();
        let column = self.column;
        if self.next() != Some('"') {
            return Err((column, Mistake::Text));
        }
        let mut bytes = Vec::new();
        loop {
            let here = self.column;
            match self.next() {
                None => return Err((column, Mistake::Open)),
                Some('"') => return Ok(bytes),
                Some('\\') => bytes.push(self.escape().ok_or((here, Mistake::Escape))?),
                Some(letter) => bytes.extend(letter.encode_utf8(&mut [0; 4]).bytes()),
            }
        }
    }

    fn escape(&mut self) -> Option<u8> {
        match self.next()? {
            'r' => Some(b'\r'),
            'n' => Some(b'\n'),
            't' => Some(b'\t'),
            '\\' => Some(b'\\'),
            '"' => Some(b'"'),
            'x' => {
                let [high, low] = [self.next()?, self.next()?].map(|digit| digit.to_digit(16));
                u8::try_from(high? * 16 + low?).ok()
            }
            _ => None,
        }
    }

    fn pattern(&mut self) -> Parsed<Pattern> {
        self.spaces();
        let column = self.column;
        let pattern = if self.rest.starts_with('/') {
            self.next();
            let mut source = String::new();
            loop {
                match self.next() {
                    None => return Err((column, Mistake::Open)),
                    Some('/') => break,
                    Some('\\') => {
                        source.push('\\');
                        source.push(self.next().ok_or((column, Mistake::Open))?);
                    }
                    Some(letter) => source.push(letter),
                }
            }
            Pattern::regex(&source).map_err(|error| (column, Mistake::Regex(error)))?
        } else if self.rest.starts_with('"') {
            Pattern::Text(self.text()?)
        } else {
            return Err((column, Mistake::Pattern));
        };
        let is_nothing = match &pattern {
            Pattern::Text(text) => text.is_empty(),
            Pattern::Regex(regex) => regex.is_match(b""),
        };
        if is_nothing { Err((column, Mistake::Nothing)) } else { Ok(pattern) }
    }

    fn path(&mut self) -> Parsed<PathBuf> {
        self.spaces();
        let column = self.column;
        let name = String::from_utf8(self.text()?).ok().filter(|name| !name.is_empty() && !name.contains('\0'));
        name.map(PathBuf::from).ok_or((column, Mistake::Name))
    }
}

#[cfg(test)]
mod tests {
    use super::super::EXAMPLE;
    use super::*;

    fn one(text: &str) -> Action {
        Script::parse(text).expect(text).steps.remove(0).action
    }

    fn mistake(text: &str) -> (usize, usize, Mistake) {
        let errors = Script::parse(text).expect_err(text);
        assert_eq!(errors.len(), 1, "{errors:?}");
        (errors[0].line, errors[0].column, errors[0].mistake.clone())
    }

    #[test]
    fn every_step_is_written_as_it_is_read() {
        let text = r#"timeout 16s
ready within 1500ms
ready
send "AT+CWJAP=\"ap\",\"\\\""
raw "\x00\xff\r\n\t"
file "a b.bin"
expect "OK\r\n" within 5s
expect /^\+IPD,\d+:\/x\r$/
refuse "ERROR"
refuse nothing
log "halfway"
sleep 500ms
passthrough within 3s
escape
"#;
        let script = Script::parse(text).unwrap();
        assert_eq!(script.to_string(), text);
        assert_eq!(script.steps.iter().map(|step| step.line).collect::<Vec<_>>(), (1..=14).collect::<Vec<_>>());
    }

    #[test]
    fn comments_and_spaces_say_nothing() {
        let script = Script::parse("\n  # all of it\n\t send \"#\"   # the rest\r\n").unwrap();
        assert_eq!(script.steps, [Step { line: 3, action: Action::Send(b"#".to_vec()) }]);
        assert_eq!(one("raw \"\u{e9}\""), Action::Raw(vec![0xc3, 0xa9]));
        assert_eq!(one("sleep 2m"), Action::Sleep(Duration::from_secs(120)));
    }

    #[test]
    fn the_examples_sequence_is_a_script() {
        assert_eq!(Script::parse(EXAMPLE).unwrap().steps.len(), 11);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        assert_eq!(mistake("\nsned \"AT\""), (2, 1, Mistake::Verb));
        assert_eq!(mistake("send AT"), (1, 6, Mistake::Text));
        assert_eq!(mistake("send \"AT"), (1, 6, Mistake::Open));
        assert_eq!(mistake("expect OK"), (1, 8, Mistake::Pattern));
        assert_eq!(mistake("expect /OK"), (1, 8, Mistake::Open));
        assert_eq!(mistake("expect \"\""), (1, 8, Mistake::Nothing));
        assert_eq!(mistake("expect /x*/"), (1, 8, Mistake::Nothing));
        assert!(matches!(mistake("expect /(/"), (1, 8, Mistake::Regex(_))));
        assert_eq!(mistake("raw \"\\q\""), (1, 6, Mistake::Escape));
        assert_eq!(mistake("raw \"\\x0g\""), (1, 6, Mistake::Escape));
        assert_eq!(mistake("timeout 16"), (1, 9, Mistake::Time));
        assert_eq!(mistake("timeout soon"), (1, 9, Mistake::Time));
        assert_eq!(mistake("sleep 25000m"), (1, 7, Mistake::Long));
        assert_eq!(mistake("sleep 99999999999999999999s"), (1, 7, Mistake::Long));
        assert_eq!(mistake("escape now"), (1, 8, Mistake::Trailing));
        assert_eq!(mistake("file \"\""), (1, 6, Mistake::Name));
        assert_eq!(mistake("file \"\\xff\""), (1, 6, Mistake::Name));
        let long = "escape\n".repeat(STEPS_MAX + 1);
        assert_eq!(mistake(&long), (STEPS_MAX + 1, 1, Mistake::Steps));
    }

    #[test]
    fn all_mistakes_are_told_at_once_and_without_control_characters() {
        let errors = Script::parse("a\nescape\nexpect /(\u{7}/\n").unwrap_err();
        assert_eq!(errors.iter().map(|error| error.line).collect::<Vec<_>>(), [1, 3]);
        assert!(errors.iter().all(|error| !error.to_string().contains(char::is_control)));
        assert_eq!(errors[1].to_string(), "script: line 3, column 8: the expression cannot be read: unclosed group");
    }
}

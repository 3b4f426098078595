//! The text of an AT command: which one, in which of its four forms, with which parameters.
//!
//! Source: esp-at (July 2026) `docs/en/AT_Command_Set/index.rst`, "AT Command Types".

use std::fmt;

/// The longest command, without its CR LF.
pub const LINE_MAX: usize = 256;

/// A command line that reads.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    name: String,
    form: Form,
}

/// How a command is meant.
#[derive(Clone, PartialEq, Eq)]
pub enum Form {
    /// `AT+X=?`: which values are there?
    Test,
    /// `AT+X?`: which value is set?
    Query,
    /// `AT+X=1,"a",,2`
    Set(Vec<Parameter>),
    /// `AT+X`
    Execute,
}

/// One parameter of a set command.
#[derive(Clone, PartialEq, Eq)]
pub enum Parameter {
    /// Nothing between two commas: the default, or what was set before.
    Omitted,
    /// A decimal number, or a hexadecimal one behind `0x`.
    Integer(i64),
    /// A string between quotation marks, without its escapes.
    Text(Vec<u8>),
}

impl Command {
    /// Reads a line, without its CR LF.
    ///
    /// # Errors
    /// [`GrammarError`].
    pub fn parse(line: &[u8]) -> Result<Self, GrammarError> {
        if line.len() > LINE_MAX {
            return Err(GrammarError::TooLong { got: line.len() });
        }
        let rest = line.strip_prefix(b"AT").ok_or(GrammarError::NotAt)?;
        let extended = usize::from(rest.first() == Some(&b'+'));
        let is_name = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
        let letters = rest.iter().skip(extended).take_while(|byte| is_name(byte)).count();
        let (name, form) = rest.split_at(extended + letters);
        if letters == 0 && (extended == 1 || !rest.is_empty()) {
            return Err(GrammarError::Name { at: 2 + extended });
        }
        let name = String::from_utf8_lossy(name).into_owned();
        let form = match form {
            [] => Form::Execute,
            b"?" if extended == 1 => Form::Query,
            b"=?" if extended == 1 => Form::Test,
            [b'=', parameters @ ..] if extended == 1 => Form::Set(parse_parameters(parameters)?),
            _ => return Err(GrammarError::Name { at: 2 + name.len() }),
        };
        Ok(Self { name, form })
    }

    /// The name behind `AT`: `+CWMODE`, `E0`, or nothing.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The form, with the parameters.
    #[must_use]
    pub const fn form(&self) -> &Form {
        &self.form
    }

    /// The line again, without CR LF: numbers in decimal, and only those characters escaped that have to be.
    #[must_use]
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = format!("AT{}", self.name).into_bytes();
        match &self.form {
            Form::Test => line.extend(b"=?"),
            Form::Query => line.push(b'?'),
            Form::Execute => {}
            Form::Set(parameters) => {
                for (index, parameter) in parameters.iter().enumerate() {
                    line.push(if index == 0 { b'=' } else { b',' });
                    parameter.write(&mut line);
                }
            }
        }
        line
    }
}

impl Parameter {
    fn write(&self, line: &mut Vec<u8>) {
        match self {
            Self::Omitted => {}
            Self::Integer(number) => line.extend(number.to_string().as_bytes()),
            Self::Text(text) => {
                line.push(b'"');
                for byte in text {
                    if matches!(byte, b'\\' | b',' | b'"') {
                        line.push(b'\\');
                    }
                    line.push(*byte);
                }
                line.push(b'"');
            }
        }
    }
}

/// Name and form only: the parameters may be passwords.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AT{}{:?}", self.name, self.form)
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Test => f.write_str("=?"),
            Self::Query => f.write_str("?"),
            Self::Set(parameters) => write!(f, "=[{} parameters]", parameters.len()),
            Self::Execute => Ok(()),
        }
    }
}

/// Texts by their length only.
impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Omitted => f.write_str("Omitted"),
            Self::Integer(number) => write!(f, "Integer({number})"),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
        }
    }
}

fn parse_parameters(text: &[u8]) -> Result<Vec<Parameter>, GrammarError> {
    let mut parameters = Vec::new();
    let mut rest = text;
    loop {
        let index = parameters.len();
        let (parameter, behind) = match rest {
            [] | [b',', ..] => (Parameter::Omitted, rest),
            [b'"', text @ ..] => parse_text(text, index)?,
            _ => parse_integer(rest, index)?,
        };
        parameters.push(parameter);
        match behind {
            [] => return Ok(parameters),
            [b',', next @ ..] => rest = next,
            _ => return Err(GrammarError::Trailing { index }),
        }
    }
}

/// What is behind the first quotation mark.
fn parse_text(text: &[u8], index: usize) -> Result<(Parameter, &[u8]), GrammarError> {
    let mut content = Vec::new();
    let mut rest = text;
    loop {
        match rest {
            [b'"', behind @ ..] => return Ok((Parameter::Text(content), behind)),
            [b'\\', escaped, behind @ ..] => {
                content.push(*escaped);
                rest = behind;
            }
            [b'\\'] | [] => return Err(GrammarError::Unterminated { index }),
            [byte, behind @ ..] => {
                content.push(*byte);
                rest = behind;
            }
        }
    }
}

fn parse_integer(text: &[u8], index: usize) -> Result<(Parameter, &[u8]), GrammarError> {
    let end = text.iter().position(|byte| *byte == b',').unwrap_or(text.len());
    let (number, behind) = text.split_at(end);
    let (digits, sign) = number.strip_prefix(b"-").map_or((number, 1), |digits| (digits, -1));
    let (digits, radix) = match digits {
        [b'0', b'x' | b'X', digits @ ..] => (digits, 16),
        digits => (digits, 10),
    };
    // Longer ones would be read by from_str_radix too, with a sign of their own.
    let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    let value = str::from_utf8(digits).ok().filter(|_| all_digits);
    let value = value.ok_or(GrammarError::NotAValue { index })?;
    let value = match i64::from_str_radix(value, radix) {
        Ok(value) => sign * value,
        Err(error) if matches!(error.kind(), std::num::IntErrorKind::PosOverflow) => {
            return Err(GrammarError::TooLarge { index });
        }
        Err(_) => return Err(GrammarError::NotAValue { index }),
    };
    if !(i64::from(i32::MIN)..=i64::from(u32::MAX)).contains(&value) {
        return Err(GrammarError::TooLarge { index });
    }
    Ok((Parameter::Integer(value), behind))
}

/// Why a line is no command. Parameters are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrammarError {
    /// It does not begin with `AT`.
    #[error("the line does not begin with AT")]
    NotAt,
    /// It is longer than [`LINE_MAX`].
    #[error("the line has {got} bytes, but a command has {LINE_MAX} at most")]
    TooLong {
        /// So long, or longer.
        got: usize,
    },
    /// What stands behind `AT` is no name, or nothing that can follow one.
    #[error("byte {at} belongs to no name and to no form of a command")]
    Name {
        /// Where.
        at: usize,
    },
    /// A string without its end.
    #[error("parameter {index}: the string does not end")]
    Unterminated {
        /// Which one.
        index: usize,
    },
    /// Something between the end of a string and the comma.
    #[error("parameter {index}: expected a comma behind the string")]
    Trailing {
        /// Which one.
        index: usize,
    },
    /// Neither a string nor a number.
    #[error("parameter {index} is neither a string in quotation marks nor a number")]
    NotAValue {
        /// Which one.
        index: usize,
    },
    /// A number that does not fit 32 bits.
    #[error("parameter {index} does not fit 32 bits")]
    TooLarge {
        /// Which one.
        index: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(line: &str) -> Result<Vec<Parameter>, GrammarError> {
        match Command::parse(line.as_bytes())?.form {
            Form::Set(parameters) => Ok(parameters),
            _ => Ok(Vec::new()),
        }
    }

    fn text(text: &str) -> Parameter {
        Parameter::Text(text.as_bytes().to_vec())
    }

    #[test]
    fn the_four_forms_are_told_apart() {
        let parse = |line: &str| Command::parse(line.as_bytes()).map(|command| (command.name, command.form));
        assert_eq!(parse("AT"), Ok((String::new(), Form::Execute)));
        assert_eq!(parse("ATE0"), Ok(("E0".to_owned(), Form::Execute)));
        assert_eq!(parse("AT+GMR"), Ok(("+GMR".to_owned(), Form::Execute)));
        assert_eq!(parse("AT+CWMODE=?"), Ok(("+CWMODE".to_owned(), Form::Test)));
        assert_eq!(parse("AT+CWMODE?"), Ok(("+CWMODE".to_owned(), Form::Query)));
        assert_eq!(parse("AT+UART_CUR=?"), Ok(("+UART_CUR".to_owned(), Form::Test)));
    }

    #[test]
    fn the_examples_of_the_manual_read_as_it_says() {
        assert_eq!(set(r#"AT+CWJAP="ssid","password",,1"#), {
            Ok(vec![text("ssid"), text("password"), Parameter::Omitted, Parameter::Integer(1)])
        });
        assert_eq!(set(r#"AT+CWJAP="comma\,backslash\\ssid","1234567890""#), {
            Ok(vec![text(r"comma,backslash\ssid"), text("1234567890")])
        });
        assert_eq!(set(r#"AT+CWJAP="ab\\\,c","0123456789\"\\""#), Ok(vec![text(r"ab\,c"), text(r#"0123456789"\"#)]));
        assert_eq!(set(r#"AT+MQTTPUB=0,"topic","\"{\"sensor\":012}\"",1,0"#), {
            let numbers = [0, 1, 0].map(Parameter::Integer);
            let [link, qos, retain] = numbers;
            Ok(vec![link, text("topic"), text(r#""{"sensor":012}""#), qos, retain])
        });
        assert_eq!(set(r#"AT+SYSFLASH=1,"mfg_nvs",0,0x1C000"#).map(|all| all.last().cloned()), {
            Ok(Some(Parameter::Integer(0x1C000)))
        });
        assert_eq!(set("AT+CIPSNTPCFG=1,-500"), Ok(vec![Parameter::Integer(1), Parameter::Integer(-500)]));
    }

    #[test]
    fn what_is_no_command_is_refused_for_what_it_is() {
        let refused = |line: &str| Command::parse(line.as_bytes()).err();
        assert_eq!(refused("at"), Some(GrammarError::NotAt));
        assert_eq!(refused(""), Some(GrammarError::NotAt));
        assert_eq!(refused("AT "), Some(GrammarError::Name { at: 2 }));
        assert_eq!(refused("AT+"), Some(GrammarError::Name { at: 3 }));
        assert_eq!(refused("ATE1?"), Some(GrammarError::Name { at: 4 }));
        assert_eq!(refused("AT+CWMODE??"), Some(GrammarError::Name { at: 9 }));
        assert_eq!(refused("AT+X=\"a"), Some(GrammarError::Unterminated { index: 0 }));
        assert_eq!(refused("AT+X=1,\"a\\"), Some(GrammarError::Unterminated { index: 1 }));
        assert_eq!(refused("AT+X=\"a\"b"), Some(GrammarError::Trailing { index: 0 }));
        for no_number in ["one", "-", "0x", "+1", "1 ", "--1", "- 1", "1a", "0x-1"] {
            assert_eq!(refused(&format!("AT+X=,{no_number}")), Some(GrammarError::NotAValue { index: 1 }));
        }
        for large in ["4294967296", "-2147483649", "0xffffffffffffffffff"] {
            assert_eq!(refused(&format!("AT+X={large}")), Some(GrammarError::TooLarge { index: 0 }));
        }
        assert_eq!(Command::parse(&[b'A'; 257]), Err(GrammarError::TooLong { got: 257 }));
    }

    #[test]
    fn a_command_survives_being_written() {
        for line in ["AT", "ATE1", "AT+X?", "AT+X=?", "AT+X=", "AT+X=,,1", r#"AT+X="a\\\"\,b",-7"#] {
            let command = Command::parse(line.as_bytes());
            assert_eq!(command.as_ref().map(|command| command.to_line()), Ok(line.as_bytes().to_vec()));
        }
    }

    #[test]
    fn parameters_are_not_printed() {
        let shown = Command::parse(b"AT+CWJAP=\"home\",\"secret\"").map(|command| format!("{command:?}"));
        assert_eq!(shown.as_deref(), Ok("AT+CWJAP=[2 parameters]"));
    }
}

//! What a command says: a name, and named values.

use super::CommandError;
use core::fmt;
use core::str::FromStr;
use cotter_formats::read::{ReadError, Reader};

/// Most parameters of a command.
pub const MAX_PARAMETERS: usize = 8;
/// Longest text value, in bytes.
pub const MAX_TEXT: usize = 64;
/// Longest content, in bytes.
pub const MAX_CONTENT: usize =
    1 + CommandName::MAX_LEN + 1 + MAX_PARAMETERS * (2 + CommandName::MAX_LEN + 1 + MAX_TEXT);

/// 1 to 32 lower-case letters, digits and `-`: what a command or a parameter is called.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandName(heapless::String<{ Self::MAX_LEN }>);

impl CommandName {
    /// Longest name, in bytes.
    pub const MAX_LEN: usize = 32;

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CommandName {
    type Err = ContentError;

    fn from_str(text: &str) -> Result<Self, ContentError> {
        let legal = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if text.is_empty() || !text.bytes().all(legal) {
            return Err(ContentError::Name);
        }
        heapless::String::try_from(text).map(Self).map_err(|_| ContentError::Name)
    }
}

impl fmt::Display for CommandName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CommandName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommandName({})", self.0)
    }
}

/// The value of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Yes or no.
    Boolean(bool),
    /// A number.
    Integer(i64),
    /// Printable ASCII, possibly empty.
    Text(heapless::String<MAX_TEXT>),
}

impl Value {
    /// A text value.
    ///
    /// # Errors
    /// [`ContentError::Text`] unless it is up to 64 printable ASCII characters.
    pub fn text(text: &str) -> Result<Self, ContentError> {
        let printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let text = heapless::String::try_from(text).map_err(|_| ContentError::Text)?;
        if printable { Ok(Self::Text(text)) } else { Err(ContentError::Text) }
    }
}

/// A named value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: CommandName,
    /// Its value.
    pub value: Value,
}

/// What a device shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Which of the things that it can do.
    pub name: CommandName,
    // No name twice.
    parameters: heapless::Vec<Parameter, MAX_PARAMETERS>,
}

impl Command {
    /// A command without parameters.
    #[must_use]
    pub const fn new(name: CommandName) -> Self {
        Self { name, parameters: heapless::Vec::new() }
    }

    /// Adds a parameter.
    ///
    /// # Errors
    /// [`ContentError::Duplicate`] or [`ContentError::Count`]; the command stays as it was.
    pub fn push(&mut self, name: CommandName, value: Value) -> Result<(), ContentError> {
        if self.value(name.as_str()).is_some() {
            return Err(ContentError::Duplicate);
        }
        self.parameters.push(Parameter { name, value }).map_err(|_| ContentError::Count(MAX_PARAMETERS + 1))
    }

    /// The parameters, in the order in which they were pushed.
    #[must_use]
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The value of a parameter.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.parameters.iter().find(|parameter| parameter.name.as_str() == name).map(|found| &found.value)
    }

    /// Writes the content into the beginning of `out`; [`MAX_CONTENT`] bytes are always enough.
    ///
    /// # Errors
    /// [`CommandError::OutputFull`].
    pub fn encode<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], CommandError> {
        let mut at = 0;
        let mut put = |bytes: &[u8]| -> Result<(), CommandError> {
            let end = at + bytes.len();
            out.get_mut(at..end).ok_or(CommandError::OutputFull)?.copy_from_slice(bytes);
            at = end;
            Ok(())
        };
        // Names, counts and texts are all shorter than 256.
        let length = |text: &str| [text.len().to_le_bytes()[0]];
        put(&length(self.name.as_str()))?;
        put(self.name.as_str().as_bytes())?;
        put(&[self.parameters.len().to_le_bytes()[0]])?;
        for Parameter { name, value } in &self.parameters {
            put(&length(name.as_str()))?;
            put(name.as_str().as_bytes())?;
            match value {
                Value::Boolean(value) => put(&[BOOLEAN, u8::from(*value)])?,
                Value::Integer(value) => {
                    put(&[INTEGER])?;
                    put(&value.to_be_bytes())?;
                }
                Value::Text(text) => {
                    put(&[TEXT])?;
                    put(&length(text))?;
                    put(text.as_bytes())?;
                }
            }
        }
        Ok(&out[..at])
    }

    /// Reads what [`Self::encode`] wrote, and nothing else.
    ///
    /// # Errors
    /// [`ContentError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ContentError> {
        let mut reader = Reader::new(bytes);
        let mut command = Self::new(name(&mut reader)?);
        let count = usize::from(reader.u8()?);
        if count > MAX_PARAMETERS {
            return Err(ContentError::Count(count));
        }
        for _ in 0..count {
            let name = name(&mut reader)?;
            let value = match reader.u8()? {
                BOOLEAN => match reader.u8()? {
                    0 => Value::Boolean(false),
                    1 => Value::Boolean(true),
                    other => return Err(ContentError::Boolean(other)),
                },
                INTEGER => Value::Integer(i64::from_be_bytes(reader.array()?)),
                TEXT => Value::text(text(&mut reader)?)?,
                other => return Err(ContentError::Kind(other)),
            };
            command.push(name, value)?;
        }
        reader.finish()?;
        Ok(command)
    }
}

fn name(reader: &mut Reader<'_>) -> Result<CommandName, ContentError> {
    text(reader)?.parse()
}

fn text<'a>(reader: &mut Reader<'a>) -> Result<&'a str, ContentError> {
    let len = reader.u8()?;
    core::str::from_utf8(reader.take(len.into())?).map_err(|_| ContentError::Text)
}

const BOOLEAN: u8 = 0;
const INTEGER: u8 = 1;
const TEXT: u8 = 2;

/// Why bytes or values make no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Too short or too long.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// Not a name.
    #[error("a name has 1 to 32 lower-case letters, digits and -")]
    Name,
    /// More than eight parameters.
    #[error("{0} parameters, at most 8")]
    Count(usize),
    /// A parameter twice.
    #[error("a parameter is there twice")]
    Duplicate,
    /// Neither false nor true.
    #[error("{0} is no boolean")]
    Boolean(u8),
    /// A kind of value of the future.
    #[error("unknown kind of value {0}")]
    Kind(u8),
    /// Too long, or not printable ASCII.
    #[error("a text has at most 64 printable ASCII characters")]
    Text,
}

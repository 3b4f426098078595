//! Why a command is answered with ERROR, and the number that `AT+SYSLOG=1` adds.

use super::grammar::GrammarError;

/// A reason. Parameters are counted from 0.
///
/// Source of the numbers: esp-at (July 2026) `components/at/include/esp_at_core.h`, `esp_at_error_code`, and
/// `docs/en/AT_Command_Set/MQTT_AT_Commands.rst`. Which of them the original gives in which case is known only as far as
/// their names tell: its core is closed source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It does not begin with `AT`.
    #[error("not an AT command")]
    NotAt,
    /// Too long.
    #[error("parameter {0} is too long")]
    Length(u8),
    /// A string where a number belongs, or the other way round.
    #[error("parameter {0} is of the wrong type")]
    Type(u8),
    /// Too few or too many.
    #[error("expected {need} parameters, got {given}")]
    Count {
        /// How many there should be.
        need: u8,
        /// How many there are.
        given: u8,
    },
    /// Not one of the values that it may have.
    #[error("parameter {0} is not one of the values that it may have")]
    Invalid(u8),
    /// It does not read.
    #[error("parameter {0} cannot be read")]
    Parse(u8),
    /// There is no such command.
    #[error("no such command")]
    Unsupported,
    /// The command has no such form.
    #[error("the command has no such form")]
    Form,
    /// It could not be done.
    #[error("it could not be done")]
    Failed,
    /// One of the numbers of the MQTT commands.
    #[error("MQTT error {0:#06x}")]
    Mqtt(u16),
}

impl Refusal {
    /// What stands behind `ERR CODE:`.
    #[doc(alias = "esp_at_error_code")]
    #[must_use]
    pub const fn code(self) -> u32 {
        let (sub, extension) = match self {
            Self::NotAt => (0x03, 0),
            Self::Length(index) => (0x04, index as u32),
            Self::Type(index) => (0x05, index as u32),
            Self::Count { need, given } => (0x06, (need as u32) << 8 | given as u32),
            Self::Invalid(index) => (0x07, index as u32),
            Self::Parse(index) => (0x08, index as u32),
            Self::Unsupported => (0x09, 0),
            Self::Failed => (0x0A, 0),
            Self::Form => (0x0C, 0),
            Self::Mqtt(number) => return number as u32,
        };
        0x0100_0000 | sub << 16 | extension
    }
}

impl From<GrammarError> for Refusal {
    fn from(error: GrammarError) -> Self {
        let index = |index: usize| u8::try_from(index).unwrap_or(u8::MAX);
        match error {
            GrammarError::NotAt => Self::NotAt,
            GrammarError::TooLong { .. } => Self::Length(0),
            GrammarError::Name { .. } => Self::Unsupported,
            GrammarError::Unterminated { index: at }
            | GrammarError::Trailing { index: at }
            | GrammarError::NotAValue { index: at } => Self::Parse(index(at)),
            GrammarError::TooLarge { index: at } => Self::Invalid(index(at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_header_file() {
        // `AT+FAKE` of the manual, and the shift of ESP_AT_CMD_ERROR_PARA_NUM.
        assert_eq!(Refusal::Unsupported.code(), 0x0109_0000);
        assert_eq!(Refusal::Count { need: 2, given: 1 }.code(), 0x0106_0201);
        assert_eq!(Refusal::Mqtt(0x6003).code(), 0x6003);
        assert_eq!(Refusal::from(GrammarError::Trailing { index: 3 }), Refusal::Parse(3));
    }
}

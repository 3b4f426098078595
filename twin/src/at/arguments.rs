//! The parameters of a set command, as the command wants them.

use super::grammar::Parameter;
use super::refusal::Refusal;
use std::ops::RangeInclusive;

/// Parameters by their place.
#[derive(Clone, Copy)]
pub(super) struct Arguments<'a> {
    all: &'a [Parameter],
    /// How many of them were taken away from the front: reasons count from there.
    first: usize,
}

impl<'a> Arguments<'a> {
    pub(super) const fn of(all: &'a [Parameter]) -> Self {
        Self { all, first: 0 }
    }

    /// Refuses too few and too many.
    pub(super) fn count(self, wanted: RangeInclusive<usize>) -> Result<Self, Refusal> {
        let given = self.all.len();
        if wanted.contains(&given) {
            return Ok(self);
        }
        let need = if given < *wanted.start() { *wanted.start() } else { *wanted.end() };
        let byte = |number: usize| u8::try_from(number + self.first).unwrap_or(u8::MAX);
        Err(Refusal::Count { need: byte(need), given: byte(given) })
    }

    /// Without the first of them.
    pub(super) fn rest(self) -> Self {
        Self { all: self.all.get(1..).unwrap_or_default(), first: self.first + 1 }
    }

    pub(super) const fn len(self) -> usize {
        self.all.len()
    }

    /// A number, if there is one.
    pub(super) fn number(self, index: usize, range: RangeInclusive<i64>) -> Result<Option<i64>, Refusal> {
        match self.all.get(index) {
            None | Some(Parameter::Omitted) => Ok(None),
            Some(Parameter::Integer(number)) if range.contains(number) => Ok(Some(*number)),
            Some(Parameter::Integer(_)) => Err(Refusal::Invalid(self.place(index))),
            Some(Parameter::Text(_)) => Err(Refusal::Type(self.place(index))),
        }
    }

    /// A number that has to be there, of a type that holds the range.
    pub(super) fn required<T: TryFrom<i64>>(self, index: usize, range: RangeInclusive<i64>) -> Result<T, Refusal> {
        let number = self.number(index, range)?.ok_or(Refusal::Parse(self.place(index)))?;
        T::try_from(number).map_err(|_| Refusal::Invalid(self.place(index)))
    }

    /// A number, or what it is without being said.
    pub(super) fn or<T: TryFrom<i64>>(
        self,
        index: usize,
        range: RangeInclusive<i64>,
        default: T,
    ) -> Result<T, Refusal> {
        match self.number(index, range)? {
            None => Ok(default),
            Some(number) => T::try_from(number).map_err(|_| Refusal::Invalid(self.place(index))),
        }
    }

    /// A string of at most so many bytes, if there is one.
    pub(super) fn text(self, index: usize, max: usize) -> Result<Option<&'a str>, Refusal> {
        match self.all.get(index) {
            None | Some(Parameter::Omitted) => Ok(None),
            Some(Parameter::Text(text)) if text.len() > max => Err(Refusal::Length(self.place(index))),
            Some(Parameter::Text(text)) => {
                str::from_utf8(text).map(Some).map_err(|_| Refusal::Invalid(self.place(index)))
            }
            Some(Parameter::Integer(_)) => Err(Refusal::Type(self.place(index))),
        }
    }

    /// A string that has to be there.
    pub(super) fn required_text(self, index: usize, max: usize) -> Result<&'a str, Refusal> {
        self.text(index, max)?.ok_or(Refusal::Parse(self.place(index)))
    }

    /// How reasons call it.
    pub(super) fn place(self, index: usize) -> u8 {
        u8::try_from(index + self.first).unwrap_or(u8::MAX)
    }
}

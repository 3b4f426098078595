//! The list of commands: what each is called, and who answers which of its forms.

use super::super::arguments::Arguments;
use super::{Module, Outcome, basic, mqtt, secure, sockets, storage, time, wifi};
use std::time::Instant;

type Simple = fn(&mut Module, Instant) -> Outcome;
type Set = fn(&mut Module, Arguments<'_>, Instant) -> Outcome;

/// A command; a form that is `None` does not exist.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    /// Behind `AT`.
    pub(super) name: &'static str,
    /// The ranges that `=?` tells.
    pub(super) test: Option<&'static str>,
    pub(super) query: Option<Simple>,
    pub(super) set: Option<Set>,
    pub(super) execute: Option<Simple>,
}

impl Entry {
    pub(super) const fn new(name: &'static str) -> Self {
        Self { name, test: None, query: None, set: None, execute: None }
    }

    pub(super) const fn test(mut self, range: &'static str) -> Self {
        self.test = Some(range);
        self
    }

    pub(super) const fn query(mut self, query: Simple) -> Self {
        self.query = Some(query);
        self
    }

    pub(super) const fn set(mut self, set: Set) -> Self {
        self.set = Some(set);
        self
    }

    pub(super) const fn execute(mut self, execute: Simple) -> Self {
        self.execute = Some(execute);
        self
    }
}

/// All of them, in the order in which `AT+CMD?` lists them.
pub(super) fn entries() -> impl Iterator<Item = &'static Entry> {
    let families = [
        basic::COMMANDS,
        storage::COMMANDS,
        wifi::COMMANDS,
        sockets::COMMANDS,
        secure::COMMANDS,
        time::COMMANDS,
        mqtt::COMMANDS,
    ];
    families.into_iter().flatten()
}

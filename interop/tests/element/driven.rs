//! A part behind Cotter's own driver, personalised by a plan.

use cotter_device::atecc::blocking::Element;
use cotter_device::atecc::packet::Packet;
use cotter_device::atecc::{Error, Request, procedure};
use cotter_factory::element::{
    ElementPlan, ElementWorkpiece, IDENTITY, Personalised, Progress, Repeat, Template, apply, rehearse,
};
use cotter_factory::journal::Journal;
use cotter_formats::atecc::{Command, ConfigZone};
use cotter_formats::secret::Secret;
use cotter_twin::element_bus::ElementBus;
use std::path::Path;

/// By way of the driver.
pub struct Driven<'a>(pub &'a mut Element<ElementBus, ElementBus>);

impl ElementWorkpiece for Driven<'_> {
    type Error = Error;

    fn execute(&mut self, command: &Command<'_>, repeat: Repeat) -> Result<Vec<u8>, Error> {
        self.0.run(Plain(command, repeat))
    }
}

struct Plain<'a>(&'a Command<'a>, Repeat);

impl Request for Plain<'_> {
    type Output = Vec<u8>;

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        let Command { opcode, param1, param2, data } = *self.0;
        packet.fill(opcode, param1, param2, &[data])
    }

    fn repeat(&self) -> procedure::Repeat {
        match self.1 {
            Repeat::Safe => procedure::Repeat::Safe,
            Repeat::Never => procedure::Repeat::Never,
        }
    }

    fn decode(&self, payload: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(payload.to_vec())
    }
}

/// The built-in profile, applied.
pub fn personalise(
    element: &mut Element<ElementBus, ElementBus>,
    before: &ConfigZone,
    directory: &Path,
) -> Personalised {
    let plan = ElementPlan::new(Template::from_toml(IDENTITY).unwrap(), before.clone()).unwrap();
    let rehearsed = rehearse(plan).unwrap();
    let key = Secret::filled_by(|bytes| bytes.fill(0x3c));
    let mut journal = Journal::open(&directory.join("journal")).unwrap();
    apply(&rehearsed, Some(&key), &mut Driven(element), &Progress::default(), &mut journal).unwrap()
}

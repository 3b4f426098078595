//! A part on a bus as what a plan is applied to.

use super::bus::Driver;
use cotter_device::atecc::packet::Packet;
use cotter_device::atecc::{Error, Request, procedure};
use cotter_factory::element::{ElementWorkpiece, Repeat};
use cotter_formats::atecc::Command;

/// By way of the driver: wake, CRC, lost answers and all.
pub(super) struct Driven<'a>(pub(super) &'a mut Driver);

impl ElementWorkpiece for Driven<'_> {
    type Error = Error;

    fn execute(&mut self, command: &Command<'_>, repeat: Repeat) -> Result<Vec<u8>, Error> {
        self.0.run(Plain { command, repeat })
    }
}

/// A command whose answer somebody else reads.
struct Plain<'a> {
    command: &'a Command<'a>,
    repeat: Repeat,
}

impl Request for Plain<'_> {
    type Output = Vec<u8>;

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        let Command { opcode, param1, param2, data } = *self.command;
        packet.fill(opcode, param1, param2, &[data])
    }

    fn repeat(&self) -> procedure::Repeat {
        match self.repeat {
            Repeat::Safe => procedure::Repeat::Safe,
            Repeat::Never => procedure::Repeat::Never,
        }
    }

    fn decode(&self, payload: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(payload.to_vec())
    }
}

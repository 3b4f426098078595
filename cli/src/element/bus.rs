//! `--bus`: which secure element is meant.

use crate::output::Help;
use anyhow::Context;
use cotter_device::atecc::blocking::Element;
use cotter_device::atecc::{Error, Part};
use cotter_twin::element_bus::{ElementBus, Place};

/// Where the part is.
#[derive(clap::Args)]
pub(super) struct OnBus {
    /// A controller of this machine (/dev/i2c-1, at 100 kHz), a board that speaks Microchip's kit protocol
    /// (kit:/dev/ttyACM0), or a part of `cotter element simulate` (127.0.0.1:6080; with --kit, kit:127.0.0.1:6080).
    #[arg(long, value_name = "BUS")]
    bus: Place,
    /// The part's address, seven bits in hex.
    #[arg(long, value_name = "HEX", default_value = "60", value_parser = address)]
    address: u8,
}

/// The driver on a bus.
pub(super) type Driver = Element<ElementBus, ElementBus>;

/// A part that has said what it is.
pub(super) type Found = (Driver, Part);

impl OnBus {
    /// Opens the bus and asks the part what it is.
    pub(super) fn open(&self) -> anyhow::Result<Found> {
        let name = match &self.bus {
            Place::Line(address) => address.clone(),
            Place::Linux(path) | Place::KitSerial(path) => path.display().to_string(),
            Place::KitLine(address) => address.clone(),
        };
        let opened = self.bus.open(self.address).with_context(|| format!("cannot open the bus {name}"));
        let mut element = opened
            .context(Help("/dev/i2c-N needs the module i2c-dev and the group i2c, a board its serial port; a simulated part must be running"))?;
        let part =
            element.identify().map_err(|error| refused(error, &format!("{name}, address {:02x}", self.address)))?;
        Ok((element, part))
    }
}

/// With what a person can do about it.
fn refused(error: Error, place: &str) -> anyhow::Error {
    let help = match error {
        Error::NoAnswer => Some("look at --address, the wiring, and whether the bus runs at 100 kHz"),
        Error::Bus | Error::Communication | Error::AnswerLost => {
            Some("something else talks on the bus, or it is faster than 100 kHz")
        }
        _ => None,
    };
    let error = anyhow::Error::new(error).context(place.to_owned());
    match help {
        Some(help) => error.context(Help(help)),
        None => error,
    }
}

fn address(text: &str) -> Result<u8, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let address = u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'));
    address.filter(|address| (0x08..0x78).contains(address)).ok_or_else(|| "expected 08 to 77".to_owned())
}

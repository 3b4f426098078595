//! The master's end of a secure element's bus, for the driver in `cotter_device::atecc`: an I2C controller of Linux, a board
//! that speaks Microchip's kit protocol, or a simulated part behind a TCP port (`docs/element-bus.md`).

mod kit;

use cotter_device::atecc::blocking::Element;
use cotter_device::atecc::{Settings, WakePulse};
use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation};
use i2cdev::core::I2CTransfer;
use i2cdev::linux::{I2CMessage, LinuxI2CBus, LinuxI2CMessage};
use kit::{KitBus, KitLine};
use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::str::FromStr;
use std::time::Duration;

/// Where a bus is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A simulated part: `HOST:PORT`.
    Line(String),
    /// A controller of this machine: `/dev/i2c-1`.
    Linux(PathBuf),
    /// A board on a serial line: `kit:/dev/ttyACM0`.
    KitSerial(PathBuf),
    /// A simulated one: `kit:127.0.0.1:6081`.
    KitLine(String),
}

/// A text that names no bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a controller as /dev/i2c-1, a board as kit:/dev/ttyACM0, or a simulated part as 127.0.0.1:6080")]
pub struct NoPlace;

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        if let Some(board) = text.strip_prefix("kit:") {
            return match board.parse()? {
                Self::Linux(path) => Ok(Self::KitSerial(path)),
                Self::Line(address) => Ok(Self::KitLine(address)),
                Self::KitSerial(_) | Self::KitLine(_) => Err(NoPlace),
            };
        }
        if text.starts_with('/') {
            return Ok(Self::Linux(text.into()));
        }
        let address = text.strip_prefix("socket://").unwrap_or(text);
        let (host, port) = address.rsplit_once(':').ok_or(NoPlace)?;
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err(NoPlace);
        }
        Ok(Self::Line(address.to_owned()))
    }
}

impl Place {
    /// Opens the bus, with a part at that address of seven bits.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(&self, address: u8) -> io::Result<Element<ElementBus, ElementBus>> {
        let (bus, wake) = match self {
            Self::Line(place) => {
                let bus = Bus::Line(SimulatedBus::new(connected(place)?));
                (bus, WakePulse::GeneralCall)
            }
            Self::KitLine(place) => {
                (Bus::Kit(KitBus::open(KitLine::network(connected(place)?)?, address)?), WakePulse::GeneralCall)
            }
            Self::KitSerial(path) => (Bus::Kit(KitBus::open(KitLine::serial(path)?, address)?), WakePulse::GeneralCall),
            // Others on a bus of this machine may listen to general calls.
            Self::Linux(path) => (Bus::Linux(LinuxBus::open(path)?), WakePulse::OwnAddress),
        };
        let bus = ElementBus(Rc::new(RefCell::new(bus)));
        Ok(Element::with_settings(bus.clone(), bus, Settings { address, wake, ..Settings::default() }))
    }
}

/// The bus and its clock: on the simulated one, waiting is a request too. Clones are the same one.
#[derive(Clone)]
pub struct ElementBus(Rc<RefCell<Bus>>);

enum Bus {
    Line(SimulatedBus<TcpStream>),
    Linux(LinuxBus),
    Kit(KitBus<KitLine>),
}

/// What went wrong on a bus.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The address was not acknowledged.
    #[error("no acknowledgement of the address")]
    AddressNack,
    /// Something was not acknowledged.
    #[error("no acknowledgement")]
    Nack,
    /// The line of a simulated part says something that is not in `docs/element-bus.md`.
    #[error("the simulated bus answers {0:?}")]
    Answer(String),
    /// The system.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl embedded_hal::i2c::Error for BusError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::AddressNack => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address),
            Self::Nack => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Unknown),
            Self::Answer(_) | Self::Io(_) => ErrorKind::Other,
        }
    }
}

impl ErrorType for ElementBus {
    type Error = BusError;
}

impl I2c for ElementBus {
    /// Each operation ends with a stop: the part knows no repeated start.
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
        let mut bus = self.0.borrow_mut();
        for operation in operations {
            match (&mut *bus, operation) {
                (Bus::Line(line), Operation::Write(bytes)) => line.write(address, bytes)?,
                (Bus::Line(line), Operation::Read(into)) => line.read(address, into)?,
                (Bus::Kit(kit), Operation::Write(bytes)) => kit.write(address, bytes)?,
                (Bus::Kit(kit), Operation::Read(into)) => kit.read(address, into)?,
                (Bus::Linux(linux), Operation::Write(bytes)) => {
                    linux.transfer(LinuxI2CMessage::write(bytes).with_address(address.into()))?;
                }
                (Bus::Linux(linux), Operation::Read(into)) => {
                    linux.transfer(LinuxI2CMessage::read(into).with_address(address.into()))?;
                }
            }
        }
        Ok(())
    }
}

impl DelayNs for ElementBus {
    fn delay_ns(&mut self, nanoseconds: u32) {
        match &mut *self.0.borrow_mut() {
            // If it cannot be told, the next request fails.
            Bus::Line(line) => drop(line.wait(nanoseconds.div_ceil(1000))),
            // The board waits for its part.
            Bus::Kit(_) => {}
            Bus::Linux(_) => std::thread::sleep(Duration::from_nanos(nanoseconds.into())),
        }
    }
}

fn connected(place: &str) -> io::Result<TcpStream> {
    let mut last = io::ErrorKind::NotFound.into();
    for address in place.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A part behind a line of text.
struct SimulatedBus<S> {
    line: BufReader<S>,
}

impl<S: Read + Write> SimulatedBus<S> {
    fn new(stream: S) -> Self {
        Self { line: BufReader::new(stream) }
    }

    fn write(&mut self, address: u8, bytes: &[u8]) -> Result<(), BusError> {
        let mut request = format!("w {address:02x} ");
        for byte in bytes {
            // Writing into a String does not fail.
            let _ = write!(request, "{byte:02x}");
        }
        let answer = self.ask(&request)?;
        match answer.strip_prefix("ack ").map(str::parse) {
            Some(Ok(taken)) if bytes.len() == taken => Ok(()),
            Some(Ok(0..)) => Err(BusError::Nack),
            _ if answer == "nack" => Err(BusError::AddressNack),
            _ => Err(BusError::Answer(answer)),
        }
    }

    fn read(&mut self, address: u8, into: &mut [u8]) -> Result<(), BusError> {
        let answer = self.ask(&format!("r {address:02x} {}", into.len()))?;
        if answer == "nack" {
            return Err(BusError::AddressNack);
        }
        let digits = answer.strip_prefix("data ").filter(|digits| digits.len() == 2 * into.len());
        for (index, byte) in into.iter_mut().enumerate() {
            let pair = digits.and_then(|digits| digits.get(2 * index..2 * index + 2));
            let pair = pair.filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()));
            match pair.map(|pair| u8::from_str_radix(pair, 16)) {
                Some(Ok(value)) => *byte = value,
                _ => return Err(BusError::Answer(answer)),
            }
        }
        Ok(())
    }

    fn wait(&mut self, microseconds: u32) -> Result<(), BusError> {
        match self.ask(&format!("wait {microseconds}"))? {
            answer if answer == "ok" => Ok(()),
            answer => Err(BusError::Answer(answer)),
        }
    }

    fn ask(&mut self, request: &str) -> Result<String, BusError> {
        self.line.get_mut().write_all(format!("{request}\n").as_bytes())?;
        let mut answer = Vec::new();
        self.line.by_ref().take(LINE_MAX).read_until(b'\n', &mut answer)?;
        match answer.strip_suffix(b"\n") {
            Some(line) => Ok(String::from_utf8_lossy(line).trim_end().to_owned()),
            None if answer.is_empty() => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            None => Err(BusError::Answer(String::from_utf8_lossy(answer.get(..32).unwrap_or(&answer)).into_owned())),
        }
    }
}

/// A controller behind `i2c-dev`.
struct LinuxBus(LinuxI2CBus);

impl LinuxBus {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(LinuxI2CBus::new(path)?))
    }

    fn transfer(&mut self, message: LinuxI2CMessage<'_>) -> Result<(), BusError> {
        match self.0.transfer(&mut [message]).map_err(io::Error::from) {
            Ok(_) => Ok(()),
            // Documentation/i2c/fault-codes.rst; which of the two it is depends on the controller's driver.
            Err(error) if matches!(error.raw_os_error(), Some(ENXIO | EREMOTEIO)) => Err(BusError::Nack),
            Err(error) => Err(error.into()),
        }
    }
}

const ENXIO: i32 = 6;
const EREMOTEIO: i32 = 121;

/// An answer about 256 bytes, and more than any other.
const LINE_MAX: u64 = 640;
/// How long a simulated part may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test panics where it fails")]
    use super::*;

    /// Says what it was told to say, and remembers what it heard.
    struct Script {
        answers: io::Cursor<Vec<u8>>,
        heard: Rc<RefCell<Vec<u8>>>,
    }

    impl Read for Script {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.answers.read(into)
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.heard.borrow_mut().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn bus(answers: &str) -> (SimulatedBus<Script>, Rc<RefCell<Vec<u8>>>) {
        let heard = Rc::default();
        let script = Script { answers: io::Cursor::new(answers.into()), heard: Rc::clone(&heard) };
        (SimulatedBus::new(script), heard)
    }

    #[test]
    fn requests_are_those_of_the_page() {
        let (mut bus, heard) = bus("ack 2\r\ndata 04113343\nok\n");
        bus.write(0x60, &[3, 7]).unwrap();
        let mut greeting = [0; 4];
        bus.read(0x60, &mut greeting).unwrap();
        bus.wait(1500).unwrap();
        assert_eq!(greeting, [0x04, 0x11, 0x33, 0x43]);
        assert_eq!(heard.borrow().as_slice(), b"w 60 0307\nr 60 4\nwait 1500\n");
    }

    #[test]
    fn what_is_not_acknowledged_and_what_is_no_answer_are_told_apart() {
        assert!(matches!(bus("nack\n").0.write(0, &[0]), Err(BusError::AddressNack)));
        assert!(matches!(bus("ack 1\n").0.write(0, &[0, 0]), Err(BusError::Nack)));
        assert!(matches!(bus("nack\n").0.read(0x60, &mut [0]), Err(BusError::AddressNack)));
        for answer in ["error the line is not ASCII\n", "data 0\n", "data +1\n", "data 0102\n", "data \u{e9}\n", "ok\n"]
        {
            assert!(matches!(bus(answer).0.read(0x60, &mut [0]), Err(BusError::Answer(_))), "{answer}");
        }
        let endless = "data ".to_owned() + &"0".repeat(10_000);
        assert!(matches!(bus(&endless).0.read(0x60, &mut [0]), Err(BusError::Answer(said)) if said.len() == 32));
        assert!(matches!(bus("").0.wait(1), Err(BusError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof));
    }

    #[test]
    fn places_are_files_or_addresses() {
        assert_eq!("/dev/i2c-1".parse(), Ok(Place::Linux("/dev/i2c-1".into())));
        assert_eq!("socket://127.0.0.1:6080".parse(), Ok(Place::Line("127.0.0.1:6080".into())));
        assert_eq!("[::1]:6080".parse(), Ok(Place::Line("[::1]:6080".into())));
        assert_eq!("kit:/dev/ttyACM0".parse(), Ok(Place::KitSerial("/dev/ttyACM0".into())));
        assert_eq!("kit:127.0.0.1:6081".parse(), Ok(Place::KitLine("127.0.0.1:6081".into())));
        for text in ["", "i2c-1", ":6080", "host:", "host:70000", "kit:", "kit:kit:/dev/ttyACM0"] {
            assert_eq!(text.parse::<Place>(), Err(NoPlace), "{text}");
        }
    }

    #[test]
    fn what_is_no_controller_is_refused_by_the_system() {
        assert_eq!(LinuxBus::open(Path::new("/dev/i2c-none")).err().unwrap().kind(), io::ErrorKind::NotFound);
        // A file that knows no such request.
        let mut file = LinuxBus::open(Path::new("/dev/null")).unwrap();
        assert!(matches!(file.transfer(LinuxI2CMessage::write(&[0]).with_address(0x60)), Err(BusError::Io(_))));
    }
}

//! A board that speaks Microchip's kit protocol, as a bus: it takes whole commands, and does the waking, waiting and reading
//! itself. Source: cryptoauthlib 20260505 `lib/hal/kit_protocol.c`, which is the other host for such boards.
//!
//! A request is a line, and so is its answer, without anything that says to which request. So where an answer did not
//! arrive whole, whatever is still on its way is dropped before the next request.

use super::{BusError, PATIENCE};
use crate::at::port::{FlowControl, Port, Speed, wait};
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Bytes to and from a board; a read that gets none for a moment is [`ErrorKind::TimedOut`].
pub(super) enum KitLine {
    Network(TcpStream),
    Serial(Port),
}

impl KitLine {
    pub(super) fn network(stream: TcpStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(MOMENT))?;
        Ok(Self::Network(stream))
    }

    /// A serial line at 115200 baud, as the boards have it; on USB the speed means nothing.
    pub(super) fn serial(path: &Path) -> io::Result<Self> {
        let speed = Speed { baud: 115_200, flow: FlowControl::None };
        Ok(Self::Serial(Port::open(path, speed).map_err(io::Error::other)?))
    }
}

impl Read for KitLine {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Network(stream) => stream.read(into),
            Self::Serial(port) => {
                wait([&*port], false, MOMENT)?;
                match port.read(into).map_err(io::Error::other)? {
                    0 => Err(ErrorKind::TimedOut.into()),
                    count => Ok(count),
                }
            }
        }
    }
}

impl Write for KitLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Network(stream) => stream.write(bytes),
            Self::Serial(port) => {
                let begun = Instant::now();
                loop {
                    match port.write(bytes).map_err(io::Error::other)? {
                        0 if begun.elapsed() > PATIENCE => return Err(ErrorKind::TimedOut.into()),
                        0 => wait([&*port], true, MOMENT)?,
                        count => return Ok(count),
                    }
                }
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A board and the part on it.
pub(super) struct KitBus<S> {
    line: S,
    /// Seven bits.
    address: u8,
    /// The first letter of requests.
    letter: char,
    /// What came behind a line's end.
    ahead: Vec<u8>,
    /// A command is with the board, and its answer was not taken yet.
    is_pending: bool,
    /// An answer was lost: it may still come.
    is_stale: bool,
    answer: Vec<u8>,
    read_at: usize,
    patience: Duration,
}

impl<S: Read + Write> KitBus<S> {
    /// Finds the part at that address.
    pub(super) fn open(line: S, address: u8) -> io::Result<Self> {
        Self::with_patience(line, address, PATIENCE)
    }

    fn with_patience(line: S, address: u8, patience: Duration) -> io::Result<Self> {
        let mut bus = Self {
            line,
            address,
            letter: 'E',
            ahead: Vec::new(),
            is_pending: false,
            is_stale: false,
            answer: Vec::new(),
            read_at: 0,
            patience,
        };
        let mut seen = Vec::new();
        for number in 0..DEVICES {
            let Some(device) = bus.ask(&format!("board:device({number:02X})"))? else { continue };
            // Eight bits on most boards, seven on some: `ECC608 TWI 00(C0)`.
            let at = device.rsplit_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
            let at = at.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            if !device.starts_with("ECC") {
                break;
            }
            if at == Some(address << 1) || at == Some(address) {
                bus.ask("E:physical:interface:i2c")?;
                bus.ask(&format!("E:physical:select({:02X})", at.unwrap_or_default()))?;
                return Ok(bus);
            }
            seen.push(device);
        }
        let found = if seen.is_empty() { "nothing".to_owned() } else { seen.join(", ") };
        Err(io::Error::new(ErrorKind::NotFound, format!("the board has no part at address {address:02x}, but {found}")))
    }

    /// A write transaction, of which the board has its own words for each that the driver makes.
    pub(super) fn write(&mut self, address: u8, bytes: &[u8]) -> Result<(), BusError> {
        if address == 0 {
            self.forget()?;
            self.answer = self.execute("w()")?.unwrap_or_default();
            // As a general call is, by everybody.
            return Err(BusError::AddressNack);
        }
        if address != self.address {
            return Err(BusError::AddressNack);
        }
        match bytes {
            [REWIND, ..] => self.read_at = 0,
            [SLEEP, ..] => {
                self.forget()?;
                self.execute("s()")?;
            }
            [IDLE, ..] => {
                self.forget()?;
                self.execute("i()")?;
            }
            [COMMAND, packet @ ..] => {
                self.forget()?;
                let mut request = "t(".to_owned();
                for byte in packet {
                    // Writing into a String does not fail.
                    let _ = write!(request, "{byte:02X}");
                }
                request.push(')');
                self.send(&request)?;
                self.is_pending = true;
            }
            _ => return Err(BusError::Nack),
        }
        Ok(())
    }

    /// A read transaction, out of the last answer. Where that was lost, nobody answers: the driver knows what to do then.
    pub(super) fn read(&mut self, address: u8, into: &mut [u8]) -> Result<(), BusError> {
        if address != self.address {
            return Err(BusError::AddressNack);
        }
        if std::mem::take(&mut self.is_pending) {
            self.answer = self.reply()?.unwrap_or_default();
            // A command has an answer: this was that of another request.
            self.is_stale |= self.answer.is_empty();
        }
        if self.answer.is_empty() {
            return Err(BusError::AddressNack);
        }
        let rest = self.answer.get(self.read_at..).unwrap_or_default();
        into.fill(0xff);
        into.iter_mut().zip(rest).for_each(|(byte, answer)| *byte = *answer);
        self.read_at = self.read_at.saturating_add(into.len());
        Ok(())
    }

    /// Whatever was answered before is of no use any more.
    fn forget(&mut self) -> Result<(), BusError> {
        if std::mem::take(&mut self.is_pending) {
            self.reply()?;
        }
        self.answer.clear();
        self.read_at = 0;
        Ok(())
    }

    fn execute(&mut self, request: &str) -> Result<Option<Vec<u8>>, BusError> {
        self.send(request)?;
        Ok(self.reply()?)
    }

    fn send(&mut self, request: &str) -> io::Result<()> {
        self.settle()?;
        let request = format!("{}:{request}\n", self.letter);
        self.line.write_all(request.as_bytes())
    }

    fn ask(&mut self, request: &str) -> io::Result<Option<String>> {
        self.settle()?;
        self.line.write_all(format!("{request}\n").as_bytes())?;
        self.next_line()
    }

    /// The bytes in parentheses, if the status before them is success and all of it arrived.
    fn reply(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(line) = self.next_line()? else { return Ok(None) };
        let digits = line.split_once('(').and_then(|(status, rest)| Some((status, rest.strip_suffix(')')?)));
        let bytes = digits.and_then(|(status, digits)| Some((u8::from_str_radix(status, 16).ok()?, decode(digits)?)));
        match bytes {
            Some((0, bytes)) => Ok(Some(bytes)),
            Some(_) => Ok(None),
            None => {
                self.is_stale = true;
                Ok(None)
            }
        }
    }

    /// The next line that is not empty; `None` if it does not come, or is too long.
    fn next_line(&mut self) -> io::Result<Option<String>> {
        let begun = Instant::now();
        loop {
            while let Some(end) = self.ahead.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> =
                    self.ahead.drain(..=end).filter(|byte| !matches!(byte, 0 | b'\r' | b'\n')).collect();
                if !line.is_empty() {
                    return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
                }
            }
            if self.ahead.len() > LINE_MAX || begun.elapsed() > self.patience {
                self.is_stale = true;
                return Ok(None);
            }
            self.more()?;
        }
    }

    /// Drops what is still on its way after an answer was lost.
    fn settle(&mut self) -> io::Result<()> {
        let begun = Instant::now();
        while std::mem::take(&mut self.is_stale) {
            self.ahead.clear();
            self.is_stale = self.more()? && begun.elapsed() < self.patience;
        }
        self.ahead.clear();
        Ok(())
    }

    /// Whether anything came.
    fn more(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 512];
        match self.line.read(&mut buffer) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.ahead.extend(buffer.get(..count).unwrap_or_default());
                Ok(true)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    if rest.is_empty() { bytes } else { None }
}

/// Word addresses.
const REWIND: u8 = 0;
const SLEEP: u8 = 1;
const IDLE: u8 = 2;
const COMMAND: u8 = 3;

/// As many as cryptoauthlib looks at.
const DEVICES: u8 = 8;
/// More than any answer.
const LINE_MAX: usize = 640;
/// How long a line is silent before it counts as that.
const MOMENT: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test panics where it fails")]
    use super::*;
    use cotter_chip::atecc::kit::Kit;
    use cotter_chip::atecc::{Entropy, Model, SecureElement};
    use cotter_device::atecc::Error;
    use cotter_device::atecc::blocking::Element;
    use cotter_device::atecc::command::counter::{CounterId, Increment, ReadCounter};
    use cotter_device::atecc::command::zone::ReadConfig;
    use embedded_hal::delay::DelayNs;
    use embedded_hal::i2c::{ErrorType, I2c, Operation};

    /// A board whose answers go through somebody's hands.
    struct Board {
        kit: Kit,
        answers: Vec<u8>,
        spoil: fn(usize, String) -> String,
        lines: usize,
    }

    impl Board {
        fn new(spoil: fn(usize, String) -> String) -> Self {
            let part = SecureElement::fresh(Model::Atecc608A, [1, 2, 3, 4, 5, 6], Entropy::known(7));
            Self { kit: Kit::new(part), answers: Vec::new(), spoil, lines: 0 }
        }
    }

    impl Read for Board {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = into.len().min(self.answers.len());
            if count == 0 {
                return Err(ErrorKind::TimedOut.into());
            }
            into.iter_mut().zip(self.answers.drain(..count)).for_each(|(to, from)| *to = from);
            Ok(count)
        }
    }

    impl Write for Board {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let answer = self.kit.receive(Duration::ZERO, bytes);
            if !answer.is_empty() {
                self.lines += 1;
                self.answers.extend((self.spoil)(self.lines, answer).into_bytes());
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// As [`super::super::ElementBus`] has it.
    struct OnBoard(KitBus<Board>);

    impl ErrorType for OnBoard {
        type Error = BusError;
    }

    impl I2c for OnBoard {
        fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
            for operation in operations {
                match operation {
                    Operation::Write(bytes) => self.0.write(address, bytes)?,
                    Operation::Read(into) => self.0.read(address, into)?,
                }
            }
            Ok(())
        }
    }

    struct NoTime;

    impl DelayNs for NoTime {
        fn delay_ns(&mut self, _nanoseconds: u32) {}
    }

    fn element(spoil: fn(usize, String) -> String) -> Element<OnBoard, NoTime> {
        let board = KitBus::with_patience(Board::new(spoil), 0x60, Duration::from_millis(1)).unwrap();
        Element::new(OnBoard(board), NoTime)
    }

    #[test]
    fn the_driver_works_through_a_board() {
        let mut element = element(|_, answer| answer);
        let part = element.identify().unwrap();
        assert_eq!(part.serial.0[..4], [0x01, 0x23, 1, 2]);
        assert!(!element.run(ReadConfig::default()).unwrap().is_config_locked());
        for count in 1..=5 {
            assert_eq!(element.run(Increment(CounterId::One)).unwrap().value(), count);
        }
        element.sleep().unwrap();
        assert_eq!(element.run(ReadCounter(CounterId::One)).unwrap().value(), 5);
    }

    /// Whatever happens to every fifth line: what is read is right, and what counts is counted once or told as lost.
    #[test]
    fn lines_that_are_lost_or_garbled_are_noticed() {
        let spoilers: [fn(usize, String) -> String; 6] = [
            |line, answer| if line > 9 && line % 5 == 0 { String::new() } else { answer },
            |line, answer| if line > 9 && line % 5 == 0 { answer.replace('\n', "") } else { answer },
            |line, answer| if line > 9 && line % 5 == 0 { answer.replace(')', "\n)") } else { answer },
            |line, answer| if line > 9 && line % 5 == 0 { answer.replacen('0', "3", 3) } else { answer },
            |line, answer| if line > 9 && line % 5 == 0 { format!("00()\n{answer}") } else { answer },
            |line, answer| if line > 9 && line % 5 == 0 { "\u{e9}".repeat(900) + &answer } else { answer },
        ];
        for (index, spoil) in spoilers.into_iter().enumerate() {
            let mut element = element(spoil);
            let mut sent = 0;
            for _ in 0..40 {
                let before = sent;
                match element.run(Increment(CounterId::One)) {
                    Ok(count) => {
                        assert!((1..=before + 1).contains(&count.value()), "{index}");
                        sent = count.value();
                    }
                    Err(Error::AnswerLost | Error::NoAnswer | Error::Communication) => sent += 1,
                    Err(other) => assert_eq!(other, Error::AnswerLost, "{index}"),
                }
                if let Ok(count) = element.run(ReadCounter(CounterId::One)) {
                    assert!(count.value() <= sent, "{index}: {count:?} of {sent}");
                    sent = count.value();
                }
            }
            assert!(sent > 5, "{index}");
        }
    }

    #[test]
    fn a_board_without_the_part_says_what_it_has() {
        let refused = KitBus::with_patience(Board::new(|_, answer| answer), 0x35, Duration::from_millis(1));
        let error = refused.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("no part at address 35, but ECC608 TWI 00(C0)"), "{error}");
        let silent = KitBus::with_patience(Board::new(|_, _| String::new()), 0x60, Duration::from_millis(1));
        assert!(silent.err().unwrap().to_string().contains("but nothing"));
    }
}

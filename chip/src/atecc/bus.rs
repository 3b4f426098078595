//! The bus as lines of text: what a shim sends, what the part answers. `docs/element-bus.md` is its specification.
//!
//! Sans-IO: bytes of the line go in, bytes go out, and so does time.

use super::{READ_MAX, SecureElement, Written};
use std::fmt::Write;
use std::time::Duration;

/// One master and the part.
pub struct Bus {
    element: SecureElement,
    line: Vec<u8>,
    /// The line is too long; the rest of it is dropped.
    is_overlong: bool,
    /// How far `wait` moved time on.
    waited: Duration,
}

/// The longest line, without its end.
pub const LINE_MAX: usize = 640;

impl Bus {
    /// A bus with that part on it.
    #[must_use]
    pub const fn new(element: SecureElement) -> Self {
        Self { element, line: Vec::new(), is_overlong: false, waited: Duration::ZERO }
    }

    /// The part.
    #[must_use]
    pub const fn element(&self) -> &SecureElement {
        &self.element
    }

    /// The part, to be changed.
    pub const fn element_mut(&mut self) -> &mut SecureElement {
        &mut self.element
    }

    /// Takes bytes of the line in and returns what to answer. `now` is the time that passed by itself since the bus began;
    /// it never goes back. What the part changed must be stored before the answer goes out.
    pub fn receive(&mut self, now: Duration, bytes: &[u8]) -> String {
        let mut answers = String::new();
        for byte in bytes {
            if *byte != b'\n' {
                if self.line.len() < LINE_MAX {
                    self.line.push(*byte);
                } else {
                    self.is_overlong = true;
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let answer = match (std::mem::take(&mut self.is_overlong), std::str::from_utf8(&line)) {
                (true, _) => Answer::Error("the line is too long"),
                (false, Err(_)) => Answer::Error("the line is not ASCII"),
                (false, Ok(line)) => self.obey(now, line),
            };
            answer.write(&mut answers);
        }
        answers
    }

    /// Forgets half a line: a new master begins.
    pub fn hang_up(&mut self) {
        self.line.clear();
        self.is_overlong = false;
    }

    fn obey(&mut self, now: Duration, line: &str) -> Answer {
        let now = now.saturating_add(self.waited);
        let mut words = line.split_ascii_whitespace();
        let request = (words.next(), words.next(), words.next());
        if words.next().is_some() {
            return UNKNOWN;
        }
        match request {
            (None, ..) => Answer::Nothing,
            (Some("w"), Some(address), bytes) => self.write(now, address, bytes.unwrap_or_default()),
            (Some("r"), Some(address), Some(count)) => self.read(now, address, count),
            (Some("wake"), None, None) => {
                self.element.wake(now);
                Answer::Done
            }
            (Some("wait"), Some(time), None) => self.wait(time),
            (Some("time"), None, None) => Answer::Time(now),
            (Some("power"), Some(state @ ("on" | "off")), None) => {
                self.element.set_power(state == "on");
                Answer::Done
            }
            _ => UNKNOWN,
        }
    }

    fn write(&mut self, now: Duration, address: &str, bytes: &str) -> Answer {
        let Some(address) = parse_address(address) else { return BAD_ADDRESS };
        let Some(bytes) = parse_bytes(bytes) else { return Answer::Error("expected pairs of hexadecimal digits") };
        match self.element.write(now, address, &bytes) {
            Written::Nack => Answer::Nack,
            Written::Acknowledged(count) => Answer::Acknowledged(count),
        }
    }

    fn read(&mut self, now: Duration, address: &str, count: &str) -> Answer {
        let Some(address) = parse_address(address) else { return BAD_ADDRESS };
        match count.parse().ok().filter(|count| *count <= READ_MAX) {
            Some(count) => self.element.read(now, address, count).map_or(Answer::Nack, Answer::Bytes),
            None => Answer::Error("expected a count up to 256"),
        }
    }

    fn wait(&mut self, time: &str) -> Answer {
        match time.parse().ok().map(Duration::from_micros).filter(|time| *time <= WAIT_MAX) {
            Some(time) => {
                self.waited = self.waited.saturating_add(time);
                Answer::Done
            }
            None => Answer::Error("expected microseconds, up to a minute"),
        }
    }
}

const WAIT_MAX: Duration = Duration::from_secs(60);

enum Answer {
    Nothing,
    Done,
    Nack,
    Acknowledged(usize),
    Bytes(Vec<u8>),
    Time(Duration),
    Error(&'static str),
}

const UNKNOWN: Answer =
    Answer::Error("expected w ADDRESS BYTES, r ADDRESS COUNT, wake, wait MICROSECONDS, time, power on or power off");

const BAD_ADDRESS: Answer = Answer::Error("expected an address of two hexadecimal digits, 00 to 7f");

impl Answer {
    fn write(&self, out: &mut String) {
        let written = match self {
            Self::Nothing => Ok(()),
            Self::Done => writeln!(out, "ok"),
            Self::Nack => writeln!(out, "nack"),
            Self::Acknowledged(count) => writeln!(out, "ack {count}"),
            Self::Bytes(bytes) => {
                out.push_str("data ");
                bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}")).and_then(|()| writeln!(out))
            }
            Self::Time(time) => writeln!(out, "time {}", time.as_micros()),
            Self::Error(what) => writeln!(out, "error {what}"),
        };
        written.expect("a string takes everything");
    }
}

fn parse_address(text: &str) -> Option<u8> {
    let address = u8::from_str_radix(text, 16).ok().filter(|address| *address < 0x80);
    address.filter(|_| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Pairs of hexadecimal digits.
pub(super) fn parse_bytes(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    if rest.is_empty() { bytes } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::atecc::{Entropy, Model};

    fn bus() -> Bus {
        Bus::new(SecureElement::fresh(Model::Atecc608A, [1, 2, 3, 4, 5, 6], Entropy::known(7)))
    }

    fn say(bus: &mut Bus, line: &str) -> String {
        bus.receive(Duration::ZERO, format!("{line}\n").as_bytes())
    }

    #[test]
    fn a_shim_wakes_the_part_and_asks_who_it_is() {
        let mut bus = bus();
        assert_eq!(say(&mut bus, "w 60 00"), "nack\n");
        assert_eq!(say(&mut bus, "r 60 4"), "nack\n");
        assert_eq!(say(&mut bus, "wait 1500"), "ok\n");
        assert_eq!(say(&mut bus, "r 60 4"), "data 04113343\n");
        assert_eq!(say(&mut bus, "w 60 030730000000035d"), "ack 8\n");
        assert_eq!(say(&mut bus, "r 60 1"), "nack\n");
        assert_eq!(say(&mut bus, "wait 5000"), "ok\n");
        assert_eq!(say(&mut bus, "r 60 1"), "data 07\n");
        assert!(say(&mut bus, "r 60 6").starts_with("data 00006002"));
        assert_eq!(say(&mut bus, "r 60 2"), "data ffff\n");
        assert_eq!(say(&mut bus, "time"), "time 6500\n");
    }

    #[test]
    fn lines_that_mean_nothing_are_errors_and_none_is_kept() {
        let mut bus = bus();
        assert_eq!(say(&mut bus, " \r"), "");
        for line in ["hello", "w", "r 60", "r 60 257", "w 80 00", "w 6 00", "w +6 00", "w 60 0", "w 60 0g", "wait -1"] {
            assert!(say(&mut bus, line).starts_with("error expected"), "{line}");
        }
        assert_eq!(say(&mut bus, &"w".repeat(LINE_MAX + 1)), "error the line is too long\n");
        assert_eq!(bus.receive(Duration::ZERO, b"w 60 \xff\n"), "error the line is not ASCII\n");
        bus.receive(Duration::ZERO, &vec![b'w'; 1 << 20]);
        assert!(bus.line.len() <= LINE_MAX);
        bus.hang_up();
        assert_eq!(say(&mut bus, "time"), "time 0\n");
    }
}

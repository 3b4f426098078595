//! The part behind a board that speaks Microchip's kit protocol: lines of text over a serial line or USB. Commands go in
//! whole, and the board wakes, waits and reads.
//!
//! | request | what the board does | answer |
//! |---|---|---|
//! | `board:device(00)` | says which part is the first; there is one | `ECC608 TWI 00(C0)` |
//! | `E:physical:interface:i2c`, `E:physical:select(C0)` | from now on, that part | `00()` |
//! | `E:w()` | wakes it and reads its greeting | `00(04113343)` |
//! | `E:t(0730000000035D)` | writes a command, waits, reads the answer | `00(0700006002..)` |
//! | `E:i()`, `E:s()` | idle, sleep | `00()` |
//!
//! The first letter is the first of the part's name, or as older hosts write it, `s` for any. Two hexadecimal digits before
//! the parenthesis are the board's status; zero is success. Source: cryptoauthlib 20260505 `lib/hal/kit_protocol.c`, which is
//! the host's end. What a board's status says when something failed is not there: here it is `F0`.
//!
//! Sans-IO: bytes of the line go in, bytes go out, and so does time.

use super::bus::{LINE_MAX, parse_bytes};
use super::{SecureElement, Written};
use std::fmt::Write;
use std::time::Duration;

/// A board with the part on it.
pub struct Kit {
    element: SecureElement,
    line: Vec<u8>,
    /// The line is too long; the rest of it is dropped.
    is_overlong: bool,
    /// How long the board has waited for its part.
    waited: Duration,
}

impl Kit {
    /// A board with that part on it.
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

    /// Takes bytes of the line in and returns what to answer. `now` is the time that passed by itself; it never goes back.
    /// What the part changed must be stored before the answer goes out.
    pub fn receive(&mut self, now: Duration, bytes: &[u8]) -> String {
        let mut answers = String::new();
        // cryptoauthlib fills its last packet up with zeros.
        for byte in bytes.iter().filter(|byte| **byte != 0) {
            if *byte != b'\n' {
                if self.line.len() < LINE_MAX {
                    self.line.push(*byte);
                } else {
                    self.is_overlong = true;
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let is_overlong = std::mem::take(&mut self.is_overlong);
            let line = std::str::from_utf8(&line).ok().filter(|_| !is_overlong).map(str::trim_end);
            let answer = match line {
                Some("") => continue,
                Some("board:device(00)") => self.introduce(),
                Some(line) if line.starts_with("board:device(") => "no_device none 00(00)".to_owned(),
                Some(line) => wrapped(self.obey(now, line)),
                None => wrapped(None),
            };
            writeln!(answers, "{answer}").expect("a string takes everything");
        }
        answers
    }

    /// Forgets half a line: a new host begins.
    pub fn hang_up(&mut self) {
        self.line.clear();
        self.is_overlong = false;
    }

    fn introduce(&self) -> String {
        format!("ECC608 TWI 00({:02X})", self.element.config().address() << 1)
    }

    fn obey(&mut self, now: Duration, line: &str) -> Option<Vec<u8>> {
        let request = line.strip_prefix(['E', 'e', 'S', 's'])?.strip_prefix(':')?;
        match request {
            "w()" => {
                // A part that is awake does not greet again.
                self.write(now, &[IDLE]);
                self.element.wake(self.at(now));
                self.answer(now)
            }
            "i()" => Some(self.end(now, IDLE)),
            "s()" => Some(self.end(now, SLEEP)),
            "physical:interface:i2c" => Some(Vec::new()),
            _ => {
                if let Some(digits) = request.strip_prefix("physical:select(") {
                    let chosen = parse_bytes(digits.strip_suffix(')')?)?;
                    return (chosen == [self.element.config().address() << 1]).then(Vec::new);
                }
                let packet = parse_bytes(request.strip_prefix("t(")?.strip_suffix(')')?)?;
                let bytes = [&[COMMAND][..], &packet].concat();
                match self.write(now, &bytes) {
                    Written::Acknowledged(count) if count == bytes.len() => self.answer(now),
                    _ => None,
                }
            }
        }
    }

    fn end(&mut self, now: Duration, word_address: u8) -> Vec<u8> {
        self.write(now, &[word_address]);
        Vec::new()
    }

    /// To the part, at the address that it had when it woke up.
    fn write(&mut self, now: Duration, bytes: &[u8]) -> Written {
        let now = self.at(now);
        let address = self.element.bus_address();
        self.element.write(now, address, bytes)
    }

    /// Waits until the part answers.
    fn answer(&mut self, now: Duration) -> Option<Vec<u8>> {
        let until = self.waited + PATIENCE;
        while self.element.is_busy(self.at(now)) && self.waited < until {
            self.waited += POLL;
        }
        let (now, address) = (self.at(now), self.element.bus_address());
        let count = usize::from(*self.element.read(now, address, 1)?.first()?);
        let mut answer = vec![u8::try_from(count).ok()?];
        answer.extend(self.element.read(now, address, count.checked_sub(1)?)?);
        Some(answer)
    }

    fn at(&self, now: Duration) -> Duration {
        now.saturating_add(self.waited)
    }
}

fn wrapped(answer: Option<Vec<u8>>) -> String {
    let Some(bytes) = answer else { return "F0()".to_owned() };
    let mut line = "00(".to_owned();
    bytes.iter().for_each(|byte| write!(line, "{byte:02X}").expect("a string takes everything"));
    line.push(')');
    line
}

/// Word addresses.
const SLEEP: u8 = 1;
const IDLE: u8 = 2;
const COMMAND: u8 = 3;

/// How often the board looks whether the part is done, and how long it does.
const POLL: Duration = Duration::from_micros(500);
const PATIENCE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::atecc::{Entropy, Model};

    fn kit() -> Kit {
        Kit::new(SecureElement::fresh(Model::Atecc608A, [1, 2, 3, 4, 5, 6], Entropy::known(7)))
    }

    fn say(kit: &mut Kit, line: &str) -> String {
        kit.receive(Duration::ZERO, format!("{line}\n").as_bytes())
    }

    #[test]
    fn a_host_finds_the_part_wakes_it_and_asks_who_it_is() {
        let mut kit = kit();
        assert_eq!(say(&mut kit, "board:device(00)"), "ECC608 TWI 00(C0)\n");
        assert_eq!(say(&mut kit, "board:device(01)"), "no_device none 00(00)\n");
        assert_eq!(say(&mut kit, "E:physical:interface:i2c"), "00()\n");
        assert_eq!(say(&mut kit, "E:physical:select(C0)"), "00()\n");
        assert_eq!(say(&mut kit, "E:w()"), "00(04113343)\n");
        assert!(say(&mut kit, "E:t(0730000000035D)").starts_with("00(0700006002"));
        // Random numbers before the lock, twice: the part stays awake.
        assert!(say(&mut kit, "s:t(071b010000a7cd)").len() > 8);
        assert_eq!(say(&mut kit, "e:i()"), "00()\n");
        assert_eq!(say(&mut kit, "E:w()"), "00(04113343)\n");
        assert_eq!(say(&mut kit, "E:w()"), "00(04113343)\n");
        assert_eq!(say(&mut kit, "E:s()"), "00()\n");
        assert_eq!(say(&mut kit, "E:t(0730000000035D)"), "F0()\n");
    }

    #[test]
    fn lines_that_mean_nothing_fail_and_none_is_kept() {
        let mut kit = kit();
        for line in ["hello", "E:", "E:t(", "E:t(0)", "E:t(zz)", "E:x()", "E:physical:select(C2)", "T:w()", "E:w"] {
            assert_eq!(say(&mut kit, line), "F0()\n", "{line}");
        }
        assert_eq!(say(&mut kit, &"E".repeat(LINE_MAX + 1)), "F0()\n");
        assert_eq!(kit.receive(Duration::ZERO, b"E:w(\xff)\n"), "F0()\n");
        assert_eq!(say(&mut kit, "\r"), "");
        kit.receive(Duration::ZERO, &vec![b'E'; 1 << 20]);
        assert!(kit.line.len() <= LINE_MAX);
        kit.hang_up();
        assert_eq!(kit.receive(Duration::ZERO, b"E:w()\n\0\0\0"), "00(04113343)\n");
    }
}

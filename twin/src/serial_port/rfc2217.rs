//! A serial line inside Telnet: RFC 2217, which carries DTR and RTS (`rfc2217://host:port` of pyserial).
//!
//! Sans-IO. A peer whose first byte is Telnet's escape speaks it; any other has a plain line. Every setting is
//! acknowledged, and only the two modem lines mean something.

/// What the peer drives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModemLines {
    /// Data terminal ready; on development boards it holds the boot button when RTS is off.
    pub dtr: bool,
    /// Request to send; on development boards it holds the chip in reset when DTR is off.
    pub rts: bool,
}

/// The Telnet side of one connection.
#[derive(Debug, Default)]
pub(super) struct Telnet {
    mode: Mode,
    lines: ModemLines,
    command: Vec<u8>,
    /// Options agreed on, by number: what we do, and what the peer does.
    ours: u64,
    theirs: u64,
}

/// What a piece of the stream held.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) data: Vec<u8>,
    pub(super) reply: Vec<u8>,
    /// The modem lines after each change.
    pub(super) lines: Vec<ModemLines>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Unknown,
    Plain,
    Data,
    Escaped,
    Option(u8),
    Command,
    CommandEscaped,
}

impl Telnet {
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Received {
        let mut received = Received::default();
        for byte in bytes {
            self.mode = self.step(*byte, &mut received);
        }
        received
    }

    /// Data as they go to the peer.
    pub(super) fn encode(&self, data: &[u8]) -> Vec<u8> {
        let escapes = if matches!(self.mode, Mode::Unknown | Mode::Plain) { 1 } else { 2 };
        data.iter().flat_map(|byte| std::iter::repeat_n(*byte, if *byte == IAC { escapes } else { 1 })).collect()
    }

    fn step(&mut self, byte: u8, received: &mut Received) -> Mode {
        match (self.mode, byte) {
            (Mode::Unknown | Mode::Data, IAC) => Mode::Escaped,
            (Mode::Unknown | Mode::Plain, byte) => {
                received.data.push(byte);
                Mode::Plain
            }
            (Mode::Data, byte) => {
                received.data.push(byte);
                Mode::Data
            }
            (Mode::Escaped, IAC) => {
                received.data.push(IAC);
                Mode::Data
            }
            (Mode::Escaped, verb @ (WILL | WONT | DO | DONT)) => Mode::Option(verb),
            (Mode::Escaped, SB) => {
                self.command.clear();
                Mode::Command
            }
            (Mode::Escaped, _) => Mode::Data,
            (Mode::Option(verb), option) => {
                self.negotiate(verb, option, &mut received.reply);
                Mode::Data
            }
            (Mode::Command, IAC) => Mode::CommandEscaped,
            (Mode::Command, byte) | (Mode::CommandEscaped, byte @ IAC) => {
                if self.command.len() < COMMAND_MAX {
                    self.command.push(byte);
                }
                Mode::Command
            }
            (Mode::CommandEscaped, SE) => {
                self.obey(received);
                Mode::Data
            }
            (Mode::CommandEscaped, _) => Mode::Data,
        }
    }

    /// Agrees to what a serial line needs and refuses the rest; says so only if it changes anything, or loops would be
    /// possible.
    fn negotiate(&mut self, verb: u8, option: u8, reply: &mut Vec<u8>) {
        let bit = 1_u64.checked_shl(option.into()).unwrap_or(0);
        let known = [BINARY, ECHO, SUPPRESS_GO_AHEAD, COM_PORT].contains(&option);
        let (agreed, yes, no) = match verb {
            DO | DONT => (&mut self.ours, WILL, WONT),
            _ => (&mut self.theirs, DO, DONT),
        };
        let asks = matches!(verb, DO | WILL);
        let is_on = *agreed & bit != 0;
        match (asks, known) {
            (true, true) if !is_on => {
                *agreed |= bit;
                reply.extend([IAC, yes, option]);
            }
            (true, false) => reply.extend([IAC, no, option]),
            (false, _) if is_on => {
                *agreed &= !bit;
                reply.extend([IAC, no, option]);
            }
            _ => {}
        }
    }

    fn obey(&mut self, received: &mut Received) {
        let [COM_PORT, number, value @ ..] = self.command.as_slice() else { return };
        if let (SET_CONTROL, [value]) = (*number, value) {
            let before = self.lines;
            match value {
                8 => self.lines.dtr = true,
                9 => self.lines.dtr = false,
                11 => self.lines.rts = true,
                12 => self.lines.rts = false,
                _ => {}
            }
            if self.lines != before {
                received.lines.push(self.lines);
            }
        }
        // Acknowledged by the number plus 100, with the value that is now set.
        received.reply.extend([IAC, SB, COM_PORT, number.wrapping_add(100)]);
        received.reply.extend(value.iter().flat_map(|byte| std::iter::repeat_n(*byte, 1 + usize::from(*byte == IAC))));
        received.reply.extend([IAC, SE]);
    }
}

const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WONT: u8 = 252;
const WILL: u8 = 251;
const SB: u8 = 250;
const SE: u8 = 240;

const BINARY: u8 = 0;
const ECHO: u8 = 1;
const SUPPRESS_GO_AHEAD: u8 = 3;
const COM_PORT: u8 = 44;

const SET_CONTROL: u8 = 5;

/// The longest command that means anything is shorter.
const COMMAND_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_line_is_left_alone() {
        let mut telnet = Telnet::default();
        assert_eq!(telnet.receive(&[0xc0, IAC, DO, 1, IAC]).data, [0xc0, IAC, DO, 1, IAC]);
        assert_eq!(telnet.encode(&[IAC, 7]), [IAC, 7]);
    }

    #[test]
    fn options_are_agreed_on_once() {
        let mut telnet = Telnet::default();
        let asked = [IAC, WILL, COM_PORT, IAC, DO, COM_PORT, IAC, DO, 31];
        assert_eq!(telnet.receive(&asked).reply, [IAC, DO, COM_PORT, IAC, WILL, COM_PORT, IAC, WONT, 31]);
        assert!(telnet.receive(&asked[..6]).reply.is_empty());
        assert_eq!(telnet.encode(&[IAC, 7]), [IAC, IAC, 7]);
        assert_eq!(telnet.receive(&[1, IAC, IAC, 2]).data, [1, IAC, 2]);
    }

    #[test]
    fn settings_are_acknowledged_and_lines_are_told() {
        let mut telnet = Telnet::default();
        let rts_on = [IAC, SB, COM_PORT, SET_CONTROL, 11, IAC, SE];
        let received = telnet.receive(&rts_on);
        assert_eq!(received.reply, [IAC, SB, COM_PORT, 105, 11, IAC, SE]);
        assert_eq!(received.lines, [ModemLines { dtr: false, rts: true }]);
        let baud = [IAC, SB, COM_PORT, 1, 0, 1, IAC, IAC, 0, IAC, SE];
        assert_eq!(telnet.receive(&baud).reply, [IAC, SB, COM_PORT, 101, 0, 1, IAC, IAC, 0, IAC, SE]);
    }

    #[test]
    fn commands_do_not_grow() {
        let mut telnet = Telnet::default();
        telnet.receive(&[IAC, SB]);
        telnet.receive(&[1; 10_000]);
        assert_eq!(telnet.command.len(), COMMAND_MAX);
    }
}

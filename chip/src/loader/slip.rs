//! SLIP: frames on a serial line (RFC 1055, with a delimiter at both ends, as Espressif's loaders have it).

/// Takes frames out of a stream. Holds at most [`FRAME_MAX`] bytes, whatever comes.
pub(super) struct Decoder {
    frame: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first delimiter: noise, or the rest of something.
    Outside,
    Inside,
    /// After the escape byte.
    Escaped,
    /// Inside a frame that is too long or has a bad escape.
    Damaged,
}

/// The longest frame: a block of the stub (16 KiB) with the headers of request and data.
pub(super) const FRAME_MAX: usize = 0x4000 + 8 + 16;

impl Decoder {
    pub(super) const fn new() -> Self {
        Self { frame: Vec::new(), state: State::Outside }
    }

    /// Takes one byte; returns the frame that it ends. Damaged frames are dropped, and the next delimiter begins
    /// afresh; empty ones are no frames, so that delimiters may be single or doubled.
    pub(super) fn push(&mut self, byte: u8) -> Option<Vec<u8>> {
        match (self.state, byte) {
            (State::Outside | State::Damaged, END) => self.state = State::Inside,
            (State::Outside | State::Damaged, _) => {}
            (State::Inside, END) if self.frame.is_empty() => {}
            (State::Inside, END) => {
                self.state = State::Outside;
                return Some(std::mem::take(&mut self.frame));
            }
            (State::Inside, ESCAPE) => self.state = State::Escaped,
            (State::Inside, byte) => self.store(byte),
            (State::Escaped, ESCAPED_END) => self.store(END),
            (State::Escaped, ESCAPED_ESCAPE) => self.store(ESCAPE),
            // A delimiter here ends the damaged frame and may begin the next one.
            (State::Escaped, END) => self.restart(State::Inside),
            (State::Escaped, _) => self.restart(State::Damaged),
        }
        None
    }

    fn store(&mut self, byte: u8) {
        if self.frame.len() == FRAME_MAX {
            return self.restart(State::Damaged);
        }
        self.frame.push(byte);
        self.state = State::Inside;
    }

    fn restart(&mut self, state: State) {
        self.frame.clear();
        self.state = state;
    }
}

/// Appends a frame to what is to be sent.
pub(super) fn encode(content: impl IntoIterator<Item = u8>, out: &mut Vec<u8>) {
    out.push(END);
    for byte in content {
        match byte {
            END => out.extend([ESCAPE, ESCAPED_END]),
            ESCAPE => out.extend([ESCAPE, ESCAPED_ESCAPE]),
            byte => out.push(byte),
        }
    }
    out.push(END);
}

const END: u8 = 0xc0;
const ESCAPE: u8 = 0xdb;
const ESCAPED_END: u8 = 0xdc;
const ESCAPED_ESCAPE: u8 = 0xdd;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames(bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut decoder = Decoder::new();
        bytes.iter().filter_map(|byte| decoder.push(*byte)).collect()
    }

    #[test]
    fn resynchronises_at_the_next_delimiter() {
        assert_eq!(frames(b"noise\xc0\x01\xc0\xc0\x02\xc0"), [[1], [2]]);
        assert_eq!(frames(b"\xc0\x01\xdb\x07\x02\xc0\x03\xc0"), [[3]], "a bad escape");
        assert_eq!(frames(b"\xc0\x01\xdb\xc0\x03\xc0"), [[3]], "an escaped delimiter");
    }

    #[test]
    fn drops_what_is_too_long() {
        let mut stream = vec![END];
        stream.extend(std::iter::repeat_n(7, FRAME_MAX + 1));
        stream.extend([END, 1, END]);
        assert_eq!(frames(&stream), [[1]]);
        stream.remove(1);
        assert_eq!(frames(&stream)[0].len(), FRAME_MAX);
    }

    proptest! {
        #[test]
        fn what_was_encoded_comes_back(content in prop::collection::vec(any::<u8>(), 1..300), noise in any::<u8>()) {
            let mut stream = vec![noise; 3];
            encode(content.iter().copied(), &mut stream);
            prop_assert_eq!(frames(&stream).pop(), Some(content));
        }
    }
}

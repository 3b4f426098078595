//! An end that speaks as Espressif's `at_interface_security` example does, module or host.
//!
//! One of it lasts from a reset of the module to the next: afterwards both ends start again with a new one. It protects
//! from little, see [`WHAT_COMPAT_LACKS`](cotter_wire::link::compat::WHAT_COMPAT_LACKS).

use cotter_wire::link::compat::{CompatError, CompatKey, Keystream, MAX_READ, MAX_WRITE};

/// The two keystreams of one end.
#[derive(Debug)]
pub struct CompatEnd {
    sending: Keystream,
    receiving: Keystream,
}

impl CompatEnd {
    /// `sending` and `receiving` are one key in the example; the other end has them the other way round.
    #[must_use]
    pub fn new(sending: &CompatKey, receiving: &CompatKey) -> Self {
        Self { sending: sending.keystream(), receiving: receiving.keystream() }
    }

    /// Encrypts what goes onto the wire, in place. All of it must then be sent, in order.
    ///
    /// # Errors
    /// [`CompatError::WriteLength`] for more than [`MAX_WRITE`] bytes, [`CompatError::Exhausted`]; then `data` is as it
    /// was, must not be sent, and the keystream has not moved.
    pub fn send(&mut self, data: &mut [u8]) -> Result<(), CompatError> {
        if data.len() > MAX_WRITE {
            return Err(CompatError::WriteLength(data.len()));
        }
        self.sending.apply(data)
    }

    /// Decrypts what came from the wire, in place.
    ///
    /// # Errors
    /// [`CompatError::ReadLength`] for more than [`MAX_READ`] bytes, [`CompatError::Exhausted`]; then `data` is as it was
    /// and the keystream has not moved: give the bytes again in smaller pieces. The example's device loses them, and with
    /// them its place.
    pub fn receive(&mut self, data: &mut [u8]) -> Result<(), CompatError> {
        if data.len() > MAX_READ {
            return Err(CompatError::ReadLength(data.len()));
        }
        self.receiving.apply(data)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use cotter_wire::link::compat::{Cipher, ExampleKeys};
    use std::vec;

    fn key(byte: u8) -> CompatKey {
        CompatKey::new(Cipher::Aes128Ctr, &[byte; 16], &[9; 16], ExampleKeys::Refuse).unwrap()
    }

    #[test]
    fn two_ends_understand_each_other() {
        for (one, other) in [(1, 1), (1, 2)] {
            let mut module = CompatEnd::new(&key(one), &key(other));
            let mut host = CompatEnd::new(&key(other), &key(one));
            for round in 0..100_usize {
                let mut data = vec![0x55; round * 7 % 301];
                module.send(&mut data).unwrap();
                host.receive(&mut data).unwrap();
                assert!(data.iter().all(|byte| *byte == 0x55));
                host.send(&mut data).unwrap();
                module.receive(&mut data).unwrap();
                assert!(data.iter().all(|byte| *byte == 0x55));
            }
        }
    }

    #[test]
    fn refuses_too_much_at_once_and_keeps_its_place() {
        let (mut module, mut host) = (CompatEnd::new(&key(1), &key(1)), CompatEnd::new(&key(1), &key(1)));
        assert_eq!(module.send(&mut [0; MAX_WRITE + 1]), Err(CompatError::WriteLength(4097)));
        let mut data = vec![3; MAX_READ + 1];
        assert_eq!(host.receive(&mut data), Err(CompatError::ReadLength(8193)));
        assert!(data.iter().all(|byte| *byte == 3));
        data.truncate(MAX_WRITE);
        module.send(&mut data).unwrap();
        host.receive(&mut data).unwrap();
        assert!(data.iter().all(|byte| *byte == 3));
    }

    /// What the example cannot notice: after one lost byte nothing is understood any more.
    #[test]
    fn a_lost_byte_is_not_noticed_and_ruins_the_rest() {
        let (mut module, mut host) = (CompatEnd::new(&key(1), &key(1)), CompatEnd::new(&key(1), &key(1)));
        let mut data = *b"\r\nready\r\n";
        module.send(&mut data).unwrap();
        host.receive(&mut data[1..]).unwrap();
        assert_ne!(data[1..], b"\r\nready\r\n"[1..]);
    }
}

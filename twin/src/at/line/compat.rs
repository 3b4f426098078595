//! The line of Espressif's `at_interface_security` example: a keystream in each direction, and nothing else.
//!
//! The module's keystreams begin with its reset, of which the wire says nothing. The host recognises it all the same: the
//! first bytes of a module are always [`READY`], so that they look the same on the wire each time. It looks for them in
//! all that comes, whatever came before and however it is cut, and begins both of its keystreams anew where it finds
//! them. That an outsider can do the same is why this mode protects from little; see
//! [`WHAT_COMPAT_LACKS`](cotter_wire::link::compat::WHAT_COMPAT_LACKS).

use super::{EscapePlace, Incoming, Line, LineError};
use cotter_device::link::compat::CompatEnd;
use cotter_wire::link::compat::{CompatError, CompatKey, MAX_READ, MAX_WRITE};
use std::sync::Arc;
use std::time::Instant;

/// What a module says first.
pub const READY: &[u8] = b"\r\nready\r\n";

/// The keys of both directions; one and the same in the example.
#[derive(Debug)]
pub struct CompatKeys {
    /// From the host to the module.
    pub to_module: CompatKey,
    /// From the module to the host.
    pub to_host: CompatKey,
}

/// The module's end.
#[derive(Debug)]
pub struct CompatModule(CompatEnd);

/// The host's end.
#[derive(Debug)]
pub struct CompatHost {
    keys: Arc<CompatKeys>,
    /// [`READY`] as the wire has it.
    sought: Vec<u8>,
    /// The end of what came: what may be the begin of a [`READY`].
    tail: Vec<u8>,
    /// Since the module was last heard to start.
    end: Option<CompatEnd>,
}

impl CompatModule {
    /// From a reset on.
    #[must_use]
    pub fn new(keys: &CompatKeys) -> Self {
        Self(CompatEnd::new(&keys.to_host, &keys.to_module))
    }
}

impl CompatHost {
    /// Before the module has started.
    #[must_use]
    pub fn new(keys: Arc<CompatKeys>) -> Self {
        let mut sought = READY.to_vec();
        // The first bytes of a keystream are always there.
        let _applied = keys.to_host.keystream().apply(&mut sought);
        Self { keys, sought, tail: Vec::new(), end: None }
    }

    /// Where the newest [`READY`] in `seen` begins.
    fn started(&self, seen: &[u8]) -> Option<usize> {
        seen.windows(self.sought.len()).rposition(|window| window == self.sought)
    }
}

impl Line for CompatModule {
    fn incoming(&mut self, wire: &[u8], _: Instant) -> Result<Incoming, LineError> {
        Ok(Incoming { plain: opened(&mut self.0, wire)?, ..Incoming::default() })
    }

    fn outgoing(&mut self, plain: &[u8], _: Instant) -> Result<Vec<u8>, LineError> {
        sealed(&mut self.0, plain)
    }

    fn escape(&mut self, _: Instant) -> Result<Vec<u8>, LineError> {
        Ok(ESCAPE.to_vec())
    }

    fn ready(&self) -> bool {
        true
    }

    fn escape_place(&self) -> EscapePlace {
        EscapePlace::Wire
    }
}

impl Line for CompatHost {
    fn incoming(&mut self, wire: &[u8], _: Instant) -> Result<Incoming, LineError> {
        let seen = [&self.tail, wire].concat();
        let mut plain = Vec::new();
        match self.started(&seen) {
            Some(begin) => {
                // What came before it belongs to the module's last life, as far as there was one.
                let before = seen.get(self.tail.len()..begin).unwrap_or_default();
                if let Some(end) = &mut self.end {
                    plain = opened(end, before)?;
                }
                let mut end = CompatEnd::new(&self.keys.to_module, &self.keys.to_host);
                plain.extend(opened(&mut end, seen.get(begin..).unwrap_or_default())?);
                self.end = Some(end);
            }
            None => {
                if let Some(end) = &mut self.end {
                    plain = opened(end, wire)?;
                }
            }
        }
        let kept = seen.len().saturating_sub(self.sought.len() - 1);
        self.tail = seen.get(kept..).unwrap_or_default().to_vec();
        Ok(Incoming { plain, ..Incoming::default() })
    }

    fn outgoing(&mut self, plain: &[u8], _: Instant) -> Result<Vec<u8>, LineError> {
        match &mut self.end {
            Some(end) => sealed(end, plain),
            None => Err(LineError::NotReady { bytes: plain.len() }),
        }
    }

    fn escape(&mut self, _: Instant) -> Result<Vec<u8>, LineError> {
        if self.ready() { Ok(ESCAPE.to_vec()) } else { Err(LineError::NotReady { bytes: 0 }) }
    }

    fn ready(&self) -> bool {
        self.end.is_some()
    }

    fn escape_place(&self) -> EscapePlace {
        EscapePlace::Wire
    }
}

/// As it is, beside the keystream: the module's UART looks for it on the wire, takes it away and deciphers nothing of it.
const ESCAPE: &[u8] = b"+++";

fn opened(end: &mut CompatEnd, wire: &[u8]) -> Result<Vec<u8>, LineError> {
    let mut plain = wire.to_vec();
    plain.chunks_mut(MAX_READ).try_for_each(|piece| end.receive(piece)).map_err(refusal)?;
    Ok(plain)
}

fn sealed(end: &mut CompatEnd, plain: &[u8]) -> Result<Vec<u8>, LineError> {
    let mut wire = plain.to_vec();
    wire.chunks_mut(MAX_WRITE).try_for_each(|piece| end.send(piece)).map_err(refusal)?;
    Ok(wire)
}

/// Pieces are never too long and keys were taken: what is left is the end of a keystream.
fn refusal(_: CompatError) -> LineError {
    LineError::Exhausted
}

#[cfg(test)]
mod tests {
    use super::*;
    use cotter_wire::link::compat::{Cipher, ExampleKeys};

    fn keys() -> Arc<CompatKeys> {
        let key = || CompatKey::new(Cipher::Aes128Ctr, b"AAAAAAAAAAAAAAAA", b"TTTTTTTTTTTTTTTT", ExampleKeys::Allow);
        Arc::new(CompatKeys { to_module: key().unwrap(), to_host: key().unwrap() })
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_examples_transcripts_come_out_byte_for_byte() {
        let now = Instant::now();
        let (mut module, mut host) = (CompatModule::new(&keys()), CompatHost::new(keys()));
        let mut say = |plain: &[u8]| module.outgoing(plain, now).unwrap();
        let ready = say(READY);
        assert_eq!(hex(&ready), "a1 61 07 bf 80 39 c9 54 13");
        assert_eq!(host.incoming(&ready, now).unwrap().plain, READY);
        assert_eq!(hex(&host.outgoing(b"AT\r\n", now).unwrap()), "ed 3f 78 d0");
        let reply = say(b"AT\r\n\r\nOK\r\n");
        assert_eq!(hex(&reply), "74 bd 1b 0f c9 76 69 38 eb af");
        assert_eq!(host.incoming(&reply, now).unwrap().plain, b"AT\r\n\r\nOK\r\n");
        assert_eq!(hex(&host.outgoing(b"AT+GMR\r\n", now).unwrap()), "a0 09 9b 1e 54 67 e4 1c");
        let mode = host.outgoing(b"AT+CWMODE=1\r\n", now).unwrap();
        assert_eq!(hex(&mode), "44 90 57 65 24 ab ea 96 30 9e 60 2e d0");
        let join = host.outgoing(b"AT+CWJAP=\"688018\",\"\"\r\n", now).unwrap();
        assert_eq!(hex(&join), "09 b6 76 45 37 8d 4e 73 23 57 ed 93 b8 34 5c a8 7a 25 a9 9b 7a ed");
        assert_eq!(module.incoming(&[0xed, 0x3f, 0x78, 0xd0], now).unwrap().plain, b"AT\r\n");
    }

    #[test]
    fn says_nothing_before_the_module_has_started() {
        let mut host = CompatHost::new(keys());
        assert!(!host.ready());
        assert_eq!(host.outgoing(b"AT\r\n", Instant::now()), Err(LineError::NotReady { bytes: 4 }));
    }

    /// The example's host script finds the start in none of these cases.
    #[test]
    fn finds_the_start_behind_noise_and_in_pieces() {
        let now = Instant::now();
        for noise in 0..40 {
            for cut in 0..50 {
                let mut module = CompatModule::new(&keys());
                let mut wire = vec![0xa1; noise];
                wire.extend(module.outgoing(READY, now).unwrap());
                wire.extend(module.outgoing(b"more", now).unwrap());
                let mut host = CompatHost::new(keys());
                let (first, second) = wire.split_at(cut.min(wire.len()));
                let mut plain = host.incoming(first, now).unwrap().plain;
                plain.extend(host.incoming(second, now).unwrap().plain);
                assert_eq!(plain, b"\r\nready\r\nmore", "{noise} bytes of noise, cut at {cut}");
                assert_eq!(module.incoming(&host.outgoing(b"AT", now).unwrap(), now).unwrap().plain, b"AT");
            }
        }
    }

    #[test]
    fn follows_a_module_that_starts_again() {
        let now = Instant::now();
        for lost in 0..3 {
            let (mut module, mut host) = (CompatModule::new(&keys()), CompatHost::new(keys()));
            host.incoming(&module.outgoing(READY, now).unwrap(), now).unwrap();
            host.outgoing(b"AT+RST\r\n", now).unwrap();
            let reply = module.outgoing(b"\r\nOK\r\n", now).unwrap();
            let mut module = CompatModule::new(&keys());
            let mut plain = Vec::new();
            // Byte by byte, and with the end of the last life lost.
            for byte in reply[..reply.len() - lost].iter().chain(&module.outgoing(READY, now).unwrap()) {
                plain.extend(host.incoming(&[*byte], now).unwrap().plain);
            }
            assert!(plain.starts_with(&b"\r\nOK\r\n"[..6 - lost]) && plain.ends_with(READY), "{plain:?}");
            assert_eq!(module.incoming(&host.outgoing(b"AT", now).unwrap(), now).unwrap().plain, b"AT");
        }
    }

    /// What cannot be noticed here is noticed by whoever waits for a reply.
    #[test]
    fn one_lost_byte_is_garbage_from_there_on() {
        let now = Instant::now();
        let (mut module, mut host) = (CompatModule::new(&keys()), CompatHost::new(keys()));
        host.incoming(&module.outgoing(READY, now).unwrap(), now).unwrap();
        let reply = module.outgoing(b"AT\r\n\r\nOK\r\n", now).unwrap();
        let plain = host.incoming(&reply[1..], now).unwrap().plain;
        assert!(!plain.windows(4).any(|window| window == b"OK\r\n"));
    }
}

//! A C program with one link, which does what it is told: see puppet.c.

use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use cotter_wire::link::session::Side;

/// What an end tells, in C and in Rust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Opened { suite: u8, continued: bool },
    Data(Vec<u8>),
    Escape,
    Refused(i32),
}

/// `cotter_link_status`.
#[derive(Debug, PartialEq, Eq)]
pub struct Status {
    pub sent: u64,
    pub sent_again: u64,
    pub received: u64,
    pub refused: u64,
    pub sessions: u64,
    pub room: u64,
    pub mode: u8,
    pub suite: u8,
    pub is_open: bool,
    pub is_all_acknowledged: bool,
}

/// The process. It ends when its input does.
pub struct Puppet {
    child: Child,
    told: Option<ChildStdin>,
    says: BufReader<ChildStdout>,
}

impl Puppet {
    pub fn start(program: &Path) -> Self {
        let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (told, says) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, told, says }
    }

    /// `keys`: psk, own private key, the other's public key.
    pub fn create(&mut self, mode: u8, side: Side, suites: u8, keys: &[[u8; 32]; 3], seed: u64) -> i32 {
        self.create_rekeying(mode, side, suites, 1 << 20, keys, seed)
    }

    pub fn create_rekeying(
        &mut self,
        mode: u8,
        side: Side,
        suites: u8,
        rekey_frames: u64,
        keys: &[[u8; 32]; 3],
        seed: u64,
    ) -> i32 {
        let side = u8::from(side == Side::Module);
        let (rekey, seed) = (rekey_frames.to_le_bytes(), seed.to_le_bytes());
        self.tell(&[b"C", &[mode, side, suites], &rekey, &keys.concat(), &seed]);
        self.code()
    }

    pub fn receive(&mut self, wire: &[u8], now: u64) -> Vec<Told> {
        self.tell(&[b"R", &now.to_le_bytes(), &len(wire), wire]);
        let mut all = Vec::new();
        loop {
            let kind = self.byte();
            if kind == 0 {
                return all;
            }
            let (suite, continued, reason) = (self.byte(), self.byte(), self.code());
            let data = self.bytes();
            all.push(match kind {
                1 => Told::Opened { suite, continued: continued == 1 },
                2 => Told::Data(data),
                3 => Told::Escape,
                4 => Told::Refused(reason),
                _ => panic!("event {kind}"),
            });
        }
    }

    pub fn transmit(&mut self, now: u64, room: u16) -> (Vec<Vec<u8>>, i32) {
        self.tell(&[b"T", &now.to_le_bytes(), &room.to_le_bytes()]);
        let mut all = Vec::new();
        loop {
            let bytes = self.bytes();
            if bytes.is_empty() {
                return (all, self.code());
            }
            all.push(bytes);
        }
    }

    pub fn send(&mut self, plain: &[u8]) -> (i32, usize) {
        self.tell(&[b"S", &len(plain), plain]);
        (self.code(), usize::from(u16::from_le_bytes(self.array())))
    }

    pub fn escape(&mut self) -> i32 {
        self.tell(&[b"E"]);
        self.code()
    }

    pub fn reconnect(&mut self) -> i32 {
        self.tell(&[b"N"]);
        self.code()
    }

    pub fn wake_at(&mut self) -> u64 {
        self.tell(&[b"W"]);
        assert_eq!(self.code(), 0);
        u64::from_le_bytes(self.array())
    }

    pub fn status(&mut self) -> Status {
        self.tell(&[b"P"]);
        assert_eq!(self.code(), 0);
        let [sent, sent_again, received, refused, sessions, room] = std::array::from_fn(|_| self.number());
        let [mode, suite, is_open, is_all_acknowledged] = self.array();
        let (is_open, is_all_acknowledged) = (is_open == 1, is_all_acknowledged == 1);
        Status { sent, sent_again, received, refused, sessions, room, mode, suite, is_open, is_all_acknowledged }
    }

    /// The result, and how many bytes of the storage are not zero afterwards.
    pub fn wipe(&mut self) -> (i32, u16) {
        self.tell(&[b"X"]);
        (self.code(), u16::from_le_bytes(self.array()))
    }

    pub fn derive(&mut self, secret: &[u8; 32], ingredients: [&[u8]; 3]) -> (i32, [u8; 32]) {
        self.tell(&[b"D", secret]);
        self.tell_ingredients(ingredients);
        (self.code(), self.array())
    }

    pub fn public_key(&mut self, private: &[u8; 32]) -> (i32, [u8; 32]) {
        self.tell(&[b"U", private]);
        (self.code(), self.array())
    }

    /// Key and IV for sending, then for receiving.
    pub fn compat(&mut self, cipher: u8, allow: u8, keys: [&[u8]; 4]) -> i32 {
        self.tell(&[b"K", &[cipher, allow]]);
        for key in keys {
            self.tell(&[&[u8::try_from(key.len()).unwrap()], key]);
        }
        self.code()
    }

    pub fn compat_derived(&mut self, cipher: u8, side: Side, both: u8, secret: &[u8; 32], from: [&[u8]; 3]) -> i32 {
        self.tell(&[b"L", &[cipher, u8::from(side == Side::Module), both], secret]);
        self.tell_ingredients(from);
        self.code()
    }

    /// Encrypts, or else decrypts.
    pub fn keystream(&mut self, sending: bool, data: &[u8]) -> (i32, Vec<u8>) {
        self.tell(&[if sending { b"k" } else { b"r" }, &len(data), data]);
        let code = self.code();
        let mut done = vec![0; data.len()];
        self.read(&mut done);
        (code, done)
    }

    fn tell_ingredients(&mut self, ingredients: [&[u8]; 3]) {
        for bytes in ingredients {
            self.tell(&[&len(bytes), bytes]);
        }
    }

    fn tell(&mut self, parts: &[&[u8]]) {
        self.told.as_mut().unwrap().write_all(&parts.concat()).unwrap();
    }

    fn read(&mut self, into: &mut [u8]) {
        self.says.read_exact(into).expect("the C program has ended; what it said on standard error is above");
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.read(&mut bytes);
        bytes
    }

    fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    fn code(&mut self) -> i32 {
        i32::from_le_bytes(self.array())
    }

    fn number(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    fn bytes(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; usize::from(u16::from_le_bytes(self.array()))];
        self.read(&mut bytes);
        bytes
    }
}

impl Drop for Puppet {
    /// Leaks and the like are said at its end.
    fn drop(&mut self) {
        drop(self.told.take());
        let status = self.child.wait().unwrap();
        assert!(std::thread::panicking() || status.success(), "the C program ended with {status}");
    }
}

fn len(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len()).unwrap().to_le_bytes()
}

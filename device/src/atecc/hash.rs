//! What the part hashes, computed by the host: the same bytes in the same order.
//!
//! Source: DS20005927A chapter 9; for the ATECC608, cryptoauthlib 20260505 `atca_host.c`.

use super::command::counter::CounterId;
use super::command::gen_dig::{GenDig, Order};
use super::command::key::{DeriveKey, PublicKey};
use super::command::mac::Mac;
use super::command::sign::{SerialPart, SignInternal};
use super::identify::SerialNumber;
use cotter_formats::atecc::counter::Count;
use cotter_formats::atecc::{ConfigZone, Opcode, Slot};
use cotter_formats::secret::Secret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// SHA-256 over pieces.
pub(super) fn digest(pieces: &[&[u8]]) -> [u8; 32] {
    let mut out = [0; 32];
    digest_into(pieces, &mut out);
    out
}

/// The same in place, for what is secret.
pub(super) fn digest_into(pieces: &[&[u8]], out: &mut [u8; 32]) {
    let mut hash = Sha256::new();
    for piece in pieces {
        hash.update(piece);
    }
    hash.finalize_into(out.into());
}

/// The host's copy of `TempKey`, as far as it knows what went in.
#[derive(Debug)]
pub struct TempKey(Secret<32>);

impl TempKey {
    /// Loaded as it is.
    #[must_use]
    pub fn loaded(bytes: &[u8; 32]) -> Self {
        Self(Secret::filled_by(|out| *out = *bytes))
    }

    /// After a nonce with a random number in it.
    #[must_use]
    pub(super) fn of_nonce(random: &[u8; 32], input: &[u8; 20], mode: u8, low: u8) -> Self {
        Self::of(&[random, input, &[Opcode::NONCE.0, mode, low]])
    }

    /// After `GenDig` over `value`, which are 32 bytes: the key, the block, the shared nonce. The other kinds have
    /// their own function.
    #[must_use]
    pub fn after_gen_dig(&self, gen_dig: &GenDig<'_>, value: &Secret<32>, serial: SerialNumber) -> Self {
        let (zone, param2) = gen_dig.parameters();
        let [low, high] = param2.to_le_bytes();
        let mut header = [Opcode::GEN_DIG.0, zone, low, high];
        let (mut first, mut last) = (value.expose(), self.0.expose());
        match gen_dig {
            GenDig::Key { header: Some(other), .. } => header = *other,
            GenDig::Shared { order, .. } => {
                header[3] = 0;
                if *order == Order::TempKeyFirst {
                    (first, last) = (last, first);
                }
            }
            _ => {}
        }
        Self::of(&[first, &header, &serial.common(), &[0; 25], last])
    }

    /// After `GenDig` over a counter.
    #[must_use]
    pub fn after_counter(&self, counter: CounterId, count: Count, serial: SerialNumber) -> Self {
        let header = [Opcode::GEN_DIG.0, 4, counter.number(), 0];
        let count = count.value().to_le_bytes();
        Self::of(&[&[0; 32], &header, &serial.common(), &[0], &count, &[0; 20], self.0.expose()])
    }

    /// After `GenDig` over the configuration of a slot.
    #[must_use]
    pub fn after_key_config(&self, slot: Slot, config: &ConfigZone, serial: SerialNumber) -> Self {
        let header = [Opcode::GEN_DIG.0, 5, slot.number(), 0];
        let (rules, key) = (config.slot_config(slot).0.to_le_bytes(), config.key_config(slot).0.to_le_bytes());
        let is_open = u8::from(!config.is_slot_locked(slot));
        let pieces: [&[u8]; 9] =
            [&[0; 32], &header, &serial.common(), &[0], &rules, &key, &[is_open], &[0; 19], self.0.expose()];
        Self::of(&pieces)
    }

    /// After `GenKey` took a public key in; `header` is that of the request.
    #[must_use]
    pub fn after_gen_key(&self, header: [u8; 3], public: &PublicKey, serial: SerialNumber) -> Self {
        Self::of(&[self.0.expose(), &[Opcode::GEN_KEY.0], &header, &serial.common(), &[0; 25], &public.0])
    }

    /// The only way to read it.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// As a key for what comes next.
    #[must_use]
    pub fn into_secret(self) -> Secret<32> {
        self.0
    }

    fn of(pieces: &[&[u8]]) -> Self {
        Self(Secret::filled_by(|out| digest_into(pieces, out)))
    }
}

/// What [`Mac`] answers, for a host that knows the key: `first` and `second` are what stands there, `otp` the beginning
/// of the OTP zone as far as it is in it and zeros behind.
#[must_use]
pub fn mac(request: &Mac<'_>, first: &Secret<32>, second: &[u8; 32], otp: &[u8; 11], serial: SerialNumber) -> [u8; 32] {
    let header = [Opcode::MAC.0, request.mode(), request.slot.number(), 0];
    let (sn4, sn2) = serial.unique(request.serial);
    let [last, head @ ..] = serial.common();
    digest(&[first.expose(), second, &header, otp, &[last], &sn4, &head, &sn2])
}

/// The response that `CheckMac` takes: `first` and `second` are what stands there, `otp` the beginning of the OTP zone
/// or zeros.
#[must_use]
pub fn check_mac(
    first: &Secret<32>,
    second: &[u8; 32],
    other: &[u8; 13],
    otp: &[u8; 8],
    serial: SerialNumber,
) -> [u8; 32] {
    let &[a, b, c, d, e, f, g, h, i, j, k, l, m] = other;
    let [last, head @ ..] = serial.common();
    let pieces: [&[u8]; 9] =
        [first.expose(), second, &[a, b, c, d], otp, &[e, f, g], &[last], &[h, i, j, k], &head, &[l, m]];
    digest(&pieces)
}

/// Whether a MAC is the one that was expected, in constant time.
#[must_use]
pub fn is_equal(expected: &[u8; 32], found: &[u8; 32]) -> bool {
    expected.ct_eq(found).into()
}

/// The MAC that `DeriveKey` wants where the slot says so; `parent` is the key of `WriteKey`.
#[must_use]
pub fn derive_key_mac(request: &DeriveKey<'_>, parent: &Secret<32>, serial: SerialNumber) -> [u8; 32] {
    digest(&[parent.expose(), &request.header(), &serial.common()])
}

/// What `DeriveKey` makes; `source` is the slot's own key, or its parent.
#[must_use]
pub fn derived_key(
    request: &DeriveKey<'_>,
    source: &Secret<32>,
    temp_key: &TempKey,
    serial: SerialNumber,
) -> Secret<32> {
    let pieces: [&[u8]; 5] = [source.expose(), &request.header(), &serial.common(), &[0; 25], temp_key.expose()];
    Secret::filled_by(|out| digest_into(&pieces, out))
}

/// What an internal signature signs.
#[derive(Debug)]
pub struct InternalMessage<'a> {
    /// The command that signed.
    pub sign: &'a SignInternal,
    /// The signing part's configuration.
    pub config: &'a ConfigZone,
    /// The slot that `GenDig` or `GenKey` used last.
    pub slot: Slot,
    /// Bits 4 to 7 of the first byte that `Info` shows of the state: how `TempKey` came about.
    pub flags: u8,
    /// Whether the slot holds a validated public key.
    pub is_valid: bool,
}

impl InternalMessage<'_> {
    /// The 19 bytes that [`super::command::verify::Validate`] wants besides the signature.
    #[must_use]
    pub fn other_data(&self) -> [u8; 19] {
        let [s0, s1] = self.config.slot_config(self.slot).0.to_le_bytes();
        let [k0, k1] = self.config.key_config(self.slot).0.to_le_bytes();
        let ([a, b, c, d], [e, f]) = SerialNumber(self.config.serial_number()).unique(self.sign.serial);
        let flags = self.flags & 0xf0 | self.slot.number();
        let is_open = u8::from(!self.config.is_slot_locked(self.slot));
        let (mode, slot) = (self.sign.mode(), self.sign.slot.number());
        [mode, slot, 0, s0, s1, k0, k1, flags, 0, 0, a, b, c, d, e, f, is_open, u8::from(self.is_valid), 0]
    }

    /// The digest that was signed; `temp_key` is its state before.
    #[must_use]
    pub fn digest(&self, temp_key: &TempKey) -> [u8; 32] {
        let other = self.other_data();
        let (head, tail) = other.split_at(10);
        let (sn4, tail) = tail.split_at(4);
        let [last, common @ ..] = SerialNumber(self.config.serial_number()).common();
        digest(&[temp_key.expose(), &[Opcode::SIGN.0], head, &[last], sn4, &common, tail])
    }
}

/// Takes off what the part put on under the I/O protection key: blocks of 32 bytes, and behind them its nonce, of which
/// each block has 16 bytes.
pub(super) fn unprotect(key: &Secret<32>, answer: &[u8], out: &mut [u8]) {
    let (cipher, nonce) = answer.split_at(out.len().min(answer.len()));
    for ((out, cipher), half) in out.chunks_mut(32).zip(cipher.chunks(32)).zip(nonce.chunks_exact(16)) {
        let mut pad = Zeroizing::new([0; 32]);
        digest_into(&[key.expose(), half], &mut pad);
        for ((out, cipher), pad) in out.iter_mut().zip(cipher).zip(*pad) {
            *out = cipher ^ pad;
        }
    }
}

impl SerialNumber {
    /// SN<4:7> and SN<2:3>, or zeros.
    fn unique(self, part: SerialPart) -> ([u8; 4], [u8; 2]) {
        let [_, _, c, d, e, f, g, h, _] = self.0;
        match part {
            SerialPart::Common => ([0; 4], [0; 2]),
            SerialPart::Whole => ([e, f, g, h], [c, d]),
        }
    }
}

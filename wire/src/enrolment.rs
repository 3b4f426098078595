//! Enrolment: what the factory tells the server about a newborn device, once.
//!
//! ```text
//! {"format":1,"device_id":"..","epoch":1,"chip":"esp32c3","mac":"<12 hex>","secure_boot":"<64 hex>",
//!  "certificate":"<base64 DER>",                                  (this member only if there is one)
//!  "nonce":"<24 hex>","root_key":"<96 hex>"}                      (one line, canonical, at most 4096 bytes)
//!
//! root_key = AES-256-GCM(enrolment key, nonce, root key), the tag at the end
//! AAD      = "cotter/enrolment/v1\0" | SHA-256 of all bytes of the message before ,"nonce":
//! ```
//!
//! So the root key is secret, and every other field is as authentic as it. Epochs and repetitions are for the
//! receiver's store to judge: a record can be sent again, but it cannot be changed.

use crate::canonical::{Base64Text, CanonicalError, OutputFull, Scanner, Writer};
use crate::ids::{DeviceId, KeyEpoch};
use crate::keys::{EnrolmentKey, RootKey};
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use cotter_formats::chip::Chip;
use cotter_formats::secret::Secret;
use sha2::{Digest, Sha256};

/// Longest record, in bytes.
pub const MAX_ENROLMENT: usize = 4096;
/// Longest certificate, in bytes of DER.
pub const MAX_CERTIFICATE: usize = 2048;

/// What is known about a device besides its root key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enrolment<'a> {
    /// Its name.
    pub device: DeviceId,
    /// Which generation of keys this record begins.
    pub epoch: KeyEpoch,
    /// What it is.
    pub chip: Chip,
    /// Its base MAC address, from eFuse.
    pub mac: [u8; 6],
    /// Digest of the Secure Boot key that its eFuses trust.
    pub secure_boot: [u8; 32],
    /// Its certificate (DER), if it has one.
    pub certificate: Option<&'a [u8]>,
}

impl Enrolment<'_> {
    /// Writes the record into the beginning of `out`; [`MAX_ENROLMENT`] bytes are always enough.
    ///
    /// `nonce` must be fresh from a cryptographic random source, and one enrolment key is good for 2^32 records
    /// (NIST SP 800-38D).
    ///
    /// # Errors
    /// [`EnrolmentError::CertificateLength`] or [`EnrolmentError::OutputFull`].
    pub fn seal<'o>(
        &self,
        key: &EnrolmentKey,
        nonce: &[u8; 12],
        root: &RootKey,
        out: &'o mut [u8],
    ) -> Result<&'o [u8], EnrolmentError> {
        // 1. Everything that is not secret.
        let mut writer = Writer::new(out);
        writer.literal("{\"format\":1,\"device_id\":\"").literal(self.device.as_str());
        writer.literal("\",\"epoch\":").number(self.epoch.0);
        writer.literal(",\"chip\":\"").literal(self.chip.name());
        writer.literal("\",\"mac\":\"").hex(&self.mac);
        writer.literal("\",\"secure_boot\":\"").hex(&self.secure_boot).literal("\"");
        if let Some(certificate) = self.certificate {
            if !(1..=MAX_CERTIFICATE).contains(&certificate.len()) {
                return Err(EnrolmentError::CertificateLength(certificate.len()));
            }
            writer.literal(",\"certificate\":\"").base64(certificate).literal("\"");
        }
        // 2. The root key, bound to that. What does not fit is found at the end.
        let context = context(writer.written());
        let mut sealed = [0; ROOT_LEN];
        sealed.copy_from_slice(root.expose());
        let tag = Aes256Gcm::new(key.expose().into())
            .encrypt_inout_detached(nonce.into(), &context, sealed.as_mut_slice().into())
            .expect("32 bytes are far below the limit of GCM");
        writer.literal(",\"nonce\":\"").hex(nonce).literal("\",\"root_key\":\"").hex(&sealed).hex(&tag).literal("\"}");
        Ok(writer.finish()?)
    }
}

/// A well-formed record of which nothing is believed yet.
#[derive(Clone, Debug)]
pub struct SealedEnrolment<'a> {
    device: DeviceId,
    epoch: KeyEpoch,
    chip: Chip,
    mac: [u8; 6],
    secure_boot: [u8; 32],
    certificate: Option<Base64Text<'a>>,
    context: [u8; CONTEXT_LEN],
    nonce: [u8; 12],
    sealed: [u8; ROOT_LEN],
    tag: [u8; 16],
}

impl<'a> SealedEnrolment<'a> {
    /// Reads the one spelling of a record.
    ///
    /// # Errors
    /// [`EnrolmentError::Canonical`] or [`EnrolmentError::UnknownChip`].
    pub fn parse(record: &'a [u8]) -> Result<Self, EnrolmentError> {
        let mut scanner = Scanner::new(record, MAX_ENROLMENT)?;
        scanner.literal("{\"format\":1,\"device_id\":\"")?;
        let device = scanner.device_id()?;
        scanner.literal("\",\"epoch\":")?;
        let epoch = KeyEpoch(scanner.u32()?);
        scanner.literal(",\"chip\":\"")?;
        let at = scanner.offset();
        let chip = scanner.text(MAX_CHIP_NAME, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())?;
        let chip = core::str::from_utf8(chip).ok().and_then(Chip::from_name);
        let chip = chip.ok_or(EnrolmentError::UnknownChip { at })?;
        scanner.literal("\",\"mac\":\"")?;
        let mac = scanner.hex()?;
        scanner.literal("\",\"secure_boot\":\"")?;
        let secure_boot = scanner.hex()?;
        scanner.literal("\"")?;
        let mut certificate = None;
        if scanner.accepts(",\"certificate\":\"") {
            let at = scanner.offset();
            let text = scanner.base64(MAX_CERTIFICATE.div_ceil(3) * 4)?;
            if text.decoded_len() > MAX_CERTIFICATE {
                return Err(CanonicalError::TooLong { at, max: MAX_CERTIFICATE }.into());
            }
            certificate = Some(text);
            scanner.literal("\"")?;
        }
        let context = context(&record[..scanner.offset()]);
        scanner.literal(",\"nonce\":\"")?;
        let nonce = scanner.hex()?;
        scanner.literal("\",\"root_key\":\"")?;
        let (sealed, tag) = (scanner.hex()?, scanner.hex()?);
        scanner.literal("\"}")?;
        scanner.end()?;
        Ok(Self { device, epoch, chip, mac, secure_boot, certificate, context, nonce, sealed, tag })
    }

    /// Opens it: only then is any of it true. The certificate, if there is one, goes to the beginning of `certificate`;
    /// [`MAX_CERTIFICATE`] bytes are always enough.
    ///
    /// # Errors
    /// [`EnrolmentError::NotAuthentic`] or [`EnrolmentError::OutputFull`].
    pub fn open<'o>(
        &self,
        key: &EnrolmentKey,
        certificate: &'o mut [u8],
    ) -> Result<(Enrolment<'o>, RootKey), EnrolmentError> {
        let root = Secret::try_filled_by(|root| {
            root.copy_from_slice(&self.sealed);
            Aes256Gcm::new(key.expose().into())
                .decrypt_inout_detached(
                    (&self.nonce).into(),
                    &self.context,
                    root.as_mut_slice().into(),
                    (&self.tag).into(),
                )
                .map_err(|_| EnrolmentError::NotAuthentic)
        })?;
        let certificate = match self.certificate {
            Some(text) => Some(&*text.decode(certificate)?),
            None => None,
        };
        let Self { device, epoch, chip, mac, secure_boot, .. } = *self;
        Ok((Enrolment { device, epoch, chip, mac, secure_boot, certificate }, RootKey::new(root)))
    }
}

fn context(head: &[u8]) -> [u8; CONTEXT_LEN] {
    let mut context = [0; CONTEXT_LEN];
    let (domain, digest) = context.split_at_mut(DOMAIN.len());
    domain.copy_from_slice(DOMAIN);
    digest.copy_from_slice(&Sha256::digest(head));
    context
}

const DOMAIN: &[u8] = b"cotter/enrolment/v1\0";
const CONTEXT_LEN: usize = DOMAIN.len() + 32;
const ROOT_LEN: usize = 32;
const MAX_CHIP_NAME: usize = 16;

/// Why a record was not sealed, or is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnrolmentError {
    /// Not the one spelling of a record.
    #[error("enrolment: {0}")]
    Canonical(#[from] CanonicalError),
    /// No chip of this name.
    #[error("enrolment: unknown chip at offset {at}")]
    UnknownChip {
        /// Where the name starts.
        at: usize,
    },
    /// Empty, or more than 2048 bytes.
    #[error("enrolment: a certificate of {0} bytes, expected 1 to 2048")]
    CertificateLength(usize),
    /// Not sealed with this enrolment key, or changed on the way.
    #[error("enrolment: not sealed with this enrolment key, or changed")]
    NotAuthentic,
    /// The caller's buffer is too small.
    #[error("enrolment: the output buffer is too small")]
    OutputFull,
}

impl From<OutputFull> for EnrolmentError {
    fn from(OutputFull: OutputFull) -> Self {
        Self::OutputFull
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;

    /// By Python, see /vectors/wire/README.md.
    const PLAIN: &str = include_str!("../../vectors/wire/enrolment.json");
    const CERTIFIED: &str = include_str!("../../vectors/wire/enrolment-certificate.json");
    const CERTIFICATE: &[u8] = include_bytes!("../../vectors/wire/heatshrink/max_random.bin");

    fn key() -> EnrolmentKey {
        EnrolmentKey::new(Secret::filled_by(|key| key.fill(0xe0)))
    }

    fn root() -> RootKey {
        RootKey::new(Secret::filled_by(|key| (0..).zip(key).for_each(|(value, byte)| *byte = value)))
    }

    fn enrolment(certificate: Option<&[u8]>) -> Enrolment<'_> {
        Enrolment {
            device: "esp32-001".parse().expect("legal"),
            epoch: KeyEpoch(1),
            chip: Chip::Esp32C3,
            mac: [0x7c, 0xdf, 0xa1, 0, 0, 1],
            secure_boot: [0x5b; 32],
            certificate,
        }
    }

    fn open(record: &[u8]) -> Result<RootKey, EnrolmentError> {
        SealedEnrolment::parse(record)?.open(&key(), &mut [0; MAX_CERTIFICATE]).map(|(_, root)| root)
    }

    #[test]
    fn seals_and_opens_what_python_does() {
        for (record, certificate, nonce) in [(PLAIN, None, 0xc0), (CERTIFIED, Some(CERTIFICATE), 0xc1)] {
            let mut out = [0; MAX_ENROLMENT];
            let sealed = enrolment(certificate).seal(&key(), &[nonce; 12], &root(), &mut out).expect("fits");
            assert_eq!(core::str::from_utf8(sealed), Ok(record));
            let mut buffer = [0; MAX_CERTIFICATE];
            let parsed = SealedEnrolment::parse(record.as_bytes()).expect("canonical");
            let (opened, key) = parsed.open(&key(), &mut buffer).expect("authentic");
            assert_eq!(opened, enrolment(certificate));
            assert_eq!(key.expose(), root().expose());
        }
    }

    #[test]
    fn refuses_every_flipped_bit() {
        for record in [PLAIN, CERTIFIED] {
            for bit in 0..8 * record.len() {
                let mut flipped = record.as_bytes().to_vec();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let refusal = open(&flipped).expect_err("a flipped bit is noticed");
                assert!(
                    matches!(
                        refusal,
                        EnrolmentError::Canonical(_)
                            | EnrolmentError::UnknownChip { .. }
                            | EnrolmentError::NotAuthentic
                    ),
                    "bit {bit}: {refusal}"
                );
            }
        }
    }

    #[test]
    fn refuses_truncation_at_every_length() {
        for len in 0..CERTIFIED.len() {
            assert!(matches!(open(&CERTIFIED.as_bytes()[..len]), Err(EnrolmentError::Canonical(_))), "{len}");
        }
    }

    #[test]
    fn no_field_can_be_exchanged_added_or_left_out() {
        let certificate_at = CERTIFIED.find(",\"certificate\"").expect("is there");
        let nonce_at = CERTIFIED.find(",\"nonce\"").expect("is there");
        let without = [&CERTIFIED[..certificate_at], &CERTIFIED[nonce_at..]].concat();
        let cases = [
            PLAIN.replacen("esp32-001", "esp32-002", 1),
            PLAIN.replacen("\"epoch\":1", "\"epoch\":2", 1),
            PLAIN.replacen("esp32c3", "esp32c6", 1),
            PLAIN.replacen("7cdfa1", "7cdfa2", 1),
            PLAIN.replacen("5b5b", "5b5c", 1),
            PLAIN.replacen("c0c0", "c0c1", 1),
            without,
        ];
        for record in cases {
            assert_eq!(open(record.as_bytes()).err(), Some(EnrolmentError::NotAuthentic), "{record}");
        }
        let other = EnrolmentKey::new(Secret::filled_by(|key| key.fill(0xe1)));
        let refusal = SealedEnrolment::parse(PLAIN.as_bytes()).expect("canonical").open(&other, &mut []).err();
        assert_eq!(refusal, Some(EnrolmentError::NotAuthentic));
    }

    #[test]
    fn refusals_are_named() {
        let with = |old: &str, new: &str| open(PLAIN.replacen(old, new, 1).as_bytes()).err();
        assert_eq!(with("esp32c3", "esp8266"), Some(EnrolmentError::UnknownChip { at: 54 }));
        assert_eq!(
            with("\"}", "\",\"root_key\":\"\"}"),
            Some(EnrolmentError::Canonical(CanonicalError::Expected { at: PLAIN.len() - 2, literal: "\"}" }))
        );
        assert_eq!(
            with("7cdf", "7CDF"),
            Some(EnrolmentError::Canonical(CanonicalError::UpperCaseHex {
                at: PLAIN.find("7cdf").expect("there") + 1
            }))
        );
        let mut out = [0; MAX_ENROLMENT];
        for len in [0, MAX_CERTIFICATE + 1] {
            let certificate = std::vec![0; len];
            let refusal = enrolment(Some(&certificate)).seal(&key(), &[0; 12], &root(), &mut out);
            assert_eq!(refusal, Err(EnrolmentError::CertificateLength(len)));
        }
        for len in 0..PLAIN.len() {
            let refusal = enrolment(None).seal(&key(), &[0; 12], &root(), &mut out[..len]);
            assert_eq!(refusal, Err(EnrolmentError::OutputFull), "{len}");
        }
        let parsed = SealedEnrolment::parse(CERTIFIED.as_bytes()).expect("canonical");
        assert_eq!(parsed.open(&key(), &mut [0; 511]).err(), Some(EnrolmentError::OutputFull));
    }

    proptest! {
        #[test]
        fn round_trips(
            id in "[a-z0-9-]{1,32}",
            epoch: u32,
            chip in 0..Chip::ALL.len(),
            mac: [u8; 6],
            secure_boot: [u8; 32],
            certificate in proptest::option::of(proptest::collection::vec(any::<u8>(), 1..=MAX_CERTIFICATE)),
            nonce: [u8; 12],
        ) {
            let enrolment = Enrolment {
                device: id.parse().expect("legal"),
                epoch: KeyEpoch(epoch),
                chip: Chip::ALL[chip],
                mac,
                secure_boot,
                certificate: certificate.as_deref(),
            };
            let (mut out, mut buffer) = ([0; MAX_ENROLMENT], [0; MAX_CERTIFICATE]);
            let record = enrolment.seal(&key(), &nonce, &root(), &mut out).expect("fits");
            let parsed = SealedEnrolment::parse(record).expect("canonical");
            let (opened, opened_root) = parsed.open(&key(), &mut buffer).expect("authentic");
            prop_assert_eq!(opened, enrolment);
            prop_assert!(opened_root.expose() == root().expose());
        }

        #[test]
        fn survives_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(SealedEnrolment::parse(&bytes).is_err());
        }
    }
}

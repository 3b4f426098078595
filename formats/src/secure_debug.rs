//! Secure Debug Controller certificates of the ESP32-S31: a signed permission to debug one chip in one session.
//!
//! The chip's eFuses hold the digest of a P-256 key (purpose [`KEY_PURPOSE`]). A certificate names what is to be unlocked,
//! and its signature covers that together with [`ChipInfo`], which depends on the chip's MAC address, a nonce and a counter in
//! eFuse that only grows: after a session one more bit of it is burned, and all earlier certificates are void.
//!
//! Source: esptool 5.6.0 `espsecure/esp_sdc/__init__.py`, `espefuse/efuse/esp32s31/fields.py`.

use crate::crc::crc_a;
use crate::read::{ReadError, Reader};
use sha2::{Digest, Sha256};
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a certificate with its nonce.
pub const CERTIFICATE_LEN: usize = 468;
/// Bytes of a file with [`ChipInfo`], as the ROM answers.
#[doc(alias = "CHIP_INFO_FILE_SIZE")]
pub const CHIP_INFO_LEN: usize = 64;
/// First four bytes: "CAMR".
#[doc(alias = "SDC_CERT_MAGIC")]
pub const MAGIC: u32 = 0x524D_4143;
/// The key purpose `SDC_KEY_DIGEST` in eFuse.
pub const KEY_PURPOSE: u8 = 19;

/// What a certificate unlocks: 256 bytes, of which three bits are known. Others survive a round trip.
#[doc(alias = "USC")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unlock(pub [u8; 256]);

impl Unlock {
    /// Nothing.
    pub const NOTHING: Self = Self([0; 256]);

    /// Together with `feature`.
    #[must_use]
    pub const fn with(mut self, feature: Feature) -> Self {
        self.0[3] |= feature.mask();
        self
    }

    /// Is `feature` unlocked?
    #[must_use]
    pub const fn has(&self, feature: Feature) -> bool {
        self.0[3] & feature.mask() != 0
    }

    /// Is anything set that has no name here?
    #[must_use]
    pub fn has_unknown(&self) -> bool {
        let known = Feature::ALL.into_iter().fold(Self::NOTHING, Self::with);
        self.0.iter().zip(known.0).any(|(&set, known)| set & !known != 0)
    }
}

/// One bit of the first word, which is big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Bit 0: the JTAG interface.
    #[doc(alias = "USC_BIT_JTAG")]
    Jtag,
    /// Bit 1: download mode can be used again.
    #[doc(alias = "USC_BIT_DOWNLOAD_REUSE")]
    DownloadReuse,
    /// Bit 2: boots from SPI flash whatever the strapping pins say.
    #[doc(alias = "USC_BIT_FORCE_SPI_BOOT")]
    ForceSpiBoot,
}

impl Feature {
    /// All of them, by bit.
    pub const ALL: [Self; 3] = [Self::Jtag, Self::DownloadReuse, Self::ForceSpiBoot];

    /// As espsecure's JSON configuration calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jtag => "enable_jtag",
            Self::DownloadReuse => "enable_download_reuse",
            Self::ForceSpiBoot => "enable_force_spi_boot",
        }
    }

    const fn mask(self) -> u8 {
        match self {
            Self::Jtag => 1,
            Self::DownloadReuse => 2,
            Self::ForceSpiBoot => 4,
        }
    }
}

/// How many sessions a chip has had: unary in three bits of eFuse that software cannot read.
#[doc(alias = "SDC_SESSION_COUNTER")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionCounter(u8);

impl SessionCounter {
    /// The four values that burning can reach.
    pub const ALL: [Self; 4] = [Self(0), Self(1), Self(3), Self(7)];

    /// The counter with these bits burned; `None` unless 0, 1, 3 or 7.
    #[must_use]
    pub fn new(bits: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|counter| counter.0 == bits)
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }
}

/// What identifies one session of one chip.
#[doc(alias = "chip_info.bin")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChipInfo {
    /// SHA-256 over the chip's id, the nonce and the counter.
    pub digest: [u8; 32],
    /// Random, chosen by whoever made the digest.
    pub nonce: [u8; 32],
}

impl ChipInfo {
    /// What the chip with this MAC address computes. `mac`: as printed, the first byte first; eFuses have it reversed.
    #[must_use]
    pub fn of(mac: [u8; 6], counter: SessionCounter, nonce: [u8; 32]) -> Self {
        let mut efuse = mac;
        efuse.reverse();
        let id = Sha256::digest(efuse);
        let digest = Sha256::new().chain_update(id).chain_update(nonce).chain_update([counter.0 << 4]).finalize();
        Self { digest: digest.into(), nonce }
    }

    /// Reads what the ROM answers to its command 0x1C: digest, then nonce.
    ///
    /// # Errors
    /// [`ReadError`] unless there are 64 bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReadError> {
        let mut reader = Reader::new(bytes);
        let info = Self { digest: reader.array()?, nonce: reader.array()? };
        reader.finish()?;
        Ok(info)
    }

    /// The 64 bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; CHIP_INFO_LEN] {
        let mut bytes = [0; CHIP_INFO_LEN];
        bytes[..32].copy_from_slice(&self.digest);
        bytes[32..].copy_from_slice(&self.nonce);
        bytes
    }
}

/// A certificate whose checksums hold. That proves nothing: [`Self::verify`] must succeed, and [`Self::key_digest`] must
/// be the one in the chip's eFuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DebugCertificate {
    /// What it unlocks.
    pub unlock: Unlock,
    /// The signer's public key, x then y, big-endian. Not yet known to be on P-256.
    pub point: [u8; 64],
    /// ECDSA: r then s, big-endian.
    pub signature: [u8; 64],
    /// The nonce of the [`ChipInfo`] that was signed.
    pub nonce: [u8; 32],
}

impl DebugCertificate {
    /// Reads a certificate with its nonce.
    ///
    /// # Errors
    /// [`CertificateRefusal`]; the checks are made in the order of the fields.
    pub fn parse(bytes: &[u8]) -> Result<Self, CertificateRefusal> {
        let mut reader = Reader::new(bytes);
        let raw: Layout = zerocopy::transmute!(reader.array::<CERTIFICATE_LEN>()?);
        reader.finish()?;
        if raw.header.magic != MAGIC {
            return Err(CertificateRefusal::Magic(raw.header.magic.get()));
        }
        if raw.header.version != VERSION {
            return Err(CertificateRefusal::Version(raw.header.version));
        }
        let body = raw.body.as_bytes();
        let (expected, stored) = (Header::of(body), raw.header.crc.get());
        if raw.header != (Header { crc: stored.into(), ..expected }) {
            return Err(CertificateRefusal::Header);
        }
        if stored != expected.crc.get() {
            return Err(CertificateRefusal::Crc { stored, computed: expected.crc.get() });
        }
        if raw.body.digest != raw.body.signed.digest() {
            return Err(CertificateRefusal::Digest);
        }
        let Signed { unlock, point, signature } = raw.body.signed;
        Ok(Self { unlock: Unlock(unlock), point, signature, nonce: raw.nonce })
    }

    /// The 468 bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; CERTIFICATE_LEN] {
        let signed = Signed { unlock: self.unlock.0, point: self.point, signature: self.signature };
        let body = Body { digest: signed.digest(), signed };
        zerocopy::transmute!(Layout { header: Header::of(body.as_bytes()), body, nonce: self.nonce })
    }

    /// SHA-256 of what is signed: the unlock word, then the chip's digest.
    #[must_use]
    pub fn message_digest(unlock: &Unlock, chip: &ChipInfo) -> [u8; 32] {
        Sha256::new().chain_update(unlock.0).chain_update(chip.digest).finalize().into()
    }

    /// The digest of the signer's key, as [`key_digest`] has it.
    #[must_use]
    pub fn key_digest(&self) -> [u8; 32] {
        key_digest(&self.point)
    }

    /// Is this certificate signed by the key in it, for this session of this chip?
    ///
    /// # Errors
    /// [`CertificateRefusal::Nonce`] before anything is computed, [`CertificateRefusal::Point`],
    /// [`CertificateRefusal::Signature`].
    #[cfg(feature = "ecdsa")]
    pub fn verify(&self, chip: &ChipInfo) -> Result<(), CertificateRefusal> {
        use crate::secure_boot::v2::{Curve, EcdsaPublicKey};
        if self.nonce != chip.nonce {
            return Err(CertificateRefusal::Nonce);
        }
        let mut sec1 = [4; 65];
        sec1[1..].copy_from_slice(&self.point);
        let key = EcdsaPublicKey::from_sec1(Curve::P256, &sec1).map_err(|_| CertificateRefusal::Point)?;
        let digest = Self::message_digest(&self.unlock, chip);
        key.verify(&digest, &self.signature).map_err(|_| CertificateRefusal::Signature)
    }
}

/// What `espefuse burn-key BLOCK FILE SDC_KEY_DIGEST` burns for a key: SHA-256 of x and y, its bytes reversed.
/// `point`: x then y, big-endian.
#[doc(alias = "digest_sdc_public_key")]
#[must_use]
pub fn key_digest(point: &[u8; 64]) -> [u8; 32] {
    let mut digest: [u8; 32] = Sha256::digest(point).into();
    digest.reverse();
    digest
}

/// Why bytes are no certificate, or not one for this session of this chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateRefusal {
    /// Not 468 bytes.
    #[error("debug certificate: {0}")]
    Read(#[from] ReadError),
    /// Something else begins here.
    #[error("debug certificate: magic {0:#010x}, expected 0x524d4143")]
    Magic(u32),
    /// Of a later format.
    #[error("debug certificate: version {0}, only 1 is known")]
    Version(u8),
    /// A length or a reserved field is not as version 1 has it.
    #[error("debug certificate: the header's lengths or reserved fields are not those of version 1")]
    Header,
    /// The body changed.
    #[error("debug certificate: CRC {stored:#010x}, the body gives {computed:#010x}")]
    Crc {
        /// In the header.
        stored: u32,
        /// Of the body.
        computed: u32,
    },
    /// The body changed.
    #[error("debug certificate: its SHA-256 does not hold")]
    Digest,
    /// Made with another nonce.
    #[error("debug certificate: its nonce is not that of the chip information")]
    Nonce,
    /// The key in it is none.
    #[error("debug certificate: its key is no point of P-256")]
    Point,
    /// Another chip, another session, another key, or changed.
    #[error("debug certificate: not signed for this chip and session by the key in it")]
    Signature,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Layout {
    header: Header,
    body: Body,
    nonce: [u8; 32],
}

#[derive(Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    magic: U32,
    version: u8,
    reserved_1: u8,
    unlock_len: U16,
    /// Of header and body.
    length: U16,
    reserved_2: U16,
    /// CRC-A of the body.
    crc: U32,
    reserved_3: U32,
}

impl Header {
    fn of(body: &[u8]) -> Self {
        Self {
            magic: MAGIC.into(),
            version: VERSION,
            reserved_1: 0,
            unlock_len: 256.into(),
            length: 436.into(),
            reserved_2: 0.into(),
            crc: crc_a(body).into(),
            reserved_3: 0.into(),
        }
    }
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Body {
    signed: Signed,
    /// SHA-256 of everything before it.
    digest: [u8; 32],
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Signed {
    unlock: [u8; 256],
    point: [u8; 64],
    signature: [u8; 64],
}

impl Signed {
    fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.as_bytes()).into()
    }
}

const VERSION: u8 = 1;
const _: () = assert!(size_of::<Layout>() == CERTIFICATE_LEN && size_of::<Header>() + size_of::<Body>() == 436);

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &[u8] = include_bytes!("../../vectors/sdc/sdc_cert.bin");
    const MAC: [u8; 6] = [0x30, 0xed, 0xa0, 0xed, 0x78, 0x9c];

    #[test]
    fn reads_espressifs_certificate_and_writes_the_same_bytes() {
        let certificate = DebugCertificate::parse(GOLDEN).unwrap();
        assert_eq!(certificate.encode()[..], *GOLDEN);
        assert_eq!(certificate.unlock, Unlock::NOTHING.with(Feature::Jtag));
        assert_eq!(certificate.key_digest()[..], *include_bytes!("../../vectors/sdc/digest.bin"));
        assert!(!certificate.unlock.has_unknown());
    }

    #[cfg(feature = "ecdsa")]
    #[test]
    fn espressifs_certificate_holds_for_its_chip_and_session_only() {
        let certificate = DebugCertificate::parse(GOLDEN).unwrap();
        for counter in SessionCounter::ALL {
            let verdict = certificate.verify(&ChipInfo::of(MAC, counter, certificate.nonce));
            let expected = if counter.bits() == 1 { Ok(()) } else { Err(CertificateRefusal::Signature) };
            assert_eq!(verdict, expected, "{counter:?}");
        }
        let counter = SessionCounter::new(1).unwrap();
        let other = ChipInfo::of([0x30, 0xed, 0xa0, 0xed, 0x78, 0x9d], counter, certificate.nonce);
        assert_eq!(certificate.verify(&other), Err(CertificateRefusal::Signature));
        assert_eq!(certificate.verify(&ChipInfo::of(MAC, counter, [0; 32])), Err(CertificateRefusal::Nonce));
    }

    #[cfg(feature = "ecdsa")]
    #[test]
    fn every_flipped_bit_is_refused() {
        let nonce = DebugCertificate::parse(GOLDEN).unwrap().nonce;
        let chip = ChipInfo::of(MAC, SessionCounter::new(1).unwrap(), nonce);
        for bit in 0..8 * CERTIFICATE_LEN {
            let mut bad: [u8; CERTIFICATE_LEN] = GOLDEN.try_into().unwrap();
            bad[bit / 8] ^= 1 << (bit % 8);
            let refusal = DebugCertificate::parse(&bad).and_then(|certificate| certificate.verify(&chip)).unwrap_err();
            let expected = match bit / 8 {
                0..4 => matches!(refusal, CertificateRefusal::Magic(_)),
                4 => matches!(refusal, CertificateRefusal::Version(_)),
                5..12 | 16..20 => refusal == CertificateRefusal::Header,
                12..16 | 20..436 => matches!(refusal, CertificateRefusal::Crc { .. }),
                _ => refusal == CertificateRefusal::Nonce,
            };
            assert!(expected, "{bit}: {refusal}");
        }
    }

    #[test]
    fn every_truncation_and_a_byte_too_many_is_refused() {
        for len in 0..CERTIFICATE_LEN {
            let refusal = DebugCertificate::parse(&GOLDEN[..len]).unwrap_err();
            assert!(matches!(refusal, CertificateRefusal::Read(ReadError::Truncated { .. })), "{len}");
        }
        let refusal = DebugCertificate::parse(&[GOLDEN, &[0]].concat()).unwrap_err();
        assert_eq!(refusal, CertificateRefusal::Read(ReadError::Trailing { at: CERTIFICATE_LEN, extra: 1 }));
    }

    #[test]
    fn a_mended_crc_does_not_hide_a_changed_body() {
        let mut bad: [u8; CERTIFICATE_LEN] = GOLDEN.try_into().unwrap();
        bad[23] |= 4;
        let crc = crc_a(&bad[20..436]);
        bad[12..16].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(DebugCertificate::parse(&bad), Err(CertificateRefusal::Digest));
    }

    #[test]
    fn unknown_bits_survive_and_are_seen() {
        let mut certificate = DebugCertificate::parse(GOLDEN).unwrap();
        for (at, bits) in [(3, 8), (0, 1), (255, 0x80)] {
            certificate.unlock = Unlock::NOTHING;
            certificate.unlock.0[at] = bits;
            assert!(certificate.unlock.has_unknown());
            assert_eq!(DebugCertificate::parse(&certificate.encode()), Ok(certificate));
        }
        assert!(SessionCounter::new(2).is_none() && SessionCounter::new(15).is_none());
    }

    #[test]
    fn chip_information_is_64_bytes() {
        let info = ChipInfo::of(MAC, SessionCounter::ALL[0], [7; 32]);
        assert_eq!(ChipInfo::parse(&info.encode()), Ok(info));
        assert!(ChipInfo::parse(&[0; 63]).is_err() && ChipInfo::parse(&[0; 65]).is_err());
    }
}

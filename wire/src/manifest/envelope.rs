//! A manifest on its way: body, signatures, and for a device the content key.

use super::{MAX_BODY, MAX_ENVELOPE, MAX_SIGNATURES, Manifest, ManifestError, VerifyPolicy, signed_digest};
use crate::canonical::{CanonicalError, OutputFull, Scanner, Writer};
use crate::content::WrappedKey;
use crate::firmware_key::Algorithm;
use crate::ids::{KeyEpoch, KeyId, ReleaseId};
use sha2::{Digest, Sha256};

/// Longest signature, in bytes.
const MAX_SIGNATURE: usize = 256;

/// One signature over a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestSignature {
    /// Whose it says it is.
    pub key: KeyId,
    /// How it says it was made; must be what the key does.
    pub algorithm: Algorithm,
    /// 256 bytes big-endian for RSA, `r || s` for P-256.
    pub bytes: heapless::Vec<u8, MAX_SIGNATURE>,
}

/// An envelope whose form is right; nothing in it is trusted yet. About 1.7 KB.
#[derive(Clone, Debug)]
pub struct Envelope {
    body: heapless::Vec<u8, MAX_BODY>,
    signatures: heapless::Vec<ManifestSignature, MAX_SIGNATURES>,
    content_key: Option<WrappedKey>,
}

impl Envelope {
    /// Reads the one spelling of an envelope, with or without a content key.
    ///
    /// # Errors
    /// [`ManifestError::Form`] with an offset.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let mut scan = Scanner::new(bytes, MAX_ENVELOPE)?;
        scan.literal("{\"manifest\":\"")?;
        let mut body = heapless::Vec::new();
        decode(&mut scan, &mut body)?;
        scan.literal("\",\"signatures\":[")?;
        let signatures = read_signatures(&mut scan)?;
        let mut content_key = None;
        if scan.accepts(",\"content_key\":{\"epoch\":") {
            let epoch = KeyEpoch(scan.u32()?);
            scan.literal(",\"nonce\":\"")?;
            let nonce = scan.hex()?;
            scan.literal("\",\"wrapped\":\"")?;
            let wrapped = scan.hex()?;
            scan.literal("\"}")?;
            content_key = Some(WrappedKey { epoch, nonce, wrapped });
        }
        scan.literal("}")?;
        scan.end()?;
        Ok(Self { body, signatures, content_key })
    }

    /// Believes the body if enough trusted keys signed it, and only then reads it. A signature by an unknown key counts
    /// for nothing; a wrong one by a known key spoils the whole.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn verify(&self, policy: &VerifyPolicy) -> Result<VerifiedManifest, ManifestError> {
        if self.signatures.is_empty() {
            return Err(ManifestError::Unsigned);
        }
        let valid = policy.count(&signed_digest(&self.body), &self.signatures)?;
        if valid < policy.required() {
            return Err(ManifestError::NotEnoughSignatures { valid, required: policy.required() });
        }
        let manifest = Manifest::parse(&self.body)?;
        Ok(VerifiedManifest { manifest, release: self.release() })
    }

    /// SHA-256 of the body: which release this is about.
    #[must_use]
    pub fn release(&self) -> ReleaseId {
        ReleaseId(Sha256::digest(&self.body).into())
    }

    /// The body's bytes, as signed.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The signatures.
    #[must_use]
    pub fn signatures(&self) -> &[ManifestSignature] {
        &self.signatures
    }

    /// The content key, wrapped for one device.
    #[must_use]
    pub const fn content_key(&self) -> Option<&WrappedKey> {
        self.content_key.as_ref()
    }
}

/// A manifest that enough trusted keys signed. Only [`Envelope::verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedManifest {
    manifest: Manifest,
    release: ReleaseId,
}

impl VerifiedManifest {
    /// What it says.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// SHA-256 of its body.
    #[must_use]
    pub const fn release(&self) -> ReleaseId {
        self.release
    }
}

/// Writes an envelope into `out`; [`MAX_ENVELOPE`] bytes are always enough.
///
/// # Errors
/// [`OutputFull`].
pub fn encode_envelope<'o>(
    body: &[u8],
    signatures: &[ManifestSignature],
    content_key: Option<&WrappedKey>,
    out: &'o mut [u8],
) -> Result<&'o [u8], OutputFull> {
    let mut writer = Writer::new(out);
    writer.literal("{\"manifest\":\"").base64(body).literal("\",\"signatures\":[");
    write_signatures(&mut writer, signatures);
    if let Some(key) = content_key {
        writer.literal(",\"content_key\":{\"epoch\":").number(key.epoch.0);
        writer.literal(",\"nonce\":\"").hex(&key.nonce).literal("\",\"wrapped\":\"").hex(&key.wrapped).literal("\"}");
    }
    writer.literal("}");
    writer.finish()
}

/// The rest of a list of signatures, behind its opening bracket.
pub(crate) fn read_signatures(
    scan: &mut Scanner<'_>,
) -> Result<heapless::Vec<ManifestSignature, MAX_SIGNATURES>, CanonicalError> {
    let mut signatures = heapless::Vec::new();
    if scan.accepts("]") {
        return Ok(signatures);
    }
    loop {
        let at = scan.offset();
        signatures.push(signature(scan)?).map_err(|_| CanonicalError::TooLong { at, max: MAX_SIGNATURES })?;
        if !scan.accepts(",") {
            scan.literal("]")?;
            return Ok(signatures);
        }
    }
}

/// A list of signatures and its closing bracket.
pub(crate) fn write_signatures(writer: &mut Writer<'_>, signatures: &[ManifestSignature]) {
    for (index, signature) in signatures.iter().enumerate() {
        writer.literal(if index == 0 { "{\"key_id\":\"" } else { ",{\"key_id\":\"" }).hex(&signature.key.0);
        writer.literal("\",\"alg\":\"").literal(signature.algorithm.as_str());
        writer.literal("\",\"signature\":\"").base64(&signature.bytes).literal("\"}");
    }
    writer.literal("]");
}

fn signature(scan: &mut Scanner<'_>) -> Result<ManifestSignature, CanonicalError> {
    scan.literal("{\"key_id\":\"")?;
    let key = KeyId(scan.hex()?);
    scan.literal("\",\"alg\":\"")?;
    let algorithm = if scan.accepts("rsa-pss-2048") {
        Algorithm::RsaPss2048
    } else {
        scan.literal("es256")?;
        Algorithm::Es256
    };
    scan.literal("\",\"signature\":\"")?;
    let mut bytes = heapless::Vec::new();
    decode(scan, &mut bytes)?;
    scan.literal("\"}")?;
    Ok(ManifestSignature { key, algorithm, bytes })
}

/// Decodes base64 of at most `N` bytes.
pub(crate) fn decode<const N: usize>(
    scan: &mut Scanner<'_>,
    out: &mut heapless::Vec<u8, N>,
) -> Result<(), CanonicalError> {
    let at = scan.offset();
    let too_long = CanonicalError::TooLong { at, max: N };
    let text = scan.base64(N.div_ceil(3) * 4)?;
    out.resize(text.decoded_len(), 0).map_err(|_| too_long)?;
    text.decode(out).map_err(|_| too_long)?;
    Ok(())
}

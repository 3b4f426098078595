//! Releases of the committed firmware, signed with keys made for the test.

use aws_lc_rs::digest::{Digest as Digested, SHA256};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RSA_PSS_SHA256, RsaKeyPair};
use cotter_formats::chip::Chip;
use cotter_formats::image::Image;
use cotter_formats::secret::Secret;
use cotter_formats::secure_boot::v2::{RsaPublicKey, add_signature, append_signature};
use cotter_server::firmware::upload::Upload;
use cotter_wire::content::ContentKey;
use cotter_wire::firmware_key::{Algorithm, FirmwareKey};
use cotter_wire::ids::{SecureVersion, UnixTime};
use cotter_wire::manifest::{
    MAX_BODY, MAX_ENVELOPE, Manifest, ManifestSignature, Project, encode_envelope, signed_digest,
};
use cotter_wire::version::Version;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

pub const PROJECT: &str = "cotter-app";

/// An RSA key of the test.
pub struct Signer(RsaKeyPair);

impl Signer {
    fn new(size: KeySize) -> Self {
        Self(RsaKeyPair::generate(size).unwrap())
    }

    fn sign(&self, digest: &[u8; 32]) -> Vec<u8> {
        let digest = Digested::import_less_safe(digest, &SHA256).unwrap();
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign_digest(&RSA_PSS_SHA256, &digest, &mut signature).unwrap();
        signature
    }

    pub fn spki(&self) -> Vec<u8> {
        self.0.public_key().as_der().unwrap().as_ref().to_vec()
    }

    /// The public key, as the configuration names it.
    pub fn write_public(&self, path: &Path) {
        let lines = base64_lines(&self.spki());
        std::fs::write(path, format!("-----BEGIN PUBLIC KEY-----\n{lines}-----END PUBLIC KEY-----\n")).unwrap();
    }

    fn secure_boot_key(&self) -> RsaPublicKey {
        let modulus = self.0.public_key().modulus().big_endian_without_leading_zero().to_vec();
        RsaPublicKey { n_be: modulus.try_into().unwrap(), e: 65_537 }
    }

    pub fn secure_boot_digest(&self) -> [u8; 32] {
        self.secure_boot_key().key_digest().unwrap()
    }

    fn manifest_signature(&self, body: &[u8]) -> ManifestSignature {
        self.signature(&signed_digest(body))
    }

    /// Over the body of a trust statement.
    pub fn trust_signature(&self, body: &[u8]) -> ManifestSignature {
        self.signature(&cotter_wire::trust::signed_digest(body))
    }

    fn signature(&self, digest: &[u8; 32]) -> ManifestSignature {
        let bytes = self.sign(digest).into_iter().collect();
        let key = FirmwareKey::from_spki(&self.spki()).unwrap().id();
        ManifestSignature { key, algorithm: Algorithm::RsaPss2048, bytes }
    }
}

/// The product's signers. Made once per test process: RSA keys take a while.
pub struct Signers {
    pub public_key_files: Vec<String>,
}

pub fn secure_boot_signer() -> &'static Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    SIGNER.get_or_init(|| Signer::new(KeySize::Rsa3072))
}

pub fn other_secure_boot_signer() -> &'static Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    SIGNER.get_or_init(|| Signer::new(KeySize::Rsa3072))
}

pub fn manifest_signer() -> &'static Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    SIGNER.get_or_init(|| Signer::new(KeySize::Rsa2048))
}

pub fn other_manifest_signer() -> &'static Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    SIGNER.get_or_init(|| Signer::new(KeySize::Rsa2048))
}

/// What is burnt into the product's devices.
pub fn secure_boot_digest() -> [u8; 32] {
    secure_boot_signer().secure_boot_digest()
}

impl Signers {
    pub fn new(directory: &Path) -> Self {
        manifest_signer().write_public(&directory.join("manifest.pem"));
        Self { public_key_files: vec!["manifest.pem".into()] }
    }

    pub fn secure_boot_digest(&self) -> [u8; 32] {
        secure_boot_digest()
    }
}

fn base64_lines(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = bytes.chunks(3).flat_map(|chunk| {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        (0..4).map(move |index| match index <= chunk.len() {
            true => char::from(ALPHABET[(word >> (18 - 6 * index) & 63) as usize]),
            false => '=',
        })
    });
    let digits: Vec<char> = digits.collect();
    digits.chunks(64).map(|line| line.iter().collect::<String>() + "\n").collect()
}

/// A committed image of the real firmware, unsigned.
pub fn image(version: &str) -> Vec<u8> {
    let path = format!("{}/../firmware/images/app-{version}.bin", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).unwrap()
}

/// A committed image whose descriptor says another `secure_version`, whole in itself, unsigned.
pub fn image_with_secure_version(version: &str, secure_version: u32) -> Vec<u8> {
    // Header, segment header, magic of the descriptor.
    changed(image(version), 0x24, &secure_version.to_le_bytes())
}

/// A committed image whose descriptor says this version.
pub fn image_with_version(version: &str) -> Vec<u8> {
    let mut field = [0; 32];
    field[..version.len()].copy_from_slice(version.as_bytes());
    changed(image("1.0.0"), 0x30, &field)
}

/// With other bytes in its descriptor; at the end are the checksum and the SHA-256 over all before it.
fn changed(mut image: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    let hash = image.len() - 32;
    let place = at..at + bytes.len();
    let before: Vec<u8> = image[place.clone()].to_vec();
    image[place.clone()].copy_from_slice(bytes);
    let changed = before.iter().chain(&image[place]).fold(0, |sum, byte| sum ^ byte);
    image[hash - 1] ^= changed;
    let digest = Sha256::digest(&image[..hash]);
    image[hash..].copy_from_slice(&digest);
    image
}

/// That image with a Secure Boot signature.
pub fn signed_image(version: &str, signer: &Signer) -> Vec<u8> {
    signed(&image(version), signer)
}

/// Any image with a Secure Boot signature.
pub fn signed(image: &[u8], signer: &Signer) -> Vec<u8> {
    append_signature::<()>(image, &signer.secure_boot_key(), |digest| Ok(signer.sign(digest).try_into().unwrap()))
        .unwrap()
}

/// A signed image with a further Secure Boot signature.
pub fn signed_too(image: &[u8], signer: &Signer) -> Vec<u8> {
    add_signature::<()>(image, &signer.secure_boot_key(), |digest| Ok(signer.sign(digest).try_into().unwrap())).unwrap()
}

/// What its manifest says, truly.
pub fn manifest(signed_image: &[u8]) -> Manifest {
    let descriptor = *Image::parse(signed_image, Chip::Esp32C3).unwrap().app_descriptor().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    Manifest {
        project: Project::new(descriptor.project_name()).unwrap(),
        chip: Chip::Esp32C3,
        version: descriptor.version().parse::<Version>().unwrap(),
        secure_version: SecureVersion(descriptor.secure_version.get()),
        size: u32::try_from(signed_image.len()).unwrap(),
        sha256: Sha256::digest(signed_image).into(),
        iv: [0x17; 16],
        issued: UnixTime(now),
        expires: UnixTime(now + 86_400),
    }
}

/// The envelope of a manifest.
pub fn envelope(manifest: &Manifest, signers: &[&Signer]) -> Vec<u8> {
    let mut body = [0; MAX_BODY];
    let body = manifest.encode(&mut body).unwrap();
    let signatures: Vec<_> = signers.iter().map(|signer| signer.manifest_signature(body)).collect();
    encode_envelope(body, &signatures, None, &mut [0; MAX_ENVELOPE]).unwrap().to_vec()
}

/// The body of an upload.
pub fn upload(envelope: &[u8], image: &[u8]) -> Vec<u8> {
    let content_key = ContentKey::new(Secret::filled_by(|key| key.fill(0xc0)));
    Upload { envelope, content_key, image }.to_body().to_vec()
}

/// A good release of a committed image, ready to upload.
pub fn good(version: &str) -> Vec<u8> {
    let image = signed_image(version, secure_boot_signer());
    upload(&envelope(&manifest(&image), &[manifest_signer()]), &image)
}

//! A partition from what a device is to carry, and the keys that must be burned for it to work.

use super::open::{self, OpenError};
use crate::certificate::{CertificateError, Certificates};
use crate::device_key::DeviceKey;
use crate::ds::{DsMakeError, Parameters};
use crate::private_key::{PrivateKey, PrivateKeyError};
use crate::public_key::{KeyKind, PublicKey};
use cotter_chip::peripheral::ecdsa::has_ecdsa;
use cotter_formats::chip::Chip;
use cotter_formats::ds::{DsContext, EfuseKeyId, Width};
use cotter_formats::hmac_key::HmacKey;
use cotter_formats::secret::Secret;
use cotter_formats::secure_boot::v2::{ContentDigests, Curve};
use cotter_formats::secure_cert::{
    BuildError, Builder, Finding, Flags, SALT_LEN, SignatureDataError, TlvType, Weight, inspect, security_config,
    signature_data,
};
use zeroize::Zeroizing;

/// One thing that the partition is to hold.
pub struct Wanted {
    /// What.
    pub kind: TlvType,
    /// Index among those of its type.
    pub subtype: u8,
    /// With which content.
    pub content: Content,
}

/// The content of a [`Wanted`].
pub enum Content {
    /// For certificates.
    Certificates(Certificates),
    /// For private keys.
    Key(Protected),
    /// For everything else, as it stands.
    Data(Zeroizing<Vec<u8>>),
}

/// A private key, and how it is protected on the device.
pub enum Protected {
    /// Not at all; flash encryption may do it.
    Plain(DeviceKey),
    /// RSA, for the digital signature peripheral.
    RsaDs {
        /// The key; it is not stored.
        key: DeviceKey,
        /// Where the HMAC key is burned.
        block: EfuseKeyId,
        /// Under which the key is encrypted.
        hmac_key: HmacKey,
    },
    /// ECDSA, burned into a key block; the partition has only the block's number.
    EcdsaPeripheral {
        /// The key; it is not stored.
        key: DeviceKey,
        /// Where it is burned.
        block: EfuseKeyId,
    },
    /// P-256, derived by the chip each time.
    HmacDerived {
        /// Where the HMAC key is burned.
        block: EfuseKeyId,
        /// The HMAC key.
        hmac_key: HmacKey,
        /// Stored beside it.
        salt: [u8; SALT_LEN],
    },
    /// Encrypted with AES-GCM under a key that the chip derives.
    HmacEncrypted {
        /// The key.
        key: DeviceKey,
        /// Where the HMAC key is burned.
        block: EfuseKeyId,
        /// The HMAC key.
        hmac_key: HmacKey,
    },
}

/// How to pack.
pub struct Options<'a> {
    /// The chip; its peripherals decide what is possible.
    pub chip: Chip,
    /// Size of the partition.
    pub limit: usize,
    /// Whether an integrity entry ends it.
    pub integrity: bool,
    /// Who signs; the first signs as subtype 0.
    pub signers: &'a [PrivateKey],
    /// RSA-1024 keys are refused unless this says otherwise.
    pub allow_rsa_1024: bool,
    /// DS data as esp_secure_cert_tool 2.6.1 writes them for the ESP32-C5, which that chip cannot use.
    pub tool_width: bool,
}

/// A key to burn.
pub struct Burn {
    /// Into which block. P-384 takes the next free one too.
    pub block: EfuseKeyId,
    /// For what, in espefuse's words.
    pub purpose: &'static str,
    /// The key.
    pub key: BurnKey,
}

/// A key as `espefuse burn-key` takes it.
pub enum BurnKey {
    /// 32 raw bytes.
    Raw(Secret<32>),
    /// SEC1 PEM.
    Pem(Zeroizing<String>),
}

impl Burn {
    /// The content of its file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.key {
            BurnKey::Raw(key) => key.expose(),
            BurnKey::Pem(pem) => pem.as_bytes(),
        }
    }

    /// A name for its file.
    #[must_use]
    pub fn file_name(&self) -> String {
        let ending = if matches!(self.key, BurnKey::Raw(_)) { "bin" } else { "pem" };
        format!("block_key{}_{}.{ending}", self.block.get(), self.purpose.to_lowercase())
    }
}

/// A finished partition.
pub struct Packed {
    /// The entries; fill it up as you like.
    pub builder: Builder,
    /// What to burn, each block once.
    pub burns: Vec<Burn>,
    /// Subtype and public half of each private key.
    pub public_keys: Vec<(u8, PublicKey)>,
}

/// Packs a partition, in the order of Espressif's tool: what belongs to the peripherals first, then `wanted` as it comes,
/// then signatures, then integrity. The result is read again before it is returned.
///
/// # Errors
/// [`PackError`].
pub fn pack(wanted: &[Wanted], options: &Options<'_>) -> Result<Packed, PackError> {
    for (index, this) in wanted.iter().enumerate() {
        let (kind, subtype) = (this.kind, this.subtype);
        if wanted[..index].iter().any(|other| (other.kind, other.subtype) == (kind, subtype)) {
            return Err(BuildError::Duplicate { kind, subtype }.into());
        }
    }
    let mut builder = Builder::new(options.limit)?;
    let (mut burns, mut public_keys) = (Vec::new(), Vec::new());
    for (subtype, protected) in keys(wanted) {
        let (public, burn) = prepare(subtype, protected, options, &mut builder)?;
        certified(wanted, subtype, &public)?;
        if let Some(burn) = burn {
            if options.chip == Chip::Esp32S31 && burn.block.get() == 5 {
                return Err(PackError::NoBlock { chip: options.chip, block: burn.block });
            }
            add_burn(&mut burns, burn)?;
        }
        public_keys.push((subtype, public));
    }
    let mut plain_key = false;
    for wanted in wanted {
        let (kind, subtype) = (wanted.kind, wanted.subtype);
        match &wanted.content {
            Content::Certificates(certificates) => {
                builder.add(kind, subtype, Flags::NONE, &certificates.to_stored()?)?;
            }
            Content::Data(data) => builder.add(kind, subtype, Flags::NONE, data)?,
            Content::Key(protected) => match protected {
                Protected::Plain(key) => {
                    plain_key = true;
                    builder.add(kind, subtype, Flags::NONE, &key.to_stored()?)?;
                }
                Protected::RsaDs { .. } => {}
                // Off-spec: esp_secure_cert_tool 2.6.1 puts the private key here. The firmware looks at the flags alone.
                Protected::EcdsaPeripheral { .. } => builder.add(kind, subtype, Flags::ECDSA_PERIPHERAL, &[])?,
                Protected::HmacDerived { salt, .. } => {
                    builder.add(TlvType::ECDSA_SALT, subtype, Flags::NONE, salt)?;
                    builder.add(kind, subtype, Flags::HMAC_DERIVED, &[])?;
                }
                Protected::HmacEncrypted { key, hmac_key, .. } => {
                    let data = open::encrypt(&key.to_der()?, hmac_key)?;
                    builder.add(kind, subtype, Flags::HMAC_ENCRYPTED, &data)?;
                }
            },
        }
    }
    sign(&mut builder, options.signers)?;
    if options.integrity {
        builder.add_integrity()?;
    }
    let packed = Packed { builder, burns, public_keys };
    read_again(&packed, wanted, plain_key, options)?;
    Ok(packed)
}

fn keys(wanted: &[Wanted]) -> impl Iterator<Item = (u8, &Protected)> {
    wanted.iter().filter_map(|wanted| match &wanted.content {
        Content::Key(protected) => Some((wanted.subtype, protected)),
        _ => None,
    })
}

/// Writes what goes before everything else, and says what is to be burned.
fn prepare(
    subtype: u8,
    protected: &Protected,
    options: &Options<'_>,
    builder: &mut Builder,
) -> Result<(PublicKey, Option<Burn>), PackError> {
    let chip = options.chip;
    let copy = |key: &HmacKey| BurnKey::Raw(Secret::filled_by(|copy| copy.copy_from_slice(key.expose())));
    Ok(match protected {
        Protected::Plain(key) => (key.public().clone(), None),
        Protected::RsaDs { key, block, hmac_key } => {
            let width = ds_width(chip, options.tool_width)?;
            if key.public().kind() == KeyKind::Rsa(1024) && !options.allow_rsa_1024 {
                return Err(PackError::Rsa1024);
            }
            let made = Parameters::encrypt(key, width, hmac_key)?;
            let rsa_bits = u16::try_from(made.rsa_bits).expect("no key is longer than 4096 bits");
            builder.add(TlvType::DS_DATA, subtype, Flags::NONE, &made.data().to_bytes())?;
            let context = DsContext { key_id: *block, rsa_bits };
            builder.add(TlvType::DS_CONTEXT, subtype, Flags::NONE, &context.to_bytes())?;
            let burn = Burn { block: *block, purpose: "HMAC_DOWN_DIGITAL_SIGNATURE", key: copy(hmac_key) };
            (key.public().clone(), Some(burn))
        }
        Protected::EcdsaPeripheral { key, block } => {
            let kind = key.public().kind();
            let curve = key.curve().ok_or(PackError::NotForEcdsa { kind })?;
            if !has_ecdsa(chip, curve) {
                return Err(PackError::NoEcdsaPeripheral { chip, kind });
            }
            builder.add(TlvType::SECURITY_CONFIG, subtype, Flags::NONE, &security_config(*block))?;
            let purpose = match curve {
                Curve::P192 => "ECDSA_KEY_P192",
                Curve::P256 => "ECDSA_KEY",
                Curve::P384 => "ECDSA_KEY_P384",
            };
            (key.public().clone(), Some(Burn { block: *block, purpose, key: BurnKey::Pem(key.to_pem()?) }))
        }
        Protected::HmacDerived { block, hmac_key, salt } => {
            let key = open::derive(hmac_key, salt)?;
            (key.public().clone(), Some(hmac_up(chip, *block, copy(hmac_key))?))
        }
        Protected::HmacEncrypted { key, block, hmac_key } => {
            (key.public().clone(), Some(hmac_up(chip, *block, copy(hmac_key))?))
        }
    })
}

fn hmac_up(chip: Chip, block: EfuseKeyId, key: BurnKey) -> Result<Burn, PackError> {
    if !HmacKey::is_supported_by(chip) {
        return Err(PackError::NoHmacPeripheral { chip });
    }
    Ok(Burn { block, purpose: "HMAC_UP", key })
}

/// Two uses of a block must agree.
fn add_burn(burns: &mut Vec<Burn>, burn: Burn) -> Result<(), PackError> {
    match burns.iter().find(|other| other.block == burn.block) {
        None => burns.push(burn),
        Some(other) if other.purpose == burn.purpose && other.bytes() == burn.bytes() => {}
        Some(_) => return Err(PackError::BlockTwice { block: burn.block }),
    }
    Ok(())
}

/// The device certificate with the same subtype must be for this key.
fn certified(wanted: &[Wanted], subtype: u8, key: &PublicKey) -> Result<(), PackError> {
    for wanted in wanted.iter().filter(|wanted| (wanted.kind, wanted.subtype) == (TlvType::DEVICE_CERT, subtype)) {
        if let Content::Certificates(certificates) = &wanted.content
            && certificates.public_key()? != *key
        {
            return Err(PackError::OtherKey { subtype, key: key.kind() });
        }
    }
    Ok(())
}

fn sign(builder: &mut Builder, signers: &[PrivateKey]) -> Result<(), PackError> {
    if signers.len() > 3 {
        return Err(PackError::Signers { count: signers.len() });
    }
    let mut schemes = signers.iter().map(|signer| signer.public().kind());
    let first = schemes.next();
    if let Some(other) = schemes.find(|&other| Some(other) != first) {
        return Err(PackError::MixedSigners { other });
    }
    let digests = ContentDigests::of(builder.signed_bytes());
    let length = u32::try_from(builder.len()).expect("a partition has at most 64 KiB");
    for (subtype, signer) in (0..).zip(signers) {
        let data = signature_data(&signer.sign_block(&digests)?, length)?;
        builder.add(TlvType::SIGNATURE, subtype, Flags::NONE, &data)?;
    }
    Ok(())
}

/// Our own reader must find nothing that was not asked for, and no private key in what is to hold none.
fn read_again(packed: &Packed, wanted: &[Wanted], plain_key: bool, options: &Options<'_>) -> Result<(), PackError> {
    use cotter_formats::secure_cert::FindingKind;
    let bytes = packed.builder.as_bytes();
    let read = inspect(bytes, Some(options.chip));
    let expected = |finding: &Finding| match finding.kind {
        FindingKind::PlainKey => plain_key,
        FindingKind::DsWidth { .. } => options.tool_width,
        kind => kind.weight() == Weight::Note,
    };
    if let Some(finding) = read.findings.iter().find(|finding| !expected(finding)) {
        return Err(PackError::ReadAgain(*finding));
    }
    if open::signatures(bytes, &read).iter().filter(|signature| signature.verdict.is_ok()).count()
        != options.signers.len()
    {
        return Err(PackError::Signature);
    }
    let marker = b"PRIVATE KEY-----";
    if !plain_key && bytes.windows(marker.len()).any(|window| window == marker) {
        return Err(PackError::Leak);
    }
    for (_, protected) in keys(wanted) {
        if let Protected::RsaDs { key, .. }
        | Protected::EcdsaPeripheral { key, .. }
        | Protected::HmacEncrypted { key, .. } = protected
        {
            let secret = key.secret_number();
            if bytes.windows(secret.len()).any(|window| window == secret) {
                return Err(PackError::Leak);
            }
        }
    }
    Ok(())
}

/// The width of the chip's peripheral.
///
/// # Errors
/// [`PackError::NoDsPeripheral`].
pub fn ds_width(chip: Chip, as_the_tool: bool) -> Result<Width, PackError> {
    let width = Width::of(chip).ok_or(PackError::NoDsPeripheral { chip })?;
    Ok(if as_the_tool && chip == Chip::Esp32C5 { Width::Bits4096 } else { width })
}

/// Why nothing was packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// An entry.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A key.
    #[error(transparent)]
    Key(#[from] PrivateKeyError),
    /// Parameters of the digital signature peripheral.
    #[error(transparent)]
    Ds(#[from] DsMakeError),
    /// A derived or encrypted key.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A signature.
    #[error(transparent)]
    SignatureData(#[from] SignatureDataError),
    /// The chip cannot do it.
    #[error("the {chip} has no digital signature peripheral")]
    #[allow(missing_docs)]
    NoDsPeripheral { chip: Chip },
    /// The chip cannot do it.
    #[error("the {chip} has no HMAC peripheral")]
    #[allow(missing_docs)]
    NoHmacPeripheral { chip: Chip },
    /// The chip cannot do it.
    #[error("the {chip} has no peripheral for {kind}")]
    #[allow(missing_docs)]
    NoEcdsaPeripheral { chip: Chip, kind: KeyKind },
    /// An RSA key for the ECDSA peripheral.
    #[error("a key of kind {kind} is none for the ECDSA peripheral")]
    #[allow(missing_docs)]
    NotForEcdsa { kind: KeyKind },
    /// Deprecated by everybody.
    #[error("RSA-1024 keys protect nothing any more")]
    Rsa1024,
    /// The device would present a certificate that it cannot use.
    #[error("the device certificate {subtype} is not for its private key ({key})")]
    #[allow(missing_docs)]
    OtherKey { subtype: u8, key: KeyKind },
    /// The ESP32-S31 has five.
    #[error("the {chip} has no {block}")]
    #[allow(missing_docs)]
    NoBlock { chip: Chip, block: EfuseKeyId },
    /// Two keys for one place.
    #[error("{block} is wanted for two different keys")]
    #[allow(missing_docs)]
    BlockTwice { block: EfuseKeyId },
    /// The firmware looks at three.
    #[error("{count} signers; the firmware looks at three signatures")]
    #[allow(missing_docs)]
    Signers { count: usize },
    /// A device knows one scheme.
    #[error("signers of several kinds, one of them {other}; a device knows one")]
    #[allow(missing_docs)]
    MixedSigners { other: KeyKind },
    /// Found in what was just written.
    #[error("the partition does not read as it should: {}", .0.kind)]
    ReadAgain(Finding),
    /// A signature just made does not verify.
    #[error("the partition's signatures do not verify")]
    Signature,
    /// A private key in what is to hold none.
    #[error("a private key that was to be protected is in the partition in plain")]
    Leak,
}

#[cfg(test)]
#[path = "pack_tests.rs"]
mod tests;

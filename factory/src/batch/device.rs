//! Everything that one device gets: made in memory, then handed over as files.

use super::list::Device;
use crate::certificate::{CertificateError, Certificates};
use crate::device_key::DeviceKey;
use crate::ds::fresh_hmac_key;
use crate::nvs::table::{Habits, Table, TableError};
use crate::pki::{Leaf, Name, PkiError, ProductCa, Purpose, Validity};
use crate::private_key::{PrivateKey, PrivateKeyError};
use crate::public_key::KeyKind;
use crate::secure_cert::pack::{Options, PackError};
use crate::secure_cert::{Burn, BurnKey, Content, Protected, Wanted, open, pack};
use crate::signing::{SigningError, random};
use cotter_formats::addr::FlashLen;
use cotter_formats::chip::Chip;
use cotter_formats::ds::EfuseKeyId;
use cotter_formats::hmac_key::HmacKey;
use cotter_formats::nvs::image::BuildError;
use cotter_formats::nvs::keys::KEYS_PARTITION_SIZE;
use cotter_formats::nvs::page::Version;
use cotter_formats::nvs::{NvsKeys, csv::write_record};
use cotter_formats::secret::Secret;
use cotter_formats::secure_boot::v2::Curve;
use cotter_formats::secure_cert::{PARTITION_SIZE, SALT_LEN, TlvType};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// How a device keeps its private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// RSA of so many bits, for the digital signature peripheral.
    Ds(usize),
    /// P-256, in a key block for the ECDSA peripheral.
    EcdsaPeripheral,
    /// P-256, derived by the chip from its HMAC key and a salt.
    HmacDerived,
    /// P-256, encrypted under a key that the chip derives from its HMAC key.
    HmacEncrypted,
}

/// How a device keeps the keys of its NVS partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NvsScheme {
    /// In an nvs_keys partition, which flash encryption protects.
    FlashEncryption,
    /// Derived from an HMAC key in this block.
    Hmac(EfuseKeyId),
}

/// What all devices of a batch have in common.
pub struct Recipe {
    /// The chip.
    pub chip: Chip,
    /// Who vouches for them.
    pub ca: ProductCa,
    /// How long their certificates are valid.
    pub validity: Validity,
    /// How they keep their private keys.
    pub mode: Mode,
    /// The key block for that.
    pub block: EfuseKeyId,
    /// How they keep the keys of their NVS partitions.
    pub nvs_scheme: NvsScheme,
    /// Size of the NVS partition.
    pub nvs_size: FlashLen,
    /// A CSV file for `cotter nvs build` in which `{id}` and `{COLUMN}` stand for what the list says; without it the
    /// partition holds the id alone, as `device_id` in the namespace `cotter`.
    pub nvs_template: Option<String>,
    /// Where the paths in the template start.
    pub nvs_folder: PathBuf,
}

/// One file of a device.
pub struct DeviceFile {
    /// Its name.
    pub name: String,
    /// True if only its owner may read it.
    pub secret: bool,
    /// Its content.
    pub bytes: Zeroizing<Vec<u8>>,
}

/// A device, ready to be written.
pub struct Made {
    /// Its files.
    pub files: Vec<DeviceFile>,
    /// What to burn.
    pub burns: Vec<Burn>,
    /// Kind of its key.
    pub key: KeyKind,
    /// Its certificate, DER.
    pub certificate: Vec<u8>,
}

impl Recipe {
    /// Draws the keys of a device and makes everything of it.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn make(&self, device: &Device) -> Result<Made, DeviceError> {
        let protected = self.private_key()?;
        let public = match &protected {
            Protected::HmacDerived { hmac_key, salt, .. } => {
                open::derive(hmac_key, salt).map_err(PackError::from)?.public().clone()
            }
            Protected::Plain(key)
            | Protected::RsaDs { key, .. }
            | Protected::EcdsaPeripheral { key, .. }
            | Protected::HmacEncrypted { key, .. } => key.public().clone(),
        };
        let leaf = Leaf {
            subject: Name::common(&device.id).map_err(PkiError::from)?,
            alternative_names: Vec::new(),
            purposes: vec![Purpose::Client],
            validity: self.validity,
        };
        let certificate = self.ca.issue(&public, &leaf)?;
        let certificate_der = certificate.as_der().to_vec();
        let entry = |kind, content| Wanted { kind, subtype: 0, content };
        let certificates = |der: &[u8]| Certificates::from_der(der.to_vec()).map(Content::Certificates);
        let wanted = [
            entry(TlvType::CA_CERT, certificates(self.ca.certificate_der())?),
            entry(TlvType::DEVICE_CERT, certificates(&certificate_der)?),
            entry(TlvType::PRIVATE_KEY, Content::Key(protected)),
        ];
        let options = Options {
            chip: self.chip,
            limit: PARTITION_SIZE,
            integrity: true,
            signers: &[],
            allow_rsa_1024: false,
            tool_width: false,
        };
        let packed = pack(&wanted, &options)?;
        let mut made =
            Made { files: Vec::new(), burns: packed.burns, key: public.kind(), certificate: certificate_der };
        made.file("esp_secure_cert.bin", true, packed.builder.finish());
        made.file("device.pem", false, Zeroizing::new(certificate.to_pem().into_bytes()));
        self.nvs(device, &mut made)?;
        for burn in &made.burns {
            let (name, bytes) = (burn.file_name(), Zeroizing::new(burn.bytes().to_vec()));
            made.files.push(DeviceFile { name, secret: true, bytes });
        }
        Ok(made)
    }

    fn private_key(&self) -> Result<Protected, DeviceError> {
        let block = self.block;
        let fresh = |kind| -> Result<DeviceKey, DeviceError> {
            let pem = PrivateKey::generate(kind)?.to_pem()?;
            Ok(DeviceKey::read(pem.as_bytes(), None)?)
        };
        let p256 = KeyKind::Ecdsa(Curve::P256);
        Ok(match self.mode {
            Mode::Ds(bits) => Protected::RsaDs { key: fresh(KeyKind::Rsa(bits))?, block, hmac_key: fresh_hmac_key()? },
            Mode::EcdsaPeripheral => Protected::EcdsaPeripheral { key: fresh(p256)?, block },
            Mode::HmacDerived => {
                let mut salt = [0; SALT_LEN];
                random(&mut salt)?;
                Protected::HmacDerived { block, hmac_key: fresh_hmac_key()?, salt }
            }
            Mode::HmacEncrypted => Protected::HmacEncrypted { key: fresh(p256)?, block, hmac_key: fresh_hmac_key()? },
        })
    }

    fn nvs(&self, device: &Device, made: &mut Made) -> Result<(), DeviceError> {
        let mut table = Table::new(self.nvs_size, Version::V2, Habits::default())?;
        table.add_csv(self.nvs_csv(device).as_bytes(), &self.nvs_folder)?;
        let keys = match self.nvs_scheme {
            NvsScheme::FlashEncryption => {
                let keys = crate::nvs::keys::generate()?;
                let mut partition = Zeroizing::new(vec![0; KEYS_PARTITION_SIZE]);
                keys.encode(partition.as_mut_slice().try_into().expect("the vector has this length"));
                made.file("nvs_keys.bin", true, partition);
                keys
            }
            NvsScheme::Hmac(block) => {
                if !HmacKey::is_supported_by(self.chip) {
                    return Err(PackError::NoHmacPeripheral { chip: self.chip }.into());
                }
                // A key that is burned for HMAC_UP into this block serves both.
                let shared = made.burns.iter().find(|burn| burn.block == block);
                let key = match shared {
                    Some(burn) if burn.purpose == "HMAC_UP" => HmacKey::from_slice(burn.bytes()),
                    Some(_) => return Err(PackError::BlockTwice { block }.into()),
                    None => None,
                };
                let key = match key {
                    Some(key) => key,
                    None => {
                        let key = fresh_hmac_key()?;
                        let copy = Secret::filled_by(|copy| copy.copy_from_slice(key.expose()));
                        made.burns.push(Burn { block, purpose: "HMAC_UP", key: BurnKey::Raw(copy) });
                        key
                    }
                };
                match NvsKeys::from_hmac(|message| Ok::<_, std::convert::Infallible>(key.mac(message))) {
                    Ok(keys) => keys,
                }
            }
        };
        made.file("nvs.bin", true, Zeroizing::new(table.into_image().finish_encrypted(&keys)));
        Ok(())
    }

    fn nvs_csv(&self, device: &Device) -> Zeroizing<String> {
        let Some(template) = &self.nvs_template else {
            let mut csv = Zeroizing::new(String::new());
            write_record(&mut csv, ["key", "type", "encoding", "value"]);
            write_record(&mut csv, ["cotter", "namespace", "", ""]);
            write_record(&mut csv, ["device_id", "data", "string", &device.id]);
            return csv;
        };
        let mut csv = Zeroizing::new(template.replace("{id}", &device.id));
        for (column, value) in &device.values {
            csv = Zeroizing::new(csv.replace(&format!("{{{column}}}"), value));
        }
        csv
    }
}

impl Made {
    fn file(&mut self, name: &str, secret: bool, bytes: Zeroizing<Vec<u8>>) {
        self.files.push(DeviceFile { name: name.to_owned(), secret, bytes });
    }
}

/// Why a device was not made.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Its private key.
    #[error(transparent)]
    Key(#[from] PrivateKeyError),
    /// Its certificate was not issued.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// Its certificate is not readable.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Its esp_secure_cert partition.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// Rows of its NVS partition.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Its NVS partition.
    #[error(transparent)]
    Nvs(#[from] BuildError),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] SigningError),
}

//! A newborn device's identity: its name, its root key, its certificate, and the NVS partition that carries them.

use crate::device_key::DeviceKey;
use crate::pki::{Issued, PkiError, ProductCa};
use crate::private_key::PrivateKeyError;
use crate::signing::{SigningError, random};
use cotter_formats::chip::Chip;
use cotter_formats::nvs::entry::Key;
use cotter_formats::nvs::image::BuildError;
use cotter_formats::nvs::keys::KEYS_PARTITION_SIZE;
use cotter_formats::nvs::page::Version;
use cotter_formats::nvs::{NvsImage, NvsKeys, Value};
use cotter_formats::partition::Partition;
use cotter_formats::secret::Secret;
use cotter_wire::enrolment::{Enrolment, EnrolmentError, MAX_ENROLMENT};
use cotter_wire::ids::{DeviceId, KeyEpoch, Nonce};
use cotter_wire::keys::{EnrolmentKey, RootKey};
use zeroize::Zeroizing;

/// What one device gets that no other has.
pub struct Identity {
    /// Its name.
    pub device: DeviceId,
    /// The generation of its keys: 1.
    pub epoch: KeyEpoch,
    /// What all its keys are derived from.
    pub root: RootKey,
    /// The keys of its NVS partition.
    pub nvs_keys: NvsKeys,
    /// Its certificate and private key.
    pub certificate: Issued,
}

/// What all devices of a product have in common.
pub struct Product<'a> {
    /// Project name of its applications.
    pub project: &'a str,
    /// Public keys that sign its releases, SubjectPublicKeyInfo (DER).
    pub firmware_keys: &'a [Vec<u8>],
    /// How many of them must sign.
    pub firmware_required: u32,
    /// The certificate (DER) that the server must chain to.
    pub trust_anchor: &'a [u8],
    /// The first packet gets the nonce after this one.
    pub nonce_floor: Nonce,
}

impl Identity {
    /// Draws the keys of a new device and has its certificate issued.
    ///
    /// # Errors
    /// [`IdentityError`] if the system has no randomness, or the certificate cannot be issued.
    pub fn create(device: DeviceId, ca: &ProductCa) -> Result<Self, IdentityError> {
        Ok(Self {
            device,
            epoch: KeyEpoch(1),
            root: RootKey::new(Secret::try_filled_by(|key| random(key))?),
            nvs_keys: NvsKeys::new(Secret::try_filled_by(|key| random(key))?),
            certificate: ca.issue_device(device.as_str())?,
        })
    }

    /// The encrypted NVS partition: identity, product and nonce floor. The certificate's private key is in it, as the scalar
    /// that the device signs tokens with.
    ///
    /// # Errors
    /// [`IdentityError::Nvs`] if it does not fit.
    pub fn nvs_partition(&self, partition: &Partition, product: &Product<'_>) -> Result<Vec<u8>, IdentityError> {
        let mut image = NvsImage::new(partition.size, Version::V2)?;
        let cotter = Key::literal("cotter");
        image.put(&cotter, &Key::literal("device_id"), &Value::string(self.device.as_str()))?;
        image.put(&cotter, &Key::literal("epoch"), &Value::U32(self.epoch.0))?;
        image.put(&cotter, &Key::literal("root_key"), &Value::blob(self.root.expose().as_slice()))?;
        image.put(&cotter, &Key::literal("project"), &Value::string(product.project))?;
        for (name, key) in FIRMWARE_KEYS.iter().zip(product.firmware_keys) {
            image.put(&cotter, name, &Value::blob(key.as_slice()))?;
        }
        image.put(&cotter, &Key::literal("fw_required"), &Value::U32(product.firmware_required))?;
        image.put(&cotter, &Key::literal("ca"), &Value::blob(product.trust_anchor))?;
        image.put(&cotter, &Key::literal("cert"), &Value::blob(self.certificate.certificate_der.as_slice()))?;
        let key = DeviceKey::read(self.certificate.key_pem.as_bytes(), None)?;
        image.put(&cotter, &Key::literal("sign_key"), &Value::blob(key.secret_number()))?;
        image.put(&Key::literal("ecowatt"), &Key::literal("nonce"), &Value::U32(product.nonce_floor.0))?;
        Ok(image.finish_encrypted(&self.nvs_keys))
    }

    /// The NVS key partition, in plain: flash encryption protects it.
    #[must_use]
    pub fn nvs_keys_partition(&self) -> Zeroizing<[u8; KEYS_PARTITION_SIZE]> {
        let mut partition = Zeroizing::new([0xff; KEYS_PARTITION_SIZE]);
        self.nvs_keys.encode(&mut partition);
        partition
    }

    /// What the server is told, with the root key sealed under the enrolment key.
    ///
    /// # Errors
    /// [`IdentityError::Enrolment`] if the certificate is too long.
    pub fn enrolment(
        &self,
        chip: Chip,
        mac: [u8; 6],
        secure_boot: [u8; 32],
        key: &EnrolmentKey,
    ) -> Result<Vec<u8>, IdentityError> {
        let mut nonce = [0; 12];
        random(&mut nonce)?;
        let record = Enrolment {
            device: self.device,
            epoch: self.epoch,
            chip,
            mac,
            secure_boot,
            certificate: Some(&self.certificate.certificate_der),
        };
        let mut out = vec![0; MAX_ENROLMENT];
        Ok(record.seal(key, &nonce, &self.root, &mut out)?.to_vec())
    }
}

const FIRMWARE_KEYS: [Key; 4] =
    [Key::literal("fw_key0"), Key::literal("fw_key1"), Key::literal("fw_key2"), Key::literal("fw_key3")];

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// No randomness.
    #[error(transparent)]
    Random(#[from] SigningError),
    /// No certificate.
    #[error(transparent)]
    Certificate(#[from] PkiError),
    /// The certificate's key.
    #[error(transparent)]
    Key(#[from] PrivateKeyError),
    /// It does not fit into NVS.
    #[error(transparent)]
    Nvs(#[from] BuildError),
    /// It does not fit into an enrolment record.
    #[error(transparent)]
    Enrolment(#[from] EnrolmentError),
}

//! A server's directory with so many devices, whose keys follow from their numbers.

use anyhow::{Context, Result};
use cotter_formats::chip::Chip;
use cotter_formats::secret::Secret;
use cotter_server::at_rest::{MasterKey, Use};
use cotter_server::config::Config;
use cotter_server::device_key::{DeviceKey, KeyFormat};
use cotter_server::firmware::artifact::Artifacts;
use cotter_server::init::{InitOptions, init};
use cotter_server::store::device_keys::DeviceKeyRecord;
use cotter_server::store::rollouts::Poll;
use cotter_server::store::trust::Signers;
use cotter_server::store::{AuditEntry, DeviceRecord, ReleaseRecord, Store};
use cotter_server::{host, key_file};
use cotter_wire::ids::{DeviceId, KeyEpoch, Nonce, ReleaseId, SecureVersion};
use cotter_wire::keys::{DeviceKeys, RootKey};
use cotter_wire::trust::TrustNumber;
use cotter_wire::version::Version;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// What the certificate says.
pub(crate) const SERVER_NAME: &str = "server.test";
/// The epoch of every device.
pub(crate) const EPOCH: KeyEpoch = KeyEpoch(1);
/// The release that is published, if one is.
pub(crate) const RELEASE: ReleaseId = ReleaseId([0xc0; 32]);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Must not hold a server yet
    directory: PathBuf,
    #[arg(long)]
    devices: u32,
    /// Publish a release of so many encrypted bytes
    #[arg(long)]
    release: Option<u32>,
    /// Give each device a key for its tokens; the private ones are in `keys`
    #[arg(long)]
    keys: bool,
    /// Appended to the configuration
    #[arg(long, default_value = "")]
    configuration: String,
}

/// Makes keys, certificates (`ca.pem`, `server.pem`), the configuration, and a database with the devices.
///
/// # Errors
/// A file, or what the store reports.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let directory = &arguments.directory;
    let manifest_key = KeyPair::generate()?;
    let options = InitOptions {
        admin: "admin".parse()?,
        listen: ([127, 0, 0, 1], 0).into(),
        project: "app".into(),
        manifest_keys: vec!["manifest.pem".into()],
        manifest_required: 1,
        secure_boot_digests: vec![[0; 32]],
    };
    let made = init(directory, &options)?;
    std::fs::write(directory.join("manifest.pem"), manifest_key.public_key_pem())?;
    certify(directory)?;
    let mut text = std::fs::read_to_string(&made.config)?;
    text.push_str(&arguments.configuration);
    std::fs::write(&made.config, text)?;
    let config = Config::read(&made.config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let store = host::open(&config)?;
        enrol(&store, &config, arguments.devices).await?;
        if arguments.keys {
            register(&store, directory, arguments.devices).await?;
        }
        match arguments.release {
            Some(size) => publish(&store, &config, size, arguments.devices).await,
            None => Ok(()),
        }
    })
}

/// Through the store, as the server does, but without waiting for each.
async fn enrol(store: &impl Store, config: &Config, devices: u32) -> Result<()> {
    let master = MasterKey::new(&config.keys.master.load()?);
    let mut pending = VecDeque::new();
    for number in 0..devices {
        if pending.len() >= IN_FLIGHT
            && let Some(oldest) = pending.pop_front()
        {
            oldest.await?;
        }
        let id = device(number);
        let record = DeviceRecord {
            id,
            chip: Chip::Esp32C3,
            mac: [2, 0, 0, 0, 0, 1],
            epoch: EPOCH,
            sealed_root_key: master.seal(Use::DeviceRootKey, id.as_bytes(), root_key(number).expose())?,
            nonce_floor: Nonce(0),
            secure_boot_digest: [0; 32],
            enrolled_at: 0,
        };
        pending.push_back(store.enrol(record, note(id.to_string(), "device-enrolled")));
    }
    for rest in pending {
        rest.await?;
    }
    Ok(())
}

/// A key of each device, and the private halves in a file: PKCS#8, each behind its length.
async fn register(store: &impl Store, directory: &Path, devices: u32) -> Result<()> {
    let (mut pending, mut private) = (VecDeque::new(), Vec::new());
    for number in 0..devices {
        if pending.len() >= IN_FLIGHT
            && let Some(oldest) = pending.pop_front()
        {
            oldest.await?;
        }
        let pair = KeyPair::generate()?;
        let key = DeviceKey::from_pem(KeyFormat::Es256, pair.public_key_pem().as_bytes())?;
        let pkcs8 = pair.serialize_der();
        private.extend(u16::try_from(pkcs8.len())?.to_be_bytes());
        private.extend(pkcs8);
        let device = device(number);
        let record = DeviceKeyRecord { device, id: key.id(), spki: key.spki().to_vec(), added_at: 0, expires_at: None };
        pending.push_back(store.add_device_key(record, note(device.to_string(), "device-key-added")));
    }
    for rest in pending {
        rest.await?;
    }
    key_file::write_new(&directory.join("keys"), &private).context("keys")
}

/// Nobody installs it: an artifact and its record, without a manifest that would be believed. Every device was offered it.
async fn publish(store: &impl Store, config: &Config, size: u32, devices: u32) -> Result<()> {
    let record = ReleaseRecord {
        id: RELEASE,
        project: "app".into(),
        chip: Chip::Esp32C3,
        version: Version::new(1, 0, 0),
        secure_version: SecureVersion(0),
        expires: u64::from(u32::MAX),
        encrypted_size: size,
        envelope: Vec::new(),
        sealed_content_key: Vec::new(),
        published_at: None,
    };
    let content: Vec<u8> = (0..size).map(|at| at.to_le_bytes()[at as usize % 4]).collect();
    Artifacts::open(&config.data.join("artifacts"))?.write(RELEASE, &content)?;
    let signers = Signers { numbers: vec![TrustNumber::BEGINNING], ..Signers::default() };
    store.add_release(record, signers, note(RELEASE.to_string(), "release-added")).await?;
    store.publish_release(RELEASE, 0, note(RELEASE.to_string(), "release-published")).await?;
    for number in 0..devices {
        let (device, project) = (device(number), "app".into());
        let (version, secure_version) = (Version::new(0, 9, 0), SecureVersion(0));
        let trust = TrustNumber::BEGINNING;
        let poll = Poll { device, project, version, secure_version, trust, at: 0 };
        store.poll(poll).await?;
    }
    Ok(())
}

fn note(subject: String, event: &str) -> AuditEntry {
    AuditEntry { at: 0, by: "bench".into(), subject, event: event.into(), detail: String::new() }
}

/// The name of a device.
pub(crate) fn device(number: u32) -> DeviceId {
    format!("device-{number:07}").parse().expect("letters, digits and a dash make an id")
}

/// Its number.
pub(crate) fn number(device: &DeviceId) -> Option<u32> {
    device.as_str().strip_prefix("device-")?.parse().ok()
}

/// Its keys.
pub(crate) fn keys(number: u32) -> DeviceKeys {
    DeviceKeys::derive(&root_key(number), &device(number), EPOCH)
}

fn root_key(number: u32) -> RootKey {
    let digest = Sha256::new().chain_update(b"bench").chain_update(number.to_le_bytes()).finalize();
    RootKey::new(Secret::filled_by(|key| key.copy_from_slice(&digest)))
}

fn certify(directory: &Path) -> Result<()> {
    let ca_key = KeyPair::generate()?;
    let mut parameters = CertificateParams::new(Vec::new())?;
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Another name than the server's: OpenSSL takes a certificate that is issued by its own name for a CA's.
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, "bench CA");
    let ca = parameters.self_signed(&ca_key)?;
    std::fs::write(directory.join("ca.pem"), ca.pem())?;
    let issuer = Issuer::new(parameters, ca_key);
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec![SERVER_NAME.to_owned()])?.signed_by(&key, &issuer)?;
    std::fs::write(directory.join("server.pem"), certificate.pem())?;
    key_file::write_new(&directory.join("server.key"), key.serialize_pem().as_bytes()).context("server.key")
}

/// Fewer than the writer queues.
const IN_FLIGHT: usize = 2048;

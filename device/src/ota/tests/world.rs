//! A whole chip that boots (ROM, second stage, flash encryption), and a server of manifests and chunks, in one process.

extern crate std;
use super::super::{Action, Event, Refusal, Request, Settings, Storage, Updater};
use crate::identity::{FIRMWARE_KEYS, FIRMWARE_REQUIRED, Identity};
use crate::nvs::Nvs;
use crate::platform::Region;
use crate::session::AuthenticatedTime;
use crate::slots::{SlotIndex, Slots};
use crate::test_store::{NVS_LEN, TestStore, mount, nvs_keys, root_key};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PSS_SHA256};
use cotter_chip::board::VirtualChip;
use cotter_chip::crypt::TransparentFlash;
use cotter_chip::efuse::{BurnSet, Efuses, KeyProtection};
use cotter_chip::fault::Fault;
use cotter_chip::flash::Flash;
use cotter_chip::report::{AppSlot, RefusalCode};
use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::{EfuseBlock, KeyPurpose, esp32c3, unary};
use cotter_formats::nvs::value::Value;
use cotter_formats::partition::{self, Label, Partition, PartitionFlags, PartitionType, Subtype, TABLE_LEN};
use cotter_formats::secret::Secret;
use cotter_wire::content::{self, ContentKey, WrappedKey};
use cotter_wire::firmware_key::FirmwareKey;
use cotter_wire::ids::{KeyEpoch, ReleaseId, SecureVersion, UnixTime};
use cotter_wire::keys::DeviceKeys;
use cotter_wire::manifest::{self, MAX_BODY, MAX_ENVELOPE, Manifest, ManifestSignature, Project, encode_envelope};
use cotter_wire::status::StatusReport;
use embedded_storage::nor_flash::NorFlash;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;
use std::vec::Vec;

pub(super) const TABLE: u32 = 0x8000;
pub(super) const NVS: u32 = 0x9000;
pub(super) const OTADATA: u32 = 0xd000;
pub(super) const SLOTS: [u32; 2] = [0x1_0000, 0x3_0000];
pub(super) const SLOT_LEN: u32 = 0x2_0000;
pub(super) const NOW: u64 = 1_800_000_000;

/// Keys that sign, made once: aws-lc, so that our verifier is not tested on our own arithmetic.
pub(super) enum Signer {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
}

pub(super) static RSA: LazyLock<Signer> =
    LazyLock::new(|| Signer::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()));
pub(super) static P256: LazyLock<Signer> =
    LazyLock::new(|| Signer::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()));
pub(super) static STRANGER: LazyLock<Signer> =
    LazyLock::new(|| Signer::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()));

impl Signer {
    pub(super) fn spki(&self) -> Vec<u8> {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Rsa(pair) => pair.public_key().as_der().unwrap(),
            Self::P256(pair) => pair.public_key().as_der().unwrap(),
        };
        der.as_ref().to_vec()
    }

    pub(super) fn sign(&self, body: &[u8]) -> ManifestSignature {
        let message = [b"cotter/manifest/v1\0".as_slice(), body].concat();
        let bytes = match self {
            Self::Rsa(pair) => {
                let mut signature = [0; 256];
                pair.sign(&RSA_PSS_SHA256, &SystemRandom::new(), &message, &mut signature).unwrap();
                signature.to_vec()
            }
            Self::P256(pair) => pair.sign(&SystemRandom::new(), &message).unwrap().as_ref().to_vec(),
        };
        let key = FirmwareKey::from_spki(&self.spki()).unwrap();
        let bytes = heapless::Vec::from_slice(&bytes).unwrap();
        ManifestSignature { key: key.id(), algorithm: key.algorithm(), bytes }
    }
}

/// One release as the server has it.
#[derive(Clone)]
pub(super) struct Release {
    pub(super) manifest: Manifest,
    pub(super) envelope: Vec<u8>,
    pub(super) content: Vec<u8>,
}

/// How a release is made; the fields are what the tests change.
pub(super) struct Publication<'a> {
    pub(super) image: &'a [u8],
    pub(super) version: (u16, u16, u16),
    pub(super) secure_version: u32,
    pub(super) signers: &'a [&'a Signer],
    /// Whose content key the envelope carries.
    pub(super) device: Option<&'a str>,
}

impl<'a> Publication<'a> {
    pub(super) fn of(
        image: &'a [u8],
        version: (u16, u16, u16),
        secure_version: u32,
        signers: &'a [&'a Signer],
    ) -> Self {
        Self { image, version, secure_version, signers, device: Some("esp32-001") }
    }

    pub(super) fn publish(&self) -> Release {
        self.publish_with(|_| {})
    }

    /// `edit` changes the manifest before it is signed.
    pub(super) fn publish_with(&self, edit: impl FnOnce(&mut Manifest)) -> Release {
        let (major, minor, patch) = self.version;
        let mut manifest = Manifest {
            project: Project::new("cotter-app").unwrap(),
            chip: Chip::Esp32C3,
            version: cotter_wire::version::Version::new(major, minor, patch),
            secure_version: SecureVersion(self.secure_version),
            size: u32::try_from(self.image.len()).unwrap(),
            sha256: Sha256::digest(self.image).into(),
            iv: [0x1f; 16],
            issued: UnixTime(NOW - 100),
            expires: UnixTime(NOW + 1000),
        };
        let key = || ContentKey::new(Secret::filled_by(|key| key.fill(0xc4)));
        let content = content::encrypt(&key(), &manifest.iv, self.image);
        edit(&mut manifest);
        let mut body = [0; MAX_BODY];
        let body = manifest.encode(&mut body).unwrap();
        let signatures: Vec<_> = self.signers.iter().map(|signer| signer.sign(body)).collect();
        let release = ReleaseId(Sha256::digest(body).into());
        let wrapped = self.device.map(|device| {
            let device = device.parse().unwrap();
            let unwrap = DeviceKeys::derive(&root_key(), &device, KeyEpoch(3)).firmware_unwrap;
            WrappedKey::wrap(&unwrap, &device, KeyEpoch(3), &release, [7; 12], &key())
        });
        let mut out = [0; MAX_ENVELOPE];
        let envelope = encode_envelope(body, &signatures, wrapped.as_ref(), &mut out).unwrap().to_vec();
        Release { manifest, envelope, content }
    }
}

/// The server, and what an attacker between it and the device does to chunks.
#[derive(Default)]
pub(super) struct Server {
    pub(super) release: Option<Release>,
    pub(super) reports: Vec<StatusReport>,
    pub(super) chunks: Vec<u32>,
    pub(super) attack: Option<Attack>,
}

/// Changes the chunk of that number on its way.
pub(super) type Attack = fn(u32, &mut Vec<u8>);

impl Server {
    pub(super) fn with(release: Release) -> Self {
        Self { release: Some(release), ..Self::default() }
    }

    fn answer<T>(&mut self, request: &Request, feed: impl FnOnce(Event<'_>) -> T) -> T {
        let now = AuthenticatedTime::of(NOW);
        match request {
            Request::Poll { version, .. } => match &self.release {
                Some(release) if release.manifest.version != *version => {
                    feed(Event::Offer { envelope: &release.envelope, now })
                }
                _ => feed(Event::NoOffer),
            },
            Request::Chunk { release, index, len } => {
                let current = self.release.as_ref().unwrap();
                let body = manifest::Envelope::parse(&current.envelope).unwrap().release();
                assert_eq!(body, *release);
                self.chunks.push(*index);
                let mut bytes = current.content.chunks(2048).nth(*index as usize).unwrap().to_vec();
                assert_eq!(bytes.len(), *len);
                if let Some(attack) = self.attack {
                    attack(*index, &mut bytes);
                }
                feed(Event::Chunk { index: *index, bytes: &mut bytes, now })
            }
            Request::Status(report) => {
                self.reports.push(report.clone());
                feed(Event::Reported)
            }
        }
    }
}

/// A board whose flash was filled by the factory.
pub(super) struct World {
    pub(super) board: VirtualChip,
    /// Images that a boot may ever run.
    pub(super) genuine: Vec<Vec<u8>>,
}

/// What a boot came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    PowerLost,
    Reboot,
    Asleep,
}

/// The flash as the factory left it: application in slot 0, encrypted.
pub(super) fn factory_flash(app: &[u8], required: u32) -> Vec<u8> {
    let fault = Fault::default();
    let flash = Flash::erased(FlashLen(SLOTS[1] + SLOT_LEN), fault.clone()).unwrap();
    let board = VirtualChip::from_parts(flash, efuses(&fault), fault);
    let mut view = board.transparent_flash();
    view.write(0, include_bytes!("../../../../vectors/image/esp32c3-bootloader.bin")).unwrap();
    view.write(TABLE, &table()).unwrap();
    view.write(SLOTS[0], app).unwrap();
    let store = TestStore::factory()
        .set(FIRMWARE_KEYS[0], Value::Blob(RSA.spki().into()))
        .set(FIRMWARE_KEYS[1], Value::Blob(P256.spki().into()))
        .set(FIRMWARE_REQUIRED, Value::U32(required));
    board.raw_flash().overwrite_externally(FlashAddr(NVS), &store.build()).unwrap();
    board.raw_flash().content()
}

fn table() -> [u8; TABLE_LEN] {
    let row = |label: &str, kind, subtype, offset, size| Partition {
        label: Label::new(label).unwrap(),
        kind,
        subtype,
        offset: FlashAddr(offset),
        size: FlashLen(size),
        flags: PartitionFlags::NONE,
    };
    partition::build(&[
        row("nvs", PartitionType::DATA, Subtype::DATA_NVS, NVS, NVS_LEN.0),
        row("otadata", PartitionType::DATA, Subtype::DATA_OTA, OTADATA, 0x2000),
        row("ota_0", PartitionType::APP, Subtype::APP_OTA_0, SLOTS[0], SLOT_LEN),
        row("ota_1", PartitionType::APP, Subtype::APP_OTA_1, SLOTS[1], SLOT_LEN),
    ])
    .unwrap()
}

fn efuses(fault: &Fault) -> Efuses {
    let efuses = Efuses::fresh(Chip::Esp32C3, [2, 0, 0, 0, 0, 1], fault.clone());
    let mut set = BurnSet::new(Chip::Esp32C3);
    let purpose = KeyPurpose::XTS_AES_128_KEY;
    set.key(EfuseBlock(4), purpose, &Secret::filled_by(|key| key.fill(0x6e)), KeyProtection::of(purpose)).unwrap();
    set.field(&esp32c3::SPI_BOOT_CRYPT_CNT, 7).unwrap();
    efuses.burn(&set).unwrap();
    efuses
}

impl World {
    pub(super) fn new(flash: &[u8], genuine: &[&[u8]], seed: u64) -> Self {
        let fault = Fault::new(seed);
        let efuses = efuses(&fault);
        fault.restart_count();
        let flash = Flash::with_content(flash.to_vec(), fault.clone()).unwrap();
        let genuine = genuine.iter().map(|image| image.to_vec()).collect();
        Self { board: VirtualChip::from_parts(flash, efuses, fault), genuine }
    }

    pub(super) fn fuse_floor(&self) -> SecureVersion {
        SecureVersion(unary::count(self.board.efuses().image().unwrap().value(&esp32c3::SECURE_VERSION)))
    }

    /// Switches on and lives until the power goes, a reboot is due, or `wakes` polls are over. Whatever the second stage
    /// lets run must be genuine to the last byte.
    pub(super) fn boot(&self, server: &mut Server, wakes: usize, refusals: &mut Vec<Refusal>) -> End {
        let report = self.board.power_on();
        let Some(booted) = report.booted() else {
            assert_eq!(report.refusal(), Some(RefusalCode::PowerLost), "{:#?}", report.lines);
            return End::PowerLost;
        };
        let AppSlot::Ota(slot) = booted.slot else { panic!("{:?}", booted.slot) };
        let running = self.slot(slot);
        assert!(self.genuine.iter().any(|image| running.starts_with(image)), "something else runs in slot {slot}");

        let mut view = self.board.transparent_flash();
        let slots = Slots::read(&mut view, FlashAddr(TABLE), &mut [0; TABLE_LEN]).unwrap();
        let region = Region::new(self.board.raw_flash(), FlashAddr(NVS), NVS_LEN).unwrap();
        let mut nvs = match Nvs::mount(region, Some(nvs_keys())) {
            Ok(nvs) => nvs,
            Err(error) => {
                assert!(self.board.fault().is_lost(), "{error}");
                return End::PowerLost;
            }
        };
        let identity = Identity::load(&mut nvs).unwrap();
        let settings = Settings {
            identity: &identity,
            chip: Chip::Esp32C3,
            running: SlotIndex(slot),
            fuse_floor: self.fuse_floor(),
        };
        let mut updater = Updater::new(settings, slots).unwrap();
        let mut storage = Storage { flash: &mut view, nvs: &mut nvs };
        for wake in 0..=wakes {
            let mut step = updater.step(&mut storage, if wake == 0 { Event::Booted } else { Event::Wake });
            loop {
                match step {
                    Ok(Action::Request(request)) => {
                        step = server.answer(&request, |event| updater.step(&mut storage, event));
                    }
                    Ok(Action::Reboot) => {
                        refusals.extend(updater.refusal());
                        return End::Reboot;
                    }
                    Ok(Action::Sleep) => break,
                    Err(error) => {
                        assert!(self.board.fault().is_lost(), "{error}");
                        return End::PowerLost;
                    }
                }
            }
        }
        refusals.extend(updater.refusal());
        End::Asleep
    }

    /// Boots once and hands the updater to a test that feeds it by hand.
    pub(super) fn by_hand<T>(
        &self,
        fuse_floor: SecureVersion,
        test: impl FnOnce(&mut Updater<'_>, &mut Storage<'_, TransparentFlash, Flash>) -> T,
    ) -> T {
        let AppSlot::Ota(slot) = self.board.power_on().booted().unwrap().slot else { panic!("not a slot") };
        let mut view = self.board.transparent_flash();
        let slots = Slots::read(&mut view, FlashAddr(TABLE), &mut [0; TABLE_LEN]).unwrap();
        let mut nvs = mount(self.board.raw_flash(), FlashAddr(NVS));
        let identity = Identity::load(&mut nvs).unwrap();
        let settings = Settings { identity: &identity, chip: Chip::Esp32C3, running: SlotIndex(slot), fuse_floor };
        let mut updater = Updater::new(settings, slots).unwrap();
        test(&mut updater, &mut Storage { flash: &mut view, nvs: &mut nvs })
    }

    /// Boots until the device sleeps; gives the refusals on the way.
    pub(super) fn settle(&self, server: &mut Server) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        for _ in 0..20 {
            if self.boot(server, 2, &mut refusals) == End::Asleep {
                return refusals;
            }
        }
        panic!("does not come to rest");
    }

    /// The version that boots now.
    pub(super) fn version(&self) -> std::string::String {
        self.board.power_on().booted().expect("something boots").version.clone()
    }

    /// A slot's plaintext.
    pub(super) fn slot(&self, slot: u8) -> Vec<u8> {
        let mut content = std::vec![0; SLOT_LEN as usize];
        self.board.transparent_flash().read_at(FlashAddr(SLOTS[usize::from(slot)]), &mut content).unwrap();
        content
    }
}

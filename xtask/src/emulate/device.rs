//! A device as the factory leaves it, but for eFuses: its flash, and what its packets must be under its keys.

use anyhow::{Context, Result, ensure};
use cotter_formats::addr::{FlashAddr, FlashLen, SECTOR};
use cotter_formats::nvs::entry::Key;
use cotter_formats::nvs::keys::KEYS_PARTITION_SIZE;
use cotter_formats::nvs::page::Version as NvsVersion;
use cotter_formats::nvs::{NvsImage, NvsKeys, Value};
use cotter_formats::otadata::{self, OtaEntry, OtaState};
use cotter_formats::partition::{self, Label, Partition, PartitionFlags, PartitionTable, PartitionType, Subtype};
use cotter_formats::secret::Secret;
use cotter_wire::ids::{DeviceId, KeyEpoch, Nonce};
use cotter_wire::keys::{DeviceKeys, RootKey};
use cotter_wire::packet::{MAX_PACKET, Packet};
use cotter_wire::reading::Reading;

use super::flash::Flash;

/// One device; its keys are known to everybody and good for nothing else.
pub(crate) struct Device {
    table: PartitionTable,
}

impl Device {
    /// The nonce before the first packet's.
    pub(crate) const NONCE_FLOOR: u32 = 10_000;

    /// With the partition table of a product: `cotter-factory`'s layout of two slots.
    pub(crate) fn new() -> Result<Self> {
        let (app, data) = (PartitionType::APP, PartitionType::DATA);
        let row = |label, kind, subtype, offset, size, flags| {
            let (label, offset, size) = (Label::new(label)?, FlashAddr(offset), FlashLen(size));
            Ok::<_, anyhow::Error>(Partition { label, kind, subtype, offset, size, flags })
        };
        let table = PartitionTable::new(&[
            row("nvs", data, Subtype::DATA_NVS, 0x9000, 0x6000, PartitionFlags::NONE)?,
            row("otadata", data, Subtype::DATA_OTA, 0xf000, 0x2000, PartitionFlags::NONE)?,
            row("nvs_keys", data, Subtype::DATA_NVS_KEYS, 0x1_1000, 0x1000, PartitionFlags::ENCRYPTED)?,
            row("ota_0", app, Subtype::APP_OTA_0, 0x2_0000, 0x10_0000, PartitionFlags::NONE)?,
            row("ota_1", app, Subtype::APP_OTA_1, 0x12_0000, 0x10_0000, PartitionFlags::NONE)?,
        ])?;
        Ok(Self { table })
    }

    /// Its flash with these applications in its slots; nothing is encrypted by the chip, because flash encryption is off.
    pub(crate) fn flash(&self, slots: &[&[u8]], otadata: &[OtaEntry; 2]) -> Result<Flash> {
        let mut flash = Flash::erased();
        flash.program(partition::DEFAULT_OFFSET.0, &self.table.encode())?;
        let mut keys = [0xff; KEYS_PARTITION_SIZE];
        nvs_keys().encode(&mut keys);
        flash.program(self.partition("nvs_keys")?.offset.0, &keys)?;
        let nvs = self.partition("nvs")?;
        flash.program(nvs.offset.0, &identity(nvs.size)?)?;
        flash.program(self.partition("otadata")?.offset.0, &otadata::build_partition(otadata))?;
        for (slot, application) in self.table.ota_slots().zip(slots) {
            ensure!(application.len() <= slot.size.0 as usize, "the image does not fit into {}", slot.label.as_str());
            flash.program(slot.offset.0, application)?;
        }
        Ok(flash)
    }

    /// Where a slot starts.
    pub(crate) fn slot(&self, index: usize) -> Result<FlashAddr> {
        Ok(self.table.ota_slots().nth(index).context("no such slot")?.offset)
    }

    /// What the slots are marked with.
    pub(crate) fn otadata(&self, flash: &Flash) -> Result<[OtaEntry; 2]> {
        let place = self.partition("otadata")?;
        Ok(otadata::parse_partition(flash.read(place.offset.0, place.size.0 as usize)?)?)
    }

    /// Picks the slot to boot as the second stage does, which gives up what is still on trial.
    pub(crate) fn second_stage(&self, flash: &mut Flash) -> Result<usize> {
        let mut entries = self.otadata(flash)?;
        let place = self.partition("otadata")?;
        let slots = self.table.ota_slot_count();
        while let Some(active) = otadata::select(&entries) {
            if entries[active].state != OtaState::PENDING_VERIFY {
                return Ok(usize::try_from(otadata::slot_of(entries[active].seq, slots).context("no slots")?)?);
            }
            entries[active].state = OtaState::ABORTED;
            let sector = place.offset.0 + u32::try_from(active)? * SECTOR;
            flash.erase(sector, SECTOR as usize)?;
            flash.program(sector, &entries[active].encode())?;
        }
        Ok(0)
    }

    /// Verifies and decrypts a packet of this device.
    pub(crate) fn open(&self, line: &str) -> Result<(Nonce, Reading)> {
        let packet = Packet::parse(line.as_bytes()).with_context(|| format!("no packet: {line}"))?;
        let device = device_id()?;
        ensure!(*packet.device() == device && packet.epoch() == EPOCH, "another device's packet: {line}");
        let keys = DeviceKeys::derive(&root_key(), &device, EPOCH);
        let verified = packet.verify(&keys.telemetry_mac).with_context(|| format!("not authentic: {line}"))?;
        let mut plain = [0; MAX_PACKET];
        let plain = verified.open(&keys.telemetry_cipher, &mut plain)?;
        Ok((verified.nonce(), Reading::decode(plain)?))
    }

    fn partition(&self, label: &'static str) -> Result<&Partition> {
        self.table.find(label).with_context(|| format!("no partition {label}"))
    }
}

/// The NVS partition, key for key as `cotter-factory` makes it (`factory/src/identity.rs`), without the certificates,
/// which this firmware does not read.
fn identity(size: FlashLen) -> Result<Vec<u8>> {
    let mut image = NvsImage::new(size, NvsVersion::V2)?;
    let cotter = Key::literal("cotter");
    image.put(&cotter, &Key::literal("device_id"), &Value::string(device_id()?.as_str()))?;
    image.put(&cotter, &Key::literal("epoch"), &Value::U32(EPOCH.0))?;
    image.put(&cotter, &Key::literal("root_key"), &Value::blob(root_key().expose().as_slice()))?;
    image.put(&cotter, &Key::literal("project"), &Value::string("cotter-app"))?;
    image.put(&cotter, &Key::literal("fw_key0"), &Value::blob(FIRMWARE_KEY.as_slice()))?;
    image.put(&cotter, &Key::literal("fw_required"), &Value::U32(1))?;
    image.put(&Key::literal("ecowatt"), &Key::literal("nonce"), &Value::U32(Device::NONCE_FLOOR))?;
    Ok(image.finish_encrypted(&nvs_keys()))
}

fn device_id() -> Result<DeviceId> {
    Ok("emulated-0001".parse()?)
}

fn root_key() -> RootKey {
    RootKey::new(Secret::filled_by(|key| key.fill(0x52)))
}

fn nvs_keys() -> NvsKeys {
    NvsKeys::new(Secret::filled_by(|keys| keys.iter_mut().zip(0..).for_each(|(byte, index)| *byte = index)))
}

const EPOCH: KeyEpoch = KeyEpoch(1);

/// SubjectPublicKeyInfo (DER) of P-256's base point, whose private key is 1: a key of the right form.
const FIRMWARE_KEY: &[u8; 91] = b"\
    \x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04\
    \x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\x77\x03\x7d\x81\x2d\xeb\x33\xa0\xf4\xa1\x39\x45\
    \xd8\x98\xc2\x96\x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16\x2b\xce\x33\x57\x6b\x31\x5e\xce\
    \xcb\xb6\x40\x68\x37\xbf\x51\xf5";

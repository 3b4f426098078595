//! What the module keeps when it has no power: settings, and the two user partitions of esp-at's default layout.
//!
//! It is kept as long as the value lives. Source of the layout: esp-at (July 2026)
//! `module_config/module_esp32c3_default/at_customize.csv`.

use cotter_formats::addr::FlashLen;
use cotter_formats::nvs::entry::Key;
use cotter_formats::nvs::page::Version;
use cotter_formats::nvs::partition::{Item, inspect};
use cotter_formats::nvs::{NvsImage, Value};

/// Size of the manufacturing partition.
pub const MFG_NVS_SIZE: usize = 124 * 1024;
/// What is erased at once.
pub const SECTOR: usize = 4096;

/// Flash of a module.
pub struct Flash {
    /// Set by commands.
    pub(super) settings: Settings,
    partitions: [Partition; 2],
}

/// What commands have set and `AT+RESTORE` takes back.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) stores: bool,
    pub(super) uart: [u32; 5],
    pub(super) wifi_mode: u8,
    pub(super) connects_by_itself: bool,
    /// Name and password of the access point that was joined last.
    pub(super) access_point: Option<(String, String)>,
    pub(super) reconnect_interval: u32,
}

/// A user partition.
pub(super) struct Partition {
    pub(super) name: &'static str,
    pub(super) kind: u8,
    pub(super) subtype: u8,
    pub(super) address: u32,
    pub(super) bytes: Vec<u8>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            stores: true,
            uart: [115_200, 8, 1, 0, 0],
            wifi_mode: 0,
            connects_by_itself: true,
            access_point: None,
            reconnect_interval: 1,
        }
    }
}

impl Default for Flash {
    /// As it leaves the factory: a module name and a UART, no certificates.
    fn default() -> Self {
        let mut flash = Self::new(vec![0xFF; MFG_NVS_SIZE]);
        let uart_pins = [("uart_tx_pin", 7), ("uart_rx_pin", 6), ("uart_cts_pin", 5), ("uart_rts_pin", 4)];
        let numbers = uart_pins.iter().map(|(key, pin)| (*key, Value::I32(*pin)));
        let values = [
            ("version", Value::I8(6)),
            ("module_name", Value::string("MINI-1")),
            ("max_tx_power", Value::I8(78)),
            ("uart_port", Value::I8(1)),
            ("uart_baudrate", Value::I32(115_200)),
            ("sys_store", Value::U8(1)),
        ];
        for (key, value) in values.into_iter().chain(numbers) {
            // There is room for that much.
            let _written = flash.write_value("factory_param", key, value);
        }
        flash
    }
}

impl Flash {
    /// With this manufacturing partition, as `cotter nvs build` and Espressif's generator make it; shorter ones are
    /// filled up with FF.
    #[must_use]
    pub fn new(mut mfg_nvs: Vec<u8>) -> Self {
        mfg_nvs.resize(MFG_NVS_SIZE, 0xFF);
        let mfg_nvs = Partition { name: "mfg_nvs", kind: 1, subtype: 2, address: 0x1_F000, bytes: mfg_nvs };
        let storage = vec![0xFF; 100 * 1024];
        let storage = Partition { name: "fs_storage", kind: 1, subtype: 0xFF, address: 0x4_7000, bytes: storage };
        Self { settings: Settings::default(), partitions: [mfg_nvs, storage] }
    }

    pub(super) const fn partitions(&self) -> &[Partition; 2] {
        &self.partitions
    }

    pub(super) fn partition_mut(&mut self, name: &str) -> Option<&mut Partition> {
        self.partitions.iter_mut().find(|partition| partition.name == name)
    }

    /// All values of the manufacturing partition, as far as they read.
    pub(super) fn values(&self) -> Vec<Item> {
        let [mfg_nvs, _] = &self.partitions;
        inspect(&mfg_nvs.bytes, None).map(|contents| contents.items).unwrap_or_default()
    }

    /// One value.
    pub(super) fn value(&self, namespace: &str, key: &str) -> Option<Value<'static>> {
        let is_it =
            |item: &Item| item.namespace.as_bytes() == namespace.as_bytes() && item.key.as_bytes() == key.as_bytes();
        self.values().into_iter().find(is_it).map(|item| item.value)
    }

    /// A certificate or a key; `None` if there is none.
    pub(super) fn blob(&self, namespace: &str, key: &str) -> Option<Vec<u8>> {
        match self.value(namespace, key)? {
            Value::Blob(bytes) if !bytes.is_empty() => Some(bytes.into_owned()),
            Value::String(text) if !text.is_empty() => Some(text.into_owned().into_bytes()),
            _ => None,
        }
    }

    /// Writes or replaces one value.
    pub(super) fn write_value(&mut self, namespace: &str, key: &str, value: Value<'static>) -> Result<(), NoRoom> {
        let (namespace, key) = (name(namespace)?, name(key)?);
        let mut items = self.values();
        match items.iter_mut().find(|item| item.namespace == namespace && item.key == key) {
            Some(item) => item.value = value,
            None => items.push(Item { namespace, key, value }),
        }
        self.rewrite(&items)
    }

    /// Erases one value, or all of a namespace; was there anything?
    pub(super) fn erase_values(&mut self, namespace: &str, key: Option<&str>) -> Result<bool, NoRoom> {
        let mut items = self.values();
        let before = items.len();
        items.retain(|item| {
            let others_key = key.is_some_and(|key| item.key.as_bytes() != key.as_bytes());
            item.namespace.as_bytes() != namespace.as_bytes() || others_key
        });
        let erased = items.len() < before;
        if erased {
            self.rewrite(&items)?;
        }
        Ok(erased)
    }

    fn rewrite(&mut self, items: &[Item]) -> Result<(), NoRoom> {
        let size = FlashLen(u32::try_from(MFG_NVS_SIZE).map_err(|_| NoRoom)?);
        let mut image = NvsImage::new(size, Version::V2).map_err(|_| NoRoom)?;
        for item in items {
            image.put(&item.namespace, &item.key, &item.value).map_err(|_| NoRoom)?;
        }
        let [mfg_nvs, _] = &mut self.partitions;
        mfg_nvs.bytes = image.finish();
        Ok(())
    }
}

impl Partition {
    /// A piece, if it lies within.
    pub(super) fn piece(&mut self, offset: usize, length: usize) -> Option<&mut [u8]> {
        self.bytes.get_mut(offset..offset.checked_add(length)?)
    }
}

fn name(text: &str) -> Result<Key, NoRoom> {
    Key::new(text.as_bytes()).map_err(|_| NoRoom)
}

/// The partition cannot hold that: there is no room, or a name is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test panics where it fails")]
    use super::*;

    #[test]
    fn values_are_written_replaced_and_erased() {
        let mut flash = Flash::default();
        assert!(flash.value("factory_param", "module_name") == Some(Value::string("MINI-1")));
        let certificate = vec![0x2D; 3000];
        flash.write_value("mqtt_ca", "mqtt_ca", Value::blob(certificate.clone())).unwrap();
        flash.write_value("mqtt_ca", "mqtt_ca", Value::blob(certificate.clone())).unwrap();
        assert_eq!(flash.blob("mqtt_ca", "mqtt_ca"), Some(certificate));
        assert_eq!(flash.erase_values("mqtt_ca", Some("other")), Ok(false));
        assert_eq!(flash.erase_values("mqtt_ca", None), Ok(true));
        assert_eq!(flash.blob("mqtt_ca", "mqtt_ca"), None);
        assert_eq!(flash.write_value("a name that is too long", "x", Value::U8(1)), Err(NoRoom));
        assert_eq!(flash.write_value("x", "x", Value::blob(vec![0; MFG_NVS_SIZE])), Err(NoRoom));
        assert!(flash.value("factory_param", "sys_store").is_some());
    }
}

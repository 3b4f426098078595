//! One telemetry packet as the device crate seals it: nonce from NVS (in RAM, so that flash costs no time here), keys
//! from the root key, IV, compression, encryption, MAC, JSON.

#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "the name that start calls")]

use core::convert::Infallible;
use core::hint::black_box;
use cotter_bench::board;
use cotter_bench::sample::{Counting, SAMPLE, report_packet};
use cotter_device::identity::{self, Identity};
use cotter_device::nonces::{self, NonceCounter};
use cotter_device::nvs::Nvs;
use cotter_device::platform::Region;
use cotter_device::self_test::Promise;
use cotter_device::telemetry::Telemetry;
use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_wire::ids::{Nonce, SecureVersion};
use cotter_wire::packet::MAX_PACKET;
use cotter_wire::version::Version;
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};

#[unsafe(no_mangle)]
extern "C" fn bench() -> ! {
    let mut store = provisioned();
    let identity = Identity::load(&mut store).expect("provisioned above");
    let telemetry = Telemetry::start(&identity, NonceCounter::new(Nonce(0)), &mut store).expect("RAM does not fail");
    let firmware = Promise { version: Version::new(1, 0, 0), secure_version: SecureVersion(0) };
    let reading = telemetry.reading(3600, firmware, SAMPLE).expect("ten different registers");
    let mut random = Counting(0);
    let mut out = [0; MAX_PACKET];
    let mut packet_len = 0;
    board::measure(|| {
        let sealed = telemetry.seal(black_box(&reading), &mut store, &mut random, &mut out);
        packet_len = sealed.expect("nonces and room are left").packet().len();
    });
    report_packet(&out[..packet_len]);
    board::exit(0)
}

/// A store as the factory leaves it, unencrypted: XTS would be the chip's work for flash, and NVS entries are few.
fn provisioned() -> Nvs<Ram> {
    let region = Region::new(Ram([0xff; Ram::LEN]), FlashAddr(0), Ram::REGION).expect("all of it");
    let mut store = Nvs::mount(region, None).expect("erased RAM mounts as an empty store");
    let namespace = &identity::NAMESPACE;
    let stored = store
        .set_string(namespace, &identity::DEVICE_ID, "cotter-0001")
        .and_then(|()| store.set_u32(namespace, &identity::EPOCH, 1))
        .and_then(|()| store.set_blob(namespace, &identity::ROOT_KEY, &[0x5a; 32]))
        .and_then(|()| store.set_string(namespace, &identity::PROJECT, "cotter-app"))
        .and_then(|()| store.set_blob(namespace, &identity::FIRMWARE_KEYS[0], FIRMWARE_KEY))
        .and_then(|()| store.set_u32(namespace, &identity::FIRMWARE_REQUIRED, 1))
        .and_then(|()| store.set_u32(&nonces::NAMESPACE, &nonces::KEY, 10_000));
    stored.expect("seven values fit");
    store
}

/// Somebody's P-256 public key: an identity has one. Made by OpenSSL 3; nobody kept the private half.
const FIRMWARE_KEY: &[u8] = include_bytes!("../firmware_key.der");

struct Ram([u8; Self::LEN]);

impl Ram {
    /// The fewest pages that NVS mounts.
    const LEN: usize = 3 * 4096;
    const REGION: FlashLen = FlashLen(3 * 4096);
}

impl ErrorType for Ram {
    type Error = Infallible;
}

// Every offset comes through a `Region` of exactly this length, which has checked it.
impl ReadNorFlash for Ram {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.copy_from_slice(&self.0[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        Self::LEN
    }
}

impl NorFlash for Ram {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Infallible> {
        self.0[from as usize..to as usize].fill(0xff);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Infallible> {
        for (cell, byte) in self.0[offset as usize..].iter_mut().zip(bytes) {
            *cell &= byte;
        }
        Ok(())
    }
}

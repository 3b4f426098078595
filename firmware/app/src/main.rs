//! The application of a Cotter device on a real ESP32-C3: says who it is, tests itself, seals one reading.
//!
//! | file | noun |
//! |---|---|
//! | `release` | what sets 1.0.0, 1.1.0 and 1.2.0 apart |
//! | `descriptor` | what the image says about itself, at fixed places of the file |
//! | `entropy` | random bytes, and when they are random |
//! | `flash` | the raw and the transparent view of the flash |
//! | `running` | where in flash this code is |
//! | `store` | the device's identity and nonce |
//! | `trial` | the self-test, and what follows from it |
//!
//! What it prints on UART0 (115200 8N1), one line each:
//!
//! ```text
//! cotter-app 1.1.0 secure_version 1
//! self-test: passed
//! {"version":1,"device_id":...}                          the sealed packet of a provisioned device
//! unprovisioned: <why>                                   otherwise this line and the next
//! development {"version":1,"device_id":"development",...}
//! ```
//!
//! A bare board has no inverter on its bus, so the register values of the reading are a fixed sample. There is no
//! network here either: what becomes of the packet is for the one who reads the line.

#![no_std]
#![no_main]

mod descriptor;
mod entropy;
mod flash;
mod release;
mod running;
mod store;
mod trial;

use cotter_device::identity::Identity;
use cotter_device::nonces::NonceCounter;
use cotter_device::nvs::Nvs;
use cotter_device::platform::Random;
use cotter_device::telemetry::{Telemetry, TelemetryError};
use cotter_formats::secret::Secret;
use cotter_wire::ids::{DeviceId, KeyEpoch, Nonce};
use cotter_wire::keys::{DeviceKeys, RootKey};
use cotter_wire::packet::{self, MAX_PACKET};
use cotter_wire::reading::Reading;
use esp_backtrace as _;
use esp_hal::time::Instant;
use esp_println::println;

use entropy::Entropy;
use flash::{Flash, FlashError, Raw};
use release::{PROJECT, SECURE_VERSION, THIS, VERSION};
use store::StoreError;

#[esp_hal::main]
fn main() -> ! {
    let board = esp_hal::init(esp_hal::Config::default());
    // 1. Who runs.
    println!("{PROJECT} {VERSION} secure_version {SECURE_VERSION}");
    let mut random = Entropy::new(board.RNG, board.ADC1);
    let flash = Flash::new(board.FLASH);
    let table = store::partition_table(&flash);

    // 2. Is it good? An update on trial stays only if it is.
    trial::judge(&flash, table.as_ref().ok());

    // 3. One reading, sealed by the device whose store this is.
    let mounted = table.map_err(StoreError::Table).and_then(|table| store::mount(&flash, &table));
    let provisioned = mounted.and_then(|mut store| Ok((Identity::load(&mut store)?, store)));
    match provisioned {
        Ok((identity, mut store)) => {
            if let Err(error) = report(&identity, &mut store, &mut random) {
                println!("telemetry: {error}");
            }
        }
        Err(why) => {
            println!("unprovisioned: {why}");
            report_development(&mut random);
        }
    }
    loop {
        core::hint::spin_loop();
    }
}

/// Seals one reading and prints the packet.
fn report(
    identity: &Identity,
    store: &mut Nvs<Raw<'_, '_>>,
    random: &mut impl Random,
) -> Result<(), TelemetryError<FlashError>> {
    // The factory's floor is in the store already; nothing here may lower or replace it.
    let telemetry = Telemetry::start(identity, NonceCounter::new(Nonce(0)), store)?;
    let reading = telemetry.reading(uptime(), THIS, SAMPLE).expect("ten different registers");
    let mut out = [0; MAX_PACKET];
    println!("{}", text(telemetry.seal(&reading, store, random, &mut out)?.packet()));
    Ok(())
}

/// The same packet without a store: the root key lives for this boot only, so nonce 1 is as fresh as the key, and no
/// server will ever take the packet for a product's.
fn report_development(random: &mut impl Random) {
    let root = RootKey::new(Secret::filled_by(|key| random.fill(key)));
    let (device, epoch) = (DeviceId::from_bytes(b"development").expect("lower-case letters"), KeyEpoch(0));
    let mut reading = Reading::new(uptime(), 1, THIS.version, THIS.secure_version);
    SAMPLE.into_iter().try_for_each(|(register, raw)| reading.push(register, raw)).expect("ten different registers");
    let mut plain = [0; Reading::MAX_LEN];
    let plain = reading.encode(&mut plain).expect("room for the longest");
    let mut iv = [0; 16];
    random.fill(&mut iv);
    let keys = DeviceKeys::derive(&root, &device, epoch);
    let mut out = [0; MAX_PACKET];
    match packet::seal(&keys, &device, epoch, Nonce(1), &iv, plain, &mut out) {
        Ok(packet) => println!("development {}", text(packet)),
        Err(error) => println!("telemetry: {error}"),
    }
}

fn text(packet: &[u8]) -> &str {
    core::str::from_utf8(packet).expect("a packet is ASCII")
}

/// Seconds since the start.
fn uptime() -> u32 {
    u32::try_from(Instant::now().duration_since_epoch().as_secs()).unwrap_or(u32::MAX)
}

/// Raw values of an inverter on a mild afternoon: 230.2 V, 6.1 A, 50.02 Hz, ...
const SAMPLE: [(u8, u16); 10] =
    [(0, 2302), (1, 61), (2, 5002), (3, 3204), (4, 3187), (5, 23), (6, 22), (7, 413), (8, 47), (9, 1404)];

//! One telemetry packet from keys and nonce that are there already: encoding, compression, encryption, MAC, JSON.

#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "the name that start calls")]

use core::hint::black_box;
use cotter_bench::board;
use cotter_bench::sample::{Counting, SAMPLE, report_packet};
use cotter_device::platform::Random;
use cotter_formats::secret::Secret;
use cotter_wire::ids::{DeviceId, KeyEpoch, Nonce, SecureVersion};
use cotter_wire::keys::{DeviceKeys, RootKey};
use cotter_wire::packet::{self, MAX_PACKET};
use cotter_wire::reading::Reading;
use cotter_wire::version::Version;

#[unsafe(no_mangle)]
extern "C" fn bench() -> ! {
    let device = DeviceId::from_bytes(b"cotter-0001").expect("lower-case letters and digits");
    let epoch = KeyEpoch(1);
    let keys = DeviceKeys::derive(&RootKey::new(Secret::filled_by(|key| key.fill(0x5a))), &device, epoch);
    let mut reading = Reading::new(3600, 1, Version::new(1, 0, 0), SecureVersion(0));
    SAMPLE.into_iter().try_for_each(|(register, raw)| reading.push(register, raw)).expect("ten different registers");
    let mut random = Counting(0);
    let mut out = [0; MAX_PACKET];
    let mut packet_len = 0;
    board::measure(|| {
        let mut plain = [0; Reading::MAX_LEN];
        let plain = black_box(&reading).encode(&mut plain).expect("room for the longest");
        let mut iv = [0; 16];
        random.fill(&mut iv);
        let sealed = packet::seal(black_box(&keys), &device, epoch, Nonce(10_001), &iv, plain, &mut out);
        packet_len = sealed.expect("room for the longest packet").len();
    });
    report_packet(&out[..packet_len]);
    board::exit(0)
}

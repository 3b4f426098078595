//! HMAC-SHA256 alone, key schedule included: what authenticating a packet costs at least with this library.
//! Parameter 0: how many bytes.

#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "the name that start calls")]

use core::hint::black_box;
use cotter_bench::board;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

static MESSAGE: [u8; 4096] = [0x5a; 4096];

#[unsafe(no_mangle)]
extern "C" fn bench() -> ! {
    let message = &MESSAGE[..board::parameter(0)];
    board::measure(|| {
        let mut mac = Hmac::<Sha256>::new_from_slice(black_box(&[7; 32])).expect("HMAC takes every key length");
        mac.update(black_box(message));
        black_box(mac.finalize().into_bytes());
    });
    board::exit(0)
}

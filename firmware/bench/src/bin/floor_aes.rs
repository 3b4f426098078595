//! AES-128-CBC alone, key schedule included: what encrypting a packet costs at least with this library.
//! Parameter 0: how many bytes after padding.

#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "the name that start calls")]

use aes::Aes128;
use cbc::cipher::{BlockModeEncrypt, KeyIvInit, block_padding::NoPadding};
use core::hint::black_box;
use cotter_bench::board;

#[unsafe(no_mangle)]
extern "C" fn bench() -> ! {
    let len = board::parameter(0);
    let mut buffer = [0x5a; 4096];
    board::measure(|| {
        let cipher = cbc::Encryptor::<Aes128>::new(black_box(&[7; 16]).into(), black_box(&[9; 16]).into());
        let sealed = cipher.encrypt_padded::<NoPadding>(black_box(&mut buffer[..len]), len);
        black_box(sealed.expect("the length is a multiple of 16").len());
    });
    board::exit(0)
}

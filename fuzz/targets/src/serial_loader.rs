//! libFuzzer target of `cotter_fuzz::serial_loader`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::serial_loader(data));

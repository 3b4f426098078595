//! libFuzzer target of `cotter_fuzz::device_key`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::device_key(data));

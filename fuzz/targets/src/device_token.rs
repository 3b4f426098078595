//! libFuzzer target of `cotter_fuzz::device_token`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::device_token(data));

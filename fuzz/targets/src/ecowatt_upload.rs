//! libFuzzer target of `cotter_fuzz::ecowatt_upload`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::ecowatt_upload(data));

//! libFuzzer target of `cotter_fuzz::ecowatt_blob`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::ecowatt_blob(data));

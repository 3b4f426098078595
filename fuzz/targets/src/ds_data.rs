//! libFuzzer target of `cotter_fuzz::ds_data`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::ds_data(data));

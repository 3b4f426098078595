//! libFuzzer target of `cotter_fuzz::nvs_csv`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::nvs_csv(data));

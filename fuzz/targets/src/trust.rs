//! libFuzzer target of `cotter_fuzz::trust`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::trust(data));

//! libFuzzer target of `cotter_fuzz::secure_boot_v1`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::secure_boot_v1(data));

//! libFuzzer target of `cotter_fuzz::reading`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::reading(data));

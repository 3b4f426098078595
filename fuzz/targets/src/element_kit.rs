//! libFuzzer target of `cotter_fuzz::element_kit`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::element_kit(data));

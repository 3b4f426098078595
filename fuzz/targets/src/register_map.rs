//! libFuzzer target of `cotter_fuzz::register_map`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::register_map(data));

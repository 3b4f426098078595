//! libFuzzer target of `cotter_fuzz::rotation`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::rotation(data));

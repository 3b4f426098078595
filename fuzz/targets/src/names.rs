//! libFuzzer target of `cotter_fuzz::names`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::names(data));

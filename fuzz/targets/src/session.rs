//! libFuzzer target of `cotter_fuzz::session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::session(data));

//! libFuzzer target of `cotter_fuzz::otadata`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::otadata(data));

//! libFuzzer target of `cotter_fuzz::link_noise`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::link_noise(data));

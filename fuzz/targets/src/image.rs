//! libFuzzer target of `cotter_fuzz::image`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::image(data));

//! libFuzzer target of `cotter_fuzz::link_frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::link_frame(data));

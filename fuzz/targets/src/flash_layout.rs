//! libFuzzer target of `cotter_fuzz::flash_layout`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::flash_layout(data));

//! libFuzzer target of `cotter_fuzz::at_script`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::at_script(data));

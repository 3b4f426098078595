//! libFuzzer target of `cotter_fuzz::command`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cotter_fuzz::command(data));
